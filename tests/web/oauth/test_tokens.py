"""Refresh tokens turn, spent ones end everything, answers may be lost; revocation, metadata, and CORS."""

from __future__ import annotations

import asyncio
import base64
import time

import pytest

from localsrv.services.tokens import ACCESS_SECONDS, REFRESH_SECONDS
from tests.web.oauth.conftest import Desk

PAGE = "https://notes.example"


async def test_tokens_turn(desk: Desk) -> None:
    first = await desk.paired(scope="items:read items:write")
    answer = await desk.refresh(first["refresh_token"])
    assert answer.status == 200, answer.body
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    second = answer.json
    assert second["scope"] == first["scope"]
    assert second["grant_id"] == first["grant_id"]
    assert len({first["access_token"], second["access_token"]}) == 2
    assert await desk.read(first["access_token"]) == 200, "requests that are under way go on"
    assert await desk.read(second["access_token"]) == 200
    third = (await desk.refresh(second["refresh_token"])).json
    assert await desk.read(first["access_token"]) == 401
    assert await desk.read(third["access_token"]) == 200
    assert "token-refreshed" in [event for event, _ in await desk.events("token-refreshed")]


async def test_a_spent_token_ends_the_grant(desk: Desk) -> None:
    first = await desk.paired()
    second = (await desk.refresh(first["refresh_token"])).json
    assert await desk.read(second["access_token"]) == 200
    assert (await desk.refresh(first["refresh_token"])).json["error"] == "invalid_grant"
    assert await desk.read(second["access_token"]) == 401
    assert (await desk.refresh(second["refresh_token"])).json["error"] == "invalid_grant"
    assert (await desk.server.ask("GET", "/api/v1/grants")).json["grants"] == []
    events = [event for event, _ in await desk.events("token-reused", "grant-revoked")]
    assert events == ["token-reused", "grant-revoked"]


async def test_a_lost_answer_locks_nobody_out(desk: Desk) -> None:
    first = await desk.paired()
    lost = (await desk.refresh(first["refresh_token"])).json
    second = (await desk.refresh(first["refresh_token"])).json
    assert await desk.read(second["access_token"]) == 200
    assert await desk.read(lost["access_token"]) == 401, "there is one successor, never two"
    # who has what was lost on the way is found out, and the client's own access ends with it
    assert (await desk.refresh(lost["refresh_token"])).json["error"] == "invalid_grant"
    assert await desk.read(second["access_token"]) == 401


async def test_a_thief_who_comes_first_is_found_out(desk: Desk) -> None:
    first = await desk.paired()
    stolen = (await desk.refresh(first["refresh_token"])).json
    assert await desk.read(stolen["access_token"]) == 200
    assert (await desk.refresh(first["refresh_token"])).json["error"] == "invalid_grant"
    assert await desk.read(stolen["access_token"]) == 401


async def test_two_refreshes_at_once(desk: Desk) -> None:
    first = await desk.paired()
    answers = await asyncio.gather(*(desk.refresh(first["refresh_token"]) for _ in range(5)))
    assert {a.status for a in answers} == {200}
    reads = [await desk.read(a.json["access_token"]) for a in answers]
    assert sorted(reads) == [200, 401, 401, 401, 401], "the last one counts"


async def test_what_turned_is_known_after_a_restart(desk: Desk) -> None:
    """Everything about refreshes is on disk: another registry over the same file knows it."""
    from localsrv.services.grants import Grants
    from localsrv.services.tokens import RefusedToken, Tokens

    first = await desk.paired()
    second = (await desk.refresh(first["refresh_token"])).json
    assert await desk.read(second["access_token"]) == 200
    services = desk.server.services
    await services.grants.close()
    again = await Grants.open(services.grants.store._system, "owner")
    assert again.find(second["access_token"]) is not None
    assert again.find(second["refresh_token"]) is None
    tokens = Tokens(again, services.audit)
    third = await tokens.refresh(second["refresh_token"])
    assert again.find(third.access) is not None
    with pytest.raises(RefusedToken):
        await tokens.refresh(first["refresh_token"])
    assert again.find(third.access) is None
    await again.close()


SCOPES = [
    ("the same", "items:read *:write", "*:write items:read", None),
    ("fewer", "items:read", "items:read", None),
    ("narrower", "items:write", "items:write", None),
    ("more", "items:read items:write sync", None, "invalid_scope"),
    ("wider", "*:read", None, "invalid_scope"),
    ("another kind", "files:*:read", None, "invalid_scope"),
    ("admin", "admin", None, "invalid_scope"),
    ("no scope", "items:read nonsense", None, "invalid_scope"),
]


@pytest.mark.parametrize(("name", "asked", "given", "error"), SCOPES, ids=[row[0] for row in SCOPES])
async def test_scopes_never_grow(
    desk: Desk, name: str, asked: str, given: str | None, error: str | None
) -> None:
    first = await desk.paired(scope="items:read *:write")
    answer = await desk.refresh(first["refresh_token"], scope=asked)
    if error is not None:
        assert (answer.status, answer.json["error"]) == (400, error)
        assert (await desk.refresh(first["refresh_token"])).json["scope"] == "*:write items:read"
        return
    assert answer.json["scope"] == given
    write = await desk.server.ask(
        "POST", "/apps/shop/rest/v1/items", token=answer.json["access_token"], json={"name": "pear"}
    )
    assert write.status == (201 if "write" in asked else 403)
    full = await desk.refresh(answer.json["refresh_token"])
    assert full.json["scope"] == "*:write items:read", "the refresh token keeps what was allowed"


async def test_tokens_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await desk.paired()
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + ACCESS_SECONDS + 1)
    assert await desk.read(first["access_token"]) == 401
    second = await desk.refresh(first["refresh_token"])
    assert second.status == 200
    monkeypatch.setattr("time.time", lambda: now + ACCESS_SECONDS + REFRESH_SECONDS + 10)
    assert (await desk.refresh(second.json["refresh_token"])).json["error"] == "invalid_grant"


async def test_a_pages_refresh_token_is_its_own(desk: Desk) -> None:
    mine = await desk.paired(origin=PAGE)
    for other in (None, "https://evil.example"):
        assert (await desk.refresh(mine["refresh_token"], other)).json["error"] == "invalid_grant"
    renewed = await desk.refresh(mine["refresh_token"], PAGE)
    assert renewed.status == 200
    assert renewed.headers["Access-Control-Allow-Origin"] == PAGE
    program = await desk.paired("Other")
    assert (await desk.refresh(program["refresh_token"], PAGE)).json["error"] == "invalid_grant"


BROKEN = ["", "x", "lsr_" + "A" * 43]


async def test_truncated_and_misplaced_tokens(desk: Desk) -> None:
    tokens = await desk.paired()
    access, refresh = tokens["access_token"], tokens["refresh_token"]
    for broken in (*BROKEN, refresh[:-1], refresh + "A", refresh.lower(), access):
        answer = await desk.refresh(broken)
        assert answer.json["error"] == ("invalid_grant" if broken else "invalid_request"), broken
    for broken in (access[:-1], access + "A", access.upper(), refresh):
        assert await desk.read(broken) == 401
    for place in ("access_token", "token", "apikey", "bearer"):
        answer = await desk.server.ask("GET", f"/apps/shop/rest/v1/items?{place}={access}", token=None)
        assert answer.status == 401, "a token in the address is none"
    assert (await desk.refresh(refresh)).status == 200


async def test_revocation_ends_both(desk: Desk) -> None:
    for which in ("access_token", "refresh_token"):
        tokens = await desk.paired(f"by {which}")
        gone = await desk.post("/oauth/revoke", token=tokens[which], token_type_hint="nonsense")
        assert (gone.status, gone.body) == (200, b"")
        assert await desk.read(tokens["access_token"]) == 401
        assert (await desk.refresh(tokens["refresh_token"])).json["error"] == "invalid_grant"
        assert (await desk.post("/oauth/revoke", token=tokens[which])).status == 200
    assert (await desk.post("/oauth/revoke", token="nonsense")).status == 200
    assert (await desk.post("/oauth/revoke")).json["error"] == "invalid_request"


async def test_keys_are_not_ended_by_who_has_them(desk: Desk) -> None:
    key = await desk.server.key("shop", "*:read")
    for token in (key, desk.server.owner):
        answer = await desk.post("/oauth/revoke", token=token)
        assert (answer.status, answer.json["error"]) == (400, "unsupported_token_type")
    assert await desk.read(key) == 200


async def test_metadata(desk: Desk) -> None:
    base = desk.server.origin()
    path = "/.well-known/oauth-authorization-server"
    answer = await desk.server.ask("GET", path, token=None, headers={"Origin": PAGE})
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    told = answer.json
    assert told["issuer"] == base
    for name in ("authorization", "token", "device_authorization", "revocation"):
        assert told[f"{name}_endpoint"].startswith(f"{base}/oauth/")
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["token_endpoint_auth_methods_supported"] == ["none"]
    by_address = await desk.server.ask(
        "GET", path, token=None, headers={"Host": f"127.0.0.1:{desk.server.port}"}
    )
    assert by_address.json["issuer"] == f"http://127.0.0.1:{desk.server.port}"
    assert (await desk.server.ask("GET", path, app="shop", token=None)).status == 404


async def test_preflights_of_any_origin_at_these_addresses_alone(desk: Desk) -> None:
    asks = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    for path in ("/oauth/token", "/oauth/device_authorization", "/oauth/revoke"):
        answer = await desk.server.ask("OPTIONS", path, token=None, headers=asks)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, PAGE)
        assert answer.headers["Access-Control-Allow-Private-Network"] == "true"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        null = await desk.server.ask("OPTIONS", path, token=None, headers={**asks, "Origin": "null"})
        assert null.status == 403
    for path in (
        "/oauth/authorize",
        "/oauth/nothing",
        "/api/v1/requests",
        "/api/v1/ticket",
        "/api/v1/session",
    ):
        answer = await desk.server.ask("OPTIONS", path, token=None, headers=asks)
        assert answer.status in (403, 404), path
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_basic_on_the_sync_face(desk: Desk) -> None:
    tokens = await desk.paired("Notes: the app", scope="sync")
    for name, status in ((tokens["grant_id"], 200), ("Notes: the app", 200), ("somebody", 401)):
        value = base64.b64encode(f"{name}:{tokens['access_token']}".encode()).decode()
        answer = await desk.server.ask(
            "GET", "/apps/shop/couch/items", token=None, headers={"Authorization": f"Basic {value}"}
        )
        assert answer.status == status, name


async def test_other_methods(desk: Desk) -> None:
    for path in ("/oauth/token", "/oauth/revoke", "/oauth/device_authorization"):
        answer = await desk.server.ask("GET", path, token=None)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert answer.json["error"] == "invalid_request"


async def test_a_name_that_a_program_chose_is_no_users_name(desk: Desk) -> None:
    """Rules in design documents go by names, so a program cannot choose the one it is known by there."""
    tokens = await desk.paired("ada", scope="sync")
    value = base64.b64encode(f"ada:{tokens['access_token']}".encode()).decode()
    answer = await desk.server.ask(
        "GET", "/apps/shop/couch/_session", token=None, headers={"Authorization": f"Basic {value}"}
    )
    assert answer.json["userCtx"] == {"name": tokens["grant_id"], "roles": []}
