"""Attacks on the guard, as a table: what a browser or a hostile program may send, and what comes of it."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from localsrv.web.errors import ForeignOrigin
from localsrv.web.guard import Guard
from tests.web.conftest import ALLOWED_ORIGIN, WebServer

ITEMS = {"fields": {"name": "text"}}


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    """An app with one collection, and one document in it."""
    await web_server.make_app("shop", items=ITEMS)
    await web_server.make_app("other", items=ITEMS)
    await web_server.fill("shop", "items", {"_id": "a", "name": "apple"})
    return web_server


@dataclass
class Attack:
    """One request that must be refused. `{own}` in a header stands for the server's origin."""

    name: str
    status: int
    code: str
    method: str = "GET"
    path: str = "/api/v1/status"
    headers: dict[str, str] = field(default_factory=dict)
    token: str | None = ""
    app: str | None = None
    json: Any = None
    data: Any = None


KEYS = "/api/v1/keys"
FORM = "application/x-www-form-urlencoded"
KEY = {"name": "stolen", "app": "*", "scopes": ["admin"]}

ATTACKS = [
    # DNS rebinding: the page's own name resolves to 127.0.0.1
    Attack("foreign host", 421, "foreign-host", headers={"Host": "evil.example"}),
    Attack("rebound host with our port", 421, "foreign-host", headers={"Host": "evil.example:{port}"}),
    Attack("own name, no port", 421, "foreign-host", headers={"Host": "localhost"}),
    Attack("own name, other port", 421, "foreign-host", headers={"Host": "localhost:1"}),
    Attack("suffix of ours", 421, "foreign-host", headers={"Host": "evillocalhost:{port}"}),
    Attack("ours as a label", 421, "foreign-host", headers={"Host": "localhost.evil.example:{port}"}),
    Attack("trailing dot", 421, "foreign-host", headers={"Host": "localhost.:{port}"}),
    Attack("user in the host", 421, "foreign-host", headers={"Host": "localhost:{port}@evil.example"}),
    Attack("app that is not there", 421, "foreign-host", headers={"Host": "nothing.localhost:{port}"}),
    Attack("label of a label", 421, "foreign-host", headers={"Host": "a.shop.localhost:{port}"}),
    Attack("empty host", 421, "foreign-host", headers={"Host": ""}),
    Attack("bracketed nonsense", 421, "foreign-host", headers={"Host": "[::1"}),
    # other origins
    Attack("foreign origin reads", 403, "foreign-origin", headers={"Origin": "https://evil.example"}),
    Attack("foreign origin writes", 403, "foreign-origin", "POST", KEYS, {"Origin": "https://evil.example"},
           json=KEY),
    Attack("origin null", 403, "foreign-origin", "POST", KEYS, {"Origin": "null"}, json=KEY),
    Attack("origin null reads", 403, "foreign-origin", headers={"Origin": "null"}),
    Attack("our name, other port", 403, "foreign-origin", "POST", KEYS,
           {"Origin": "http://localhost:1"}, json=KEY),
    Attack("our name, https", 403, "foreign-origin", "POST", KEYS,
           {"Origin": "https://localhost:{port}"}, json=KEY),
    Attack("an app's page at the server's host", 403, "foreign-origin", "POST", KEYS,
           {"Origin": "http://shop.localhost:{port}"}, json=KEY),
    Attack("origin with a path", 403, "foreign-origin", "POST", KEYS, {"Origin": "{own}/"}, json=KEY),
    Attack("empty origin", 403, "foreign-origin", "POST", KEYS, {"Origin": ""}, json=KEY),
    Attack("two origins", 403, "foreign-origin", "POST", KEYS,
           {"Origin": "{own}, https://evil.example"}, json=KEY),
    Attack("cross-site write without an origin", 403, "foreign-origin", "POST", KEYS,
           {"Sec-Fetch-Site": "cross-site"}, json=KEY),
    Attack("same-site write without an origin", 403, "foreign-origin", "POST", KEYS,
           {"Sec-Fetch-Site": "same-site"}, json=KEY),
    Attack("own origin, cross-site", 403, "foreign-origin", "POST", KEYS,
           {"Origin": "{own}", "Sec-Fetch-Site": "cross-site"}, json=KEY),
    Attack("foreign WebSocket", 403, "foreign-origin", path="/api/v1/apps/shop/changes",
           headers={"Origin": "https://evil.example", "Upgrade": "websocket", "Connection": "Upgrade",
                    "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}),
    Attack("cross-site WebSocket without an origin", 403, "foreign-origin", path="/api/v1/apps/shop/changes",
           headers={"Sec-Fetch-Site": "cross-site", "Upgrade": "websocket", "Connection": "Upgrade",
                    "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}),
    Attack("preflight of a foreign origin", 403, "foreign-origin", "OPTIONS", KEYS,
           {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}, token=None),
    Attack("foreign origin at the code exchange", 403, "foreign-origin", "POST", "/api/v1/exchange",
           {"Origin": "https://evil.example"}, token=None, json={"code": "x"}),
    # forms, which need no preflight
    Attack("cross-origin form", 403, "foreign-origin", "POST", KEYS,
           {"Origin": "https://evil.example", "Content-Type": FORM}, data="a=b"),
    Attack("form with the owner's token", 415, "unsupported-media-type", "POST", KEYS,
           {"Content-Type": FORM}, data="a=b"),
    Attack("JSON called text", 415, "unsupported-media-type", "POST", KEYS,
           {"Content-Type": "text/plain"}, data='{"name": "x"}'),
    # tokens
    Attack("no token", 401, "unauthenticated", token=None),
    Attack("unknown token", 401, "bad-token", token="lsk_" + "A" * 43),
    Attack("empty token", 400, "malformed-header", headers={"Authorization": "Bearer "}, token=None),
    Attack("other scheme", 400, "malformed-header", headers={"Authorization": "Basic eDp5"}, token=None),
    Attack("token that is no ASCII", 401, "bad-token", headers={"apikey": "\xe9\xe9"}, token=None),
    Attack("token in the query", 401, "unauthenticated", path="/api/v1/status?token={owner}", token=None),
    Attack("token in a cookie", 401, "unauthenticated", headers={"Cookie": "token={owner}"}, token=None),
    # an app's host serves that app alone
    Attack("admin face on an app's host", 404, "no-such-route", app="shop"),
    Attack("another app on an app's host", 404, "no-such-route", path="/api/v1/apps/other/collections",
           app="shop"),
    Attack("keys on an app's host", 404, "no-such-route", path=KEYS, app="shop"),
    Attack("another app's faces on an app's host", 404, "PGRST125", path="/apps/other/rest/v1/items",
           app="shop"),
    # paths
    Attack("not UTF-8", 400, "malformed-target", path="/api/v1/apps/%ff/collections"),
    Attack("NUL", 400, "malformed-target", path="/api/v1/apps/a%00b/collections"),
    Attack("method that is not there", 405, "method-not-allowed", "PATCH"),
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
async def test_attacks_are_refused(shop: WebServer, attack: Attack) -> None:
    before = len(shop.services.grants.all())
    fill = {"{port}": str(shop.port), "{own}": shop.origin(), "{owner}": shop.owner}
    headers, path = dict(attack.headers), attack.path
    for mark, value in fill.items():
        headers = {name: text.replace(mark, value) for name, text in headers.items()}
        path = path.replace(mark, value)
    answer = await shop.ask(
        attack.method,
        path,
        app=attack.app,
        token=attack.token,
        headers=headers,
        json=attack.json,
        data=attack.data,
    )
    assert (answer.status, answer.json["code"]) == (attack.status, attack.code), answer.body
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "WWW-Authenticate" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert shop.owner not in answer.body.decode()
    assert len(shop.services.grants.all()) == before


RAW = [
    ("two hosts", "GET /api/v1/health HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n", 400),
    ("no host", "GET /api/v1/health HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    ("HTTP/1.0 without a host", "GET /api/v1/health HTTP/1.0\r\n\r\n", 400),
    ("absolute target", "GET http://evil.example/api/v1/health HTTP/1.1\r\nHost: {host}\r\n"
     "Connection: close\r\n\r\n", 400),
    ("no path", "OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", 400),
    ("CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", 400),
    ("bytes in a header", "GET /api/v1/health HTTP/1.1\r\nHost: {host}\r\nX: \x00\r\n\r\n", 400),
    ("header without a colon", "GET /api/v1/health HTTP/1.1\r\nHost: {host}\r\nnonsense\r\n\r\n", 400),
    ("folded header", "GET /api/v1/health HTTP/1.1\r\nHost: {host}\r\nX: a\r\n b\r\n\r\n", 400),
    ("two lengths", "POST /api/v1/keys HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n"
     "Content-Length: 2\r\n\r\n{{}}", 400),
    ("length and chunks", "POST /api/v1/keys HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n"
     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("negative length", "POST /api/v1/keys HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n", 400),
    ("very long header", "GET /api/v1/health HTTP/1.1\r\nHost: {host}\r\nX: " + "a" * 20_000 + "\r\n\r\n",
     400),
    ("very many headers", "GET /api/v1/health HTTP/1.1\r\nHost: {host}\r\n" + "X: a\r\n" * 500 + "\r\n", 400),
    ("not HTTP", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    ("range of nonsense", "GET /index.html HTTP/1.1\r\nHost: {host}\r\nRange: bytes=x-y\r\n"
     "Connection: close\r\n\r\n", None),
    ("date of nonsense", "GET /index.html HTTP/1.1\r\nHost: {host}\r\nIf-Modified-Since: soon\r\n"
     "Connection: close\r\n\r\n", None),
    ("content type of nonsense", "POST /api/v1/exchange HTTP/1.1\r\nHost: {host}\r\nContent-Type: ;;;=\r\n"
     "Content-Length: 2\r\nConnection: close\r\n\r\n{{}}", 415),
    ("header that is not UTF-8", "GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\napikey: \xff\xfe\r\n"
     "Connection: close\r\n\r\n", 401),
    ("target that is not ASCII", "GET /\xff\xfe HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", 400),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "status"), RAW, ids=[r[0] for r in RAW])
async def test_malformed_requests_are_answered_and_never_a_crash(
    web_server: WebServer, name: str, text: str, status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await web_server.raw(text.format(host=web_server.host()).encode("latin-1"))
    got = int(answer.split(b" ", 2)[1])
    assert got == status or (status is None and got < 500), answer
    assert not [r for r in caplog.records if r.levelname == "ERROR" or r.exc_info]
    if status is not None:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert set(json.loads(body)) >= {"code", "message", "details", "hint"}
        lines = head.decode().lower().split("\r\n")
        for line in ("content-type: application/json", "x-content-type-options: nosniff", "server: localsrv"):
            assert line in lines, head
    assert (await web_server.ask("GET", "/api/v1/health", token=None)).status == 200


async def test_the_log_of_what_cannot_be_read_has_no_content(
    web_server: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for text in (
        f"GET /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {web_server.owner}\x00\r\n\r\n",
        f"GET /x HTTP/1.1\r\nHost: localhost\r\nbad header {web_server.owner}\r\n\r\n",
        f"{web_server.owner}\r\n\r\n",
    ):
        answer = await web_server.raw(text.encode())
        assert answer.split()[1] == b"400" and web_server.owner.encode() not in answer
    assert web_server.owner not in caplog.text
    kinds = [vars(r)["fields"]["kind"] for r in caplog.records if r.name == "localsrv.web"]
    assert len(kinds) == 3 and set(kinds) <= {
        "InvalidHeader",
        "BadHttpMessage",
        "BadStatusLine",
        "BadHttpMethod",
    }


async def test_few_things_answer_without_a_token(shop: WebServer) -> None:
    from localsrv.web.app import served
    from localsrv.web.openapi import plain_path
    from localsrv.web.routes import Face

    open_paths = {path for path, route in served() if route.scope is None}
    couch = {f"/apps/{{app}}/couch{path}" for path in ("", "/_up", "/_session")}
    own = {f"/api/v1/{name}" for name in ("health", "challenge", "exchange", "ticket")}
    oauth = {f"/oauth/{name}" for name in ("authorize", "device_authorization", "token", "revoke")}
    assert open_paths == {*own, *oauth, "/.well-known/oauth-authorization-server", *couch}
    for path, route in served():
        if route.scope is None:
            continue
        path = plain_path(path)
        for name in route.parameters:
            path = path.replace(f"{{{name}}}", "x")
        path = path.replace("{app}", "shop")
        answer = await shop.ask(route.method, path, token=None)
        assert answer.status == 401, path
        assert ("WWW-Authenticate" in answer.headers) == (route.face is Face.COUCH)


async def test_names_that_are_ours_are_answered(shop: WebServer) -> None:
    names = [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "[::1]",
        "my-desk.local",
        "shop.localhost",
        "default.localhost",
    ]
    for name in names:
        answer = await shop.ask("GET", "/api/v1/health", token=None, headers={"Host": f"{name}:{shop.port}"})
        assert answer.json["status"] == "ok", name


async def test_an_origin_that_holds_a_grant_may_read_until_it_is_revoked(shop: WebServer) -> None:
    origin, path = "https://shop.example", "/api/v1/apps/shop/collections"
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization, prefer",
        "Access-Control-Request-Private-Network": "true",
    }
    assert (await shop.ask("OPTIONS", path, token=None, headers=asks)).status == 403
    token = await shop.key("shop", "*:read", origin=origin)

    preflight = await shop.ask("OPTIONS", path, token=None, headers=asks)
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == origin
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization, prefer"
    assert preflight.headers["Access-Control-Allow-Private-Network"] == "true"
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Allow-Credentials" not in preflight.headers

    answer = await shop.ask("GET", path, token=token, headers={"Origin": origin})
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "Origin" in answer.headers["Vary"]
    assert "Content-Range" in answer.headers["Access-Control-Expose-Headers"]

    refused = await shop.ask("GET", path, token=None, headers={"Origin": origin})
    assert refused.status == 401, "an error must be readable by the page, too"
    assert refused.headers["Access-Control-Allow-Origin"] == origin

    key = next(g.id for g in shop.services.grants.all() if g.origin == origin)
    assert (await shop.ask("DELETE", f"/api/v1/keys/{key}")).status == 200
    assert (await shop.ask("GET", path, token=token, headers={"Origin": origin})).status == 403
    assert (await shop.ask("GET", path, token=token)).status == 401


APP_ORIGINS = [
    "chrome-extension://" + "abcdefghijklmnop" * 2,
    "moz-extension://0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
    "app://obsidian.md",
    "capacitor://localhost",
    "tauri://localhost",
    "http://tauri.localhost",
    "ionic://localhost",
    "vscode-webview://0abc",
]


@pytest.mark.parametrize("origin", APP_ORIGINS)
async def test_extensions_and_apps_of_other_makers_are_granted_like_pages(
    shop: WebServer, origin: str
) -> None:
    path = "/apps/shop/rest/v1/items"
    asks = {"Origin": origin, "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "apikey", "Sec-Fetch-Site": "cross-site"}  # fmt: skip
    assert (await shop.ask("OPTIONS", path, token=None, headers=asks)).status == 403
    token = await shop.key("shop", "items:read", origin=origin)
    told = await shop.ask("OPTIONS", path, token=None, headers=asks)
    assert (told.status, told.headers["Access-Control-Allow-Origin"]) == (204, origin)
    assert told.headers["Access-Control-Allow-Headers"] == "apikey"
    read = await shop.ask(
        "GET", path, token=token, headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    )
    assert (read.status, read.headers["Access-Control-Allow-Origin"]) == (200, origin)
    near = origin[:-1] + ("x" if origin[-1] != "x" else "y")
    for other in (near, origin + ".evil.example", origin + ":1", origin.upper(), "https://evil.example"):
        for method in ("OPTIONS", "GET"):
            refused = await shop.ask(method, path, token=token, headers={**asks, "Origin": other})
            assert refused.status == 403, other
            assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize(
    "asked", ['x"y', "x;y", "x:y", "x=y", "x@y", "(x)", "x\u00e9", "x\\y", "<script>", "authorization, {x}"]
)
async def test_a_preflight_is_told_names_of_headers_alone(shop: WebServer, asked: str) -> None:
    """What a page asks for comes back in a header, so nothing but names may."""
    asks = {
        "Origin": ALLOWED_ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": asked,
    }
    answer = await shop.ask("OPTIONS", "/api/v1/status", token=None, headers=asks)
    assert answer.status == 204
    assert "Access-Control-Allow-Headers" not in answer.headers


async def test_null_is_never_granted_anything(shop: WebServer) -> None:
    """Not even where a setting or a damaged file says so: every sandboxed frame has this origin."""
    addresses = shop.services.addresses
    guard = Guard(addresses, lambda app: True, lambda origin: True, frozenset({"null"}))
    headers = {"Host": shop.host(), "Origin": "null"}
    request = make_mocked_request("GET", "/api/v1/status", headers=headers)
    for any_origin in (False, True):
        with pytest.raises(ForeignOrigin):
            guard.cors_origin(request, guard.site(shop.host()), any_origin)


async def test_a_listed_origin_needs_a_token_like_everyone(shop: WebServer) -> None:
    path, headers = "/api/v1/apps/shop/collections", {"Origin": ALLOWED_ORIGIN}
    assert (await shop.ask("GET", path, token=None, headers=headers)).status == 401
    answer = await shop.ask("GET", path, token=await shop.key("shop", "*:read"), headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED_ORIGIN


async def test_a_token_of_one_origin_is_refused_from_another(shop: WebServer) -> None:
    token = await shop.key("shop", "*:read", origin="https://shop.example")
    path = "/api/v1/apps/shop/collections"
    wrong = [
        {"Origin": ALLOWED_ORIGIN},
        {"Origin": shop.origin()},
        {"Sec-Fetch-Site": "same-origin"},
    ]
    for headers in wrong:
        answer = await shop.ask("GET", path, token=token, headers=headers)
        assert (answer.status, answer.json["code"]) == (403, "wrong-origin"), headers


SCOPES = [
    # scopes, app of the key, method, path, status
    (["items:read"], "shop", "GET", "/api/v1/apps/shop/collections/items/documents", 200),
    (["*:read"], "shop", "GET", "/api/v1/apps/shop/collections/items/documents", 200),
    (["admin"], "shop", "GET", "/api/v1/apps/shop/collections/items/documents", 200),
    (["*:read"], "*", "GET", "/api/v1/apps/shop/collections/items/documents", 200),
    (["items:write"], "shop", "GET", "/api/v1/apps/shop/collections/items/documents", 403),
    (["others:read"], "shop", "GET", "/api/v1/apps/shop/collections/items/documents", 403),
    (["*:read"], "other", "GET", "/api/v1/apps/shop/collections/items/documents", 403),
    (["items:read"], "shop", "GET", "/api/v1/apps/shop/collections", 403),
    (["*:read", "*:write"], "shop", "DELETE", "/api/v1/apps/shop/collections/items", 403),
    (["admin"], "shop", "GET", "/api/v1/apps", 403),
    (["admin"], "shop", "GET", "/api/v1/keys", 403),
    (["admin"], "shop", "GET", "/api/v1/status", 403),
    (["*:read", "*:write"], "*", "GET", "/api/v1/status", 403),
    (["admin"], "*", "GET", "/api/v1/status", 200),
    (["admin"], "*", "GET", "/api/v1/apps/nothing", 404),
    (["admin"], "shop", "GET", "/api/v1/apps/nothing", 403),
]


@pytest.mark.parametrize(("scopes", "app", "method", "path", "status"), SCOPES)
async def test_scopes(
    shop: WebServer, scopes: list[str], app: str, method: str, path: str, status: int
) -> None:
    answer = await shop.ask(method, path, token=await shop.key(app, *scopes))
    assert answer.status == status, answer.body
    assert "items" in shop.services.apps.opened["shop"].database.collections


async def test_the_apikey_header_is_a_token(shop: WebServer) -> None:
    token = await shop.key("shop", "*:read")
    answer = await shop.ask("GET", "/api/v1/apps/shop/collections", token=None, headers={"apikey": token})
    assert answer.status == 200


async def test_a_token_ends_when_it_expires(shop: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await shop.key("shop", "*:read", expires_in=60)
    assert (await shop.ask("GET", "/api/v1/apps/shop/collections", token=token)).status == 200
    later = time.time() + 61
    monkeypatch.setattr("localsrv.services.grants.time.time", lambda: later)
    answer = await shop.ask("GET", "/api/v1/apps/shop/collections", token=token)
    assert (answer.status, answer.json["code"]) == (401, "bad-token")


async def test_bodies_over_the_limit(shop: WebServer) -> None:
    path = "/api/v1/apps/shop/collections/items/import"
    big = io.BytesIO(b"[" + b" " * (1 << 20) + b"]")
    answer = await shop.ask("POST", path, data=big, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json["code"]) == (413, "too-large")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * (1 << 15)

    answer = await shop.ask("POST", path, data=chunks(), headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json["code"]) == (413, "too-large")


async def test_a_compressed_body_counts_by_what_it_becomes(shop: WebServer) -> None:
    bomb = gzip.compress(b"[" + b" " * (20 << 20) + b"]")
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await shop.ask("POST", "/api/v1/apps/shop/collections/items/import", data=bomb, headers=headers)
    assert answer.status == 413


async def test_a_refused_request_is_not_asked_for_its_body(web_server: WebServer) -> None:
    begin = f"POST /api/v1/keys HTTP/1.1\r\nHost: {web_server.host()}\r\nExpect: 100-continue\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", web_server.port)
    writer.write(f"{begin}Content-Length: 100\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()
    await writer.wait_closed()
    body = b'{"name":"k","app":"*","scopes":["admin"]}'
    head = (
        f"{begin}Content-Length: {len(body)}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\napikey: {web_server.owner}\r\n\r\n"
    )
    invited = await web_server.raw(head.encode() + body)
    assert invited.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201")


async def test_a_body_that_breaks_off_is_no_error_of_the_server(
    shop: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    head = (
        f"POST /api/v1/keys HTTP/1.1\r\nHost: {shop.host()}\r\nContent-Length: 1000\r\n"
        f"Content-Type: application/json\r\napikey: {shop.owner}\r\n\r\n"
    )
    writer.write(head.encode() + b'{"name"')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await shop.ask("GET", "/api/v1/keys")).json["keys"] == []
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
