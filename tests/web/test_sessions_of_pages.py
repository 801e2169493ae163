"""A page keeps its access, gives it up and asks for it; publishable keys work in an app's own pages alone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from localsrv.services.tokens import PAGE_SECONDS
from tests.support.oauth import DEVICE_GRANT
from tests.web.conftest import WebServer

ITEMS = {"fields": {"name": "text"}}
SESSION = "/api/v1/session"


@pytest.fixture
async def shop(web_server: WebServer) -> AsyncIterator[WebServer]:
    for app in ("shop", "other"):
        await web_server.make_app(app, items=ITEMS)
    await web_server.fill("shop", "items", {"_id": "a", "name": "apple"})
    yield web_server


def page(server: WebServer, app: str | None) -> dict[str, str]:
    return {"Origin": server.origin(app), "Sec-Fetch-Site": "same-origin"}


async def opened(server: WebServer, app: str | None) -> str:
    """The token of a page that was opened by a code."""
    code = (await server.ask("POST", "/api/v1/codes", json={"app": app})).json["code"]
    given = await server.ask(
        "POST", "/api/v1/exchange", app=app, token=None, headers=page(server, app), json={"code": code}
    )
    return str(given.json["token"])


@pytest.mark.parametrize("app", [None, "shop"])
async def test_a_page_keeps_its_access_and_gives_it_up(
    shop: WebServer, app: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await opened(shop, app)

    async def ask(method: str) -> Any:
        return await shop.ask(method, SESSION, app=app, token=token, headers=page(shop, app))

    shown = (await ask("GET")).json
    assert (shown["kind"], shown["app"]) == ("page", app or "*")
    assert shown["words"]
    first = shown["expires_at"]
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 86400.0)
    renewed = await ask("POST")
    assert renewed.status == 200
    assert renewed.json["expires_at"] > first
    monkeypatch.setattr("time.time", lambda: now + PAGE_SECONDS + 3600.0)
    assert (await ask("GET")).status == 200, "it goes on after its first end"
    monkeypatch.setattr("time.time", lambda: now + PAGE_SECONDS + 86400.0 + 10)
    assert (await ask("POST")).status == 401, "nobody came back in time"
    monkeypatch.setattr("time.time", lambda: now)
    assert (await ask("DELETE")).status == 200
    assert (await ask("GET")).status == 401
    assert shop.services.grants.all() == []


async def test_a_code_that_is_none_is_noted(shop: WebServer) -> None:
    body = {"code": "guessed"}
    for _ in range(2):
        answer = await shop.ask(
            "POST", "/api/v1/exchange", app="shop", token=None, headers=page(shop, "shop"), json=body
        )
        assert (answer.status, answer.json["code"]) == (403, "bad-code")
    (entry,) = (await shop.ask("GET", "/api/v1/audit?event=code-failed")).json["entries"]
    assert (entry["origin"], entry["count"]) == (shop.origin("shop"), 2)


async def test_a_session_is_its_own_pages(shop: WebServer) -> None:
    token = await opened(shop, "shop")
    for method in ("GET", "POST", "DELETE"):
        answer = await shop.ask(method, SESSION, app="other", token=token, headers=page(shop, "other"))
        assert (answer.status, answer.json["code"]) == (403, "wrong-origin")
    assert (await shop.ask("GET", SESSION, app="shop", token=token, headers=page(shop, "shop"))).status == 200


async def test_keys_are_no_sessions(shop: WebServer) -> None:
    key = await shop.key("shop", "*:read")
    assert (await shop.ask("GET", SESSION, token=key)).json["kind"] == "key"
    for token in (key, ""):
        for method in ("POST", "DELETE"):
            answer = await shop.ask(method, SESSION, token=token)
            assert (answer.status, answer.json["code"]) == (403, "not-a-session")
    assert (await shop.ask("GET", SESSION, token=None)).status == 401
    assert (await shop.ask("GET", SESSION, token=key)).status == 200


@pytest.mark.parametrize(("app", "scope"), [("shop", "*:read *:write"), (None, "admin")])
async def test_a_page_without_a_token_asks_for_it(shop: WebServer, app: str | None, scope: str) -> None:
    """On its own host, as its pages' policy wants; what it gets is a page's token, as from a code."""
    headers = page(shop, app)
    form = {"client_id": "The page", "scope": scope} | ({} if app else {"app": "*"})
    asked = await shop.ask(
        "POST", "/oauth/device_authorization", app=app, token=None, headers=headers, data=form
    )
    assert asked.status == 200, asked.body
    (request,) = (await shop.ask("GET", "/api/v1/requests")).json["requests"]
    assert (request["origin"], request["app"]) == (shop.origin(app), app or "*")
    assert (await shop.ask("POST", f"/api/v1/requests/{request['id']}/approve")).status == 200
    poll = {"grant_type": DEVICE_GRANT, "device_code": asked.json["device_code"], "client_id": "The page"}
    given = await shop.ask("POST", "/oauth/token", app=app, token=None, headers=headers, data=poll)
    assert given.status == 200, given.body
    assert "refresh_token" not in given.json
    assert given.json["expires_in"] == PAGE_SECONDS
    shown = await shop.ask("POST", SESSION, app=app, token=given.json["access_token"], headers=headers)
    assert (shown.json["kind"], shown.json["origin"]) == ("page", shop.origin(app))


async def test_a_page_of_one_app_that_asks_for_another_is_paired(shop: WebServer) -> None:
    headers = page(shop, "shop")
    form = {"client_id": "The shop", "scope": "items:read", "app": "other"}
    asked = await shop.ask(
        "POST", "/oauth/device_authorization", app="shop", token=None, headers=headers, data=form
    )
    await shop.ask("POST", f"/api/v1/requests/{asked.json['user_code']}/approve")
    poll = {"grant_type": DEVICE_GRANT, "device_code": asked.json["device_code"], "client_id": "The shop"}
    given = await shop.ask("POST", "/oauth/token", app="shop", token=None, headers=headers, data=poll)
    assert given.json["expires_in"] == 3600
    (grant,) = shop.services.grants.all()
    assert (grant.kind, grant.app, grant.origin) == ("paired", "other", shop.origin("shop"))


# ── publishable keys ───────────────────────────────────────────────────────────────────────────────────────


async def publishable(server: WebServer, *scopes: str) -> str:
    return await server.key("shop", *(scopes or ("items:read",)), publishable=True)


async def test_a_publishable_key_works_in_the_apps_own_pages(shop: WebServer) -> None:
    key = await publishable(shop)
    assert key.startswith("lsp_")
    own = shop.origin("shop")
    by_path, by_host = "/apps/shop/rest/v1/items", "/rest/v1/items"
    asks: list[tuple[str, str | None, str, dict[str, str], int]] = [
        ("its page on its host", "shop", by_host, {"Sec-Fetch-Site": "same-origin"}, 200),
        ("its page on its host, with an origin", "shop", by_host, page(shop, "shop"), 200),
        ("its page by path", None, by_path, {"Origin": own, "Sec-Fetch-Site": "same-site"}, 200),
        ("a program", None, by_path, {}, 403),
        ("a program on its host", "shop", by_host, {}, 403),
        ("an extension without an origin", None, by_path, {"Sec-Fetch-Site": "none"}, 403),
        ("the first page", None, by_path, page(shop, None), 403),
        ("the first page, without an origin", None, by_path, {"Sec-Fetch-Site": "same-origin"}, 403),
        ("another app", None, by_path, {"Origin": shop.origin("other"), "Sec-Fetch-Site": "same-site"}, 403),
        ("another page", None, by_path, {"Origin": "https://evil.example"}, 403),
        ("null", None, by_path, {"Origin": "null"}, 403),
        ("another site without an origin", None, by_path, {"Sec-Fetch-Site": "cross-site"}, 403),
    ]
    for name, app, path, headers, status in asks:
        answer = await shop.ask("GET", path, app=app, token=key, headers=headers)
        assert answer.status == status, (name, answer.body)
        by_apikey = await shop.ask("GET", path, app=app, token=None, headers={**headers, "apikey": key})
        assert by_apikey.status == status, name
    write = await shop.ask(
        "POST", by_host, app="shop", token=key, headers=page(shop, "shop"), json={"name": "x"}
    )
    assert write.status == 403
    preflight = {"Origin": own, "Access-Control-Request-Method": "GET"}
    assert (await shop.ask("OPTIONS", by_path, token=None, headers=preflight)).status == 204


async def test_a_publishable_key_can_be_shown_again_and_ends(shop: WebServer) -> None:
    key = await publishable(shop, "items:read", "items:write")
    (told,) = (await shop.ask("GET", "/api/v1/keys")).json["keys"]
    assert (told["kind"], told["token"]) == ("publishable", key)
    assert (await shop.ask("DELETE", f"/api/v1/keys/{told['id']}")).status == 200
    headers = {"Sec-Fetch-Site": "same-origin"}
    assert (await shop.ask("GET", "/rest/v1/items", app="shop", token=key, headers=headers)).status == 401
    preflight = {"Origin": shop.origin("shop"), "Access-Control-Request-Method": "GET"}
    gone = await shop.ask("OPTIONS", "/apps/shop/rest/v1/items", token=None, headers=preflight)
    assert gone.status == 403


BAD: list[tuple[dict[str, Any], str]] = [
    ({"app": "*", "scopes": ["items:read"]}, "app"),
    ({"app": "shop", "scopes": ["*:read"]}, "scopes"),
    ({"app": "shop", "scopes": ["items:read", "*:write"]}, "scopes"),
    ({"app": "shop", "scopes": ["admin"]}, "scopes"),
    ({"app": "shop", "scopes": ["sync"]}, "scopes"),
    ({"app": "shop", "scopes": ["files:pictures:read"]}, "scopes"),
    ({"app": "shop", "scopes": ["_replicator:read"]}, "scopes"),
    ({"app": "shop", "scopes": ["items:read"], "origin": "https://a.example"}, "origin"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_what_no_publishable_key_can_be(shop: WebServer, body: dict[str, Any], field: str) -> None:
    answer = await shop.ask("POST", "/api/v1/keys", json={"name": "x", "publishable": True, **body})
    assert (answer.status, answer.json["details"]) == (400, field)
    assert shop.services.grants.all() == []
