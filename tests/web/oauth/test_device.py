"""RFC 8628: a code on both sides, questions until the person decides, and everything that can go wrong."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from localsrv.services.pairing_limits import MOST_OF_ONE, MOST_OF_PROGRAMS, WRONG_CODES
from localsrv.services.waiting import ALPHABET
from tests.support.oauth import DEVICE_GRANT
from tests.web.oauth.conftest import Desk

PAGE = "https://notes.example"


async def test_a_program_is_let_in_by_a_code_on_both_sides(desk: Desk) -> None:
    device = await desk.device("Notes on Ada's laptop", "items:read items:write", app="shop")
    base = desk.server.origin()
    assert device["verification_uri"] == f"{base}/pair/"
    assert device["verification_uri_complete"] == f"{base}/pair/?user_code={device['user_code']}"
    assert (device["expires_in"], device["interval"]) == (600, 2)
    letters = device["user_code"].replace("-", "")
    assert len(letters) == 8 and set(letters) <= set(ALPHABET)

    waiting = await desk.poll(device, "Notes on Ada's laptop")
    assert (waiting.status, waiting.json["error"]) == (400, "authorization_pending")
    assert waiting.headers["Cache-Control"] == "no-store"
    (request,) = await desk.requests()
    assert request["code"] == device["user_code"]
    assert (request["name"], request["origin"], request["app"]) == ("Notes on Ada's laptop", None, "shop")
    assert request["scopes"] == ["items:read", "items:write"]
    assert request["words"] == ["read, change and delete in the collection “items”"]
    assert device["device_code"] not in str(request)

    # as a person types it
    typed = device["user_code"].lower().replace("-", " ")
    approved = await desk.decide(typed.replace(" ", "%20"))
    assert (approved.status, approved.json["status"], approved.json["once"]) == (200, "approved", False)
    assert await desk.requests() == []
    given = await desk.poll(device, "Notes on Ada's laptop")
    assert given.status == 200
    assert (given.headers["Cache-Control"], given.headers["Pragma"]) == ("no-store", "no-cache")
    tokens = given.json
    assert set(tokens) == {
        "access_token", "token_type", "expires_in", "scope", "app", "grant_id", "refresh_token",
    }  # fmt: skip
    assert tokens["access_token"].startswith("lsa_") and tokens["refresh_token"].startswith("lsr_")
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    assert (tokens["scope"], tokens["app"]) == ("items:read items:write", "shop")
    assert await desk.read(tokens["access_token"]) == 200
    assert await desk.read(tokens["refresh_token"]) == 401, "a refresh token opens nothing"
    (grant,) = (await desk.server.ask("GET", "/api/v1/grants")).json["grants"]
    assert (grant["kind"], grant["program"], grant["origin"]) == ("paired", "Notes on Ada's laptop", None)
    events = await desk.events("request-made", "request-approved", "grant-created")
    assert [event for event, _ in events] == ["request-made", "request-approved", "grant-created"]


async def test_a_page_is_bound_to_its_origin(desk: Desk) -> None:
    device = await desk.device(origin=PAGE, app="shop")
    (request,) = await desk.requests()
    assert request["origin"] == PAGE
    await desk.decide(request["id"])
    given = await desk.poll(device, origin=PAGE)
    assert given.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Access-Control-Allow-Credentials" not in given.headers
    token = given.json["access_token"]
    assert await desk.read(token, Origin=PAGE) == 200
    assert await desk.read(token, Origin="https://other.example") == 403
    (grant,) = (await desk.server.ask("GET", "/api/v1/grants")).json["grants"]
    assert grant["origin"] == PAGE


NO_REQUESTS: list[tuple[str, dict[str, str], str]] = [
    ("no client", {"scope": "items:read"}, "invalid_request"),
    ("no scope", {"client_id": "x"}, "invalid_scope"),
    ("empty scope", {"client_id": "x", "scope": ""}, "invalid_scope"),
    ("unknown scope", {"client_id": "x", "scope": "items:read everything"}, "invalid_scope"),
    ("two spaces", {"client_id": "x", "scope": "items:read  items:write"}, "invalid_scope"),
    ("control in the name", {"client_id": "a\nb", "scope": "items:read"}, "invalid_request"),
    ("turned text in the name", {"client_id": "a\u202eb", "scope": "items:read"}, "invalid_request"),
    ("long name", {"client_id": "x" * 201, "scope": "items:read"}, "invalid_request"),
    ("blank name", {"client_id": "   ", "scope": "items:read"}, "invalid_request"),
    ("no app id", {"client_id": "x", "scope": "items:read", "app": "../x"}, "invalid_request"),
]


@pytest.mark.parametrize(("name", "form", "error"), NO_REQUESTS, ids=[row[0] for row in NO_REQUESTS])
async def test_what_is_no_request(desk: Desk, name: str, form: dict[str, str], error: str) -> None:
    answer = await desk.post("/oauth/device_authorization", **form)
    assert (answer.status, answer.json["error"]) == (400, error), answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["error_description"].isascii()
    assert await desk.requests() == []


async def test_bodies_that_are_no_forms(desk: Desk) -> None:
    form = "application/x-www-form-urlencoded"
    bodies: list[tuple[str, bytes, int]] = [
        ("application/json", b'{"client_id": "x", "scope": "items:read"}', 415),
        ("text/plain", b"client_id=x&scope=items%3Aread", 415),
        (form, b"client_id=x&client_id=y&scope=items%3Aread", 400),
        (form, b"client_id=%ff&scope=items%3Aread", 400),
        (form, b"client_id=x&scope=items%3Aread&" + b"a=1&" * 60, 400),
        (form, b"client_id=" + b"x" * 40_000, 413),
    ]
    for content_type, data, status in bodies:
        answer = await desk.server.ask(
            "POST", "/oauth/device_authorization", token=None, data=data,
            headers={"Content-Type": content_type},
        )  # fmt: skip
        assert (answer.status, answer.json["error"]) == (status, "invalid_request"), data[:50]
    assert await desk.requests() == []


async def test_a_page_cannot_call_itself_by_anothers_address(desk: Desk) -> None:
    for name, status in (
        ("https://bank.example", 400), ("https://bank.example/app", 400), ("HTTPS://BANK.example", 400),
        ("https://[", 400), (PAGE, 200), (f"{PAGE}/app", 200), ("The bank", 200),
    ):  # fmt: skip
        form = {"client_id": name, "scope": "items:read"}
        assert (await desk.post("/oauth/device_authorization", PAGE, **form)).status == status, name


@pytest.mark.parametrize(
    "origin", ["null", "", "file://", "https://a.example, https://b.example", "nonsense"]
)
async def test_origins_that_are_none(desk: Desk, origin: str) -> None:
    form = {"client_id": "x", "scope": "items:read"}
    answer = await desk.post("/oauth/device_authorization", origin, **form)
    assert (answer.status, answer.json["error"]) == (403, "access_denied")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert await desk.requests() == []


async def test_asking_too_soon_makes_it_slower(desk: Desk) -> None:
    device = await desk.device()
    form = {"grant_type": DEVICE_GRANT, "device_code": device["device_code"], "client_id": "Notes"}
    steps = [(2, "authorization_pending"), (1, "slow_down"), (2, "slow_down"), (7, "slow_down"),
             (17, "authorization_pending")]  # fmt: skip
    for seconds, error in steps:
        desk.clock.now += seconds
        assert (await desk.post("/oauth/token", **form)).json["error"] == error, seconds


async def test_refused(desk: Desk) -> None:
    device = await desk.device()
    refused = await desk.decide(device["user_code"], "refuse")
    assert (refused.status, refused.json["muted"]) == (200, False)
    assert (await desk.poll(device)).json["error"] == "access_denied"
    assert (await desk.server.ask("GET", "/api/v1/grants")).json["grants"] == []


async def test_who_is_refused_twice_is_muted_for_an_hour(desk: Desk) -> None:
    form = {"client_id": "Notes", "scope": "items:read"}
    for is_muted in (False, True):
        device = await desk.device()
        assert (await desk.decide(device["user_code"], "refuse")).json["muted"] is is_muted
    for name in ("Notes", "NOTES"):
        asked = await desk.post("/oauth/device_authorization", **{**form, "client_id": name})
        assert (asked.status, asked.json["error"]) == (403, "access_denied")
        assert int(asked.headers["Retry-After"]) == pytest.approx(3600, abs=5)
    assert await desk.requests() == []
    await desk.device("Another")
    await desk.device("Notes", origin=PAGE)
    assert ("request-muted", "Notes") in await desk.events("request-muted")
    desk.clock.now += 3601
    await desk.device("Notes")


async def test_an_allowed_program_begins_anew(desk: Desk) -> None:
    for what in ("refuse", "approve", "refuse"):
        device = await desk.device(app="shop")
        assert (await desk.decide(device["user_code"], what)).status == 200
    await desk.device()


async def test_too_many_requests(desk: Desk) -> None:
    for _ in range(MOST_OF_ONE):
        await desk.device()
    asked = await desk.post("/oauth/device_authorization", client_id="Notes", scope="items:read")
    assert (asked.status, asked.json["error"]) == (429, "temporarily_unavailable")
    assert asked.headers["Retry-After"] == "60"
    for n in range(MOST_OF_PROGRAMS - MOST_OF_ONE):
        await desk.device(f"Program {n}")
    asked = await desk.post("/oauth/device_authorization", client_id="one more", scope="items:read")
    assert asked.status == 429
    await desk.device("a page", origin=PAGE)
    desk.clock.now += 601
    await desk.device()


async def test_spoiled_requests_count_until_their_time_is_over(desk: Desk) -> None:
    for _ in range(MOST_OF_ONE):
        device = await desk.device()
        assert (await desk.poll(device, "somebody else")).json["error"] == "invalid_grant"
    assert await desk.requests() == []
    asked = await desk.post("/oauth/device_authorization", client_id="Notes", scope="items:read")
    assert asked.status == 429


async def test_nobody_decides(desk: Desk) -> None:
    device = await desk.device(app="shop")
    desk.clock.now += 590
    assert (await desk.poll(device)).json["error"] == "authorization_pending"
    desk.clock.now += 6
    assert (await desk.poll(device)).json["error"] == "expired_token"
    assert await desk.requests() == []
    late = await desk.decide(device["user_code"])
    assert (late.status, late.json["code"]) == (409, "request-expired")
    assert (await desk.poll(device)).json["error"] == "expired_token"
    assert ("request-expired", "Notes") in await desk.events("request-expired")
    desk.clock.now += 1200
    assert (await desk.poll(device)).json["error"] == "invalid_grant", "forgotten by now"


async def test_the_wall_clock_may_jump(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait by a clock that nobody sets; an ended token stays so when the wall clock goes back."""
    device = await desk.device(app="shop")
    now = time.time()
    for jump in (-10 * 86400.0, 10 * 86400.0, 0.0):
        monkeypatch.setattr("time.time", lambda jump=jump: now + jump)
        assert (await desk.poll(device)).json["error"] == "authorization_pending"
    await desk.decide(device["user_code"])
    token = (await desk.poll(device)).json["access_token"]
    assert await desk.read(token) == 200
    clock = time.monotonic()
    monkeypatch.setattr("localsrv.services.grants.time.monotonic", lambda: clock + 3700)
    monkeypatch.setattr("time.time", lambda: now - 86400.0)
    assert await desk.read(token) == 401


async def test_a_device_code_works_once(desk: Desk) -> None:
    device = await desk.device(app="shop")
    await desk.decide(device["user_code"])
    token = (await desk.poll(device)).json["access_token"]
    replayed = await desk.poll(device)
    assert replayed.json["error"] == "invalid_grant"
    assert await desk.read(token) == 401, "who comes twice with a code ends what it gave"
    assert (await desk.server.ask("GET", "/api/v1/grants")).json["grants"] == []
    assert "code-failed" in [event for event, _ in await desk.events("code-failed")]


async def test_a_device_code_that_comes_twice_at_once(desk: Desk) -> None:
    device = await desk.device(app="shop")
    await desk.decide(device["user_code"])
    answers = await asyncio.gather(*(desk.poll(device) for _ in range(4)))
    assert sum(answer.status == 200 for answer in answers) <= 1
    for answer in answers:
        if answer.status == 200:  # it came and went before the others
            assert await desk.read(answer.json["access_token"]) == 401
    assert (await desk.server.ask("GET", "/api/v1/grants")).json["grants"] == []


WRONG_POLLS: list[tuple[str, str, str | None]] = [
    ("another client", "Other", None),
    ("a page with a program's code", "Notes", PAGE),
]


@pytest.mark.parametrize(("name", "client", "origin"), WRONG_POLLS, ids=[row[0] for row in WRONG_POLLS])
async def test_a_code_is_for_one_client(desk: Desk, name: str, client: str, origin: str | None) -> None:
    device = await desk.device(app="shop")
    assert (await desk.poll(device, client, origin)).json["error"] == "invalid_grant"
    late = await desk.decide(device["user_code"])
    assert late.status == 409, "the request ended with the wrong try"
    assert (await desk.poll(device)).json["error"] == "expired_token"


async def test_a_pages_code_is_no_programs(desk: Desk) -> None:
    device = await desk.device(app="shop", origin=PAGE)
    await desk.decide(device["user_code"])
    assert (await desk.poll(device)).json["error"] == "invalid_grant"
    assert (await desk.poll(device, origin=PAGE)).status == 400
    assert (await desk.server.ask("GET", "/api/v1/grants")).json["grants"] == []


async def test_guessed_codes(desk: Desk) -> None:
    device = await desk.device(app="shop")
    wrong = "BCDF-BCDF" if device["user_code"] != "BCDF-BCDF" else "BCDF-BCDG"
    for n in range(WRONG_CODES):
        assert (await desk.decide(wrong)).json["code"] == "request-not-found", n
    stopped = await desk.decide(wrong)
    assert (stopped.status, stopped.json["code"]) == (429, "too-many-codes")
    assert (await desk.decide(device["user_code"])).status == 429
    assert await desk.requests() == [], "what could be guessed has ended"
    assert (await desk.poll(device)).json["error"] == "expired_token"
    desk.clock.now += 601
    again = await desk.device(app="shop")
    assert (await desk.decide(again["user_code"])).status == 200


async def test_decisions_narrow_and_never_widen(desk: Desk) -> None:
    device = await desk.device(scope="*:read items:write")
    (request,) = await desk.requests()
    path = request["id"]
    wider = [
        ({"app": "shop", "scopes": ["items:write", "others:write"]}, 400, "scope-too-wide"),
        ({"app": "shop", "scopes": ["admin"]}, 400, "scope-too-wide"),
        ({"app": "shop", "scopes": ["sync"]}, 400, "scope-too-wide"),
        ({"app": "shop", "scopes": ["files:*:read"]}, 400, "scope-too-wide"),
        ({"app": "shop", "scopes": []}, 400, "invalid-value"),
        ({"app": "nothing"}, 404, "app-not-found"),
        ({}, 400, "app-needed"),
        ({"app": "shop", "expires_in": 0}, 400, "invalid-value"),
        ({"app": "shop", "more": 1}, 400, "bad-request"),
    ]
    body: Any
    for body, status, code in wider:
        answer = await desk.decide(path, **body)
        assert (answer.status, answer.json["code"]) == (status, code), body
    narrowed = await desk.decide(path, app="shop", scopes=["items:read"])
    assert narrowed.json["scopes"] == ["items:read"]
    tokens = (await desk.poll(device)).json
    assert (tokens["scope"], tokens["app"]) == ("items:read", "shop")


async def test_another_app_than_asked_for_is_refused(desk: Desk) -> None:
    device = await desk.device(app="shop")
    answer = await desk.decide(device["user_code"], app="other")
    assert (answer.status, answer.json["code"]) == (409, "another-app")
    assert (await desk.decide(device["user_code"], app="shop")).status == 200


async def test_allowed_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = await desk.paired(decision={"once": True})
    assert "refresh_token" not in tokens
    assert tokens["expires_in"] == 3600
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 3601)
    assert await desk.read(tokens["access_token"]) == 401


async def test_allowed_for_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = await desk.paired(decision={"expires_in": 7200})
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 3700)
    renewed = await desk.refresh(tokens["refresh_token"])
    assert renewed.json["expires_in"] == pytest.approx(3500, abs=5), "not longer than the grant"
    monkeypatch.setattr("time.time", lambda: now + 7300)
    assert (await desk.refresh(renewed.json["refresh_token"])).json["error"] == "invalid_grant"


async def test_an_app_that_is_removed_takes_what_was_allowed_in_it(desk: Desk) -> None:
    """The next app of its name is another one."""
    device = await desk.device(app="shop")
    waiting = await desk.device("Other", app="shop")
    await desk.decide(device["user_code"])
    assert (await desk.server.ask("DELETE", "/api/v1/apps/shop?data=delete")).status == 200
    assert (await desk.decide(waiting["user_code"])).json["code"] == "app-not-found"
    await desk.server.make_app("shop")
    assert (await desk.poll(device)).json["error"] == "expired_token"
    assert desk.server.services.grants.all() == []


async def test_of_two_decisions_one_wins(desk: Desk) -> None:
    device = await desk.device(app="shop")
    answers = await asyncio.gather(
        *(desk.decide(device["user_code"], what) for what in ("approve", "refuse", "approve", "approve"))
    )
    won = [a for a in answers if a.status == 200]
    lost = [a for a in answers if a.status != 200]
    assert len(won) == 1
    assert {(a.status, a.json["code"]) for a in lost} == {(409, "request-decided")}
    assert {a.json["details"] for a in lost} == {
        "allowed" if won[0].json["status"] == "approved" else "refused"
    }
    polled = await desk.poll(device)
    assert polled.status == (200 if won[0].json["status"] == "approved" else 400)


async def test_only_the_owner_decides(desk: Desk) -> None:
    device = await desk.device(app="shop")
    (request,) = await desk.requests()
    token = await desk.server.key("shop", "*:read", "*:write", "sync")
    admin_of_one = await desk.server.key("shop", "admin")
    for other in (token, admin_of_one):
        for method, path in (
            ("GET", "/api/v1/requests"),
            ("POST", f"/api/v1/requests/{request['id']}/approve"),
            ("POST", f"/api/v1/requests/{device['user_code']}/approve"),
            ("POST", f"/api/v1/requests/{request['id']}/refuse"),
            ("GET", "/api/v1/grants"),
        ):
            assert (await desk.server.ask(method, path, token=other)).status == 403, path
    assert len(await desk.requests()) == 1
