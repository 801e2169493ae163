"""/cache/v1: an app's own cache."""

from __future__ import annotations

from typing import Any

import pytest

from localsrv.services.cache import MOST_VALUE
from tests.web.conftest import WebServer

FACE = "/apps/shop/cache/v1"


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    await web_server.make_app("shop")
    return web_server


async def test_a_value_of_any_type(shop: WebServer) -> None:
    missing = await shop.ask("GET", f"{FACE}/k")
    assert (missing.status, missing.json["code"]) == (404, "cache-miss")
    done = await shop.ask("PUT", f"{FACE}/k", data=b"\0\xff", headers={"Content-Type": "image/png"})
    assert done.status == 204
    found = await shop.ask("GET", f"{FACE}/k")
    assert (found.body, found.headers["Content-Type"]) == (b"\0\xff", "image/png")
    assert found.headers["ETag"] == done.headers["ETag"]
    assert "Cache-Expires" not in found.headers
    assert (await shop.ask("GET", f"{FACE}/k", headers={"If-None-Match": done.headers["ETag"]})).status == 304
    assert (await shop.ask("HEAD", f"{FACE}/k")).body == b""
    assert [(await shop.ask("DELETE", f"{FACE}/k")).json["deleted"] for _ in range(2)] == [True, False]


async def test_stored_pages_do_not_run(shop: WebServer) -> None:
    page = b"<script>alert(1)</script>"
    await shop.ask("PUT", f"{FACE}/k", data=page, headers={"Content-Type": "text/html"})
    found = await shop.ask("GET", f"{FACE}/k")
    assert found.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert (found.headers["Content-Disposition"], found.headers["X-Content-Type-Options"]) == (
        "attachment",
        "nosniff",
    )


@pytest.mark.parametrize(
    ("query", "headers", "is_bounded"),
    [
        ("?ttl=60", {}, True),
        ("?ttl=0.5", {}, True),
        ("", {"Cache-Control": "private, max-age=60"}, True),
        ("", {}, False),
    ],
)
async def test_how_long_it_lives(
    shop: WebServer, query: str, headers: dict[str, str], is_bounded: bool
) -> None:
    assert (await shop.ask("PUT", f"{FACE}/k{query}", data=b"1", headers=headers)).status == 204
    assert ("Cache-Expires" in (await shop.ask("GET", f"{FACE}/k")).headers) == is_bounded


async def test_conditions(shop: WebServer) -> None:
    free, path = {"If-None-Match": "*"}, f"{FACE}/lock"
    assert (await shop.ask("PUT", path, data=b"me", headers=free)).status == 204
    second = await shop.ask("PUT", path, data=b"you", headers=free)
    assert (second.status, second.json["code"]) == (412, "cache-changed")
    tag = (await shop.ask("GET", path)).headers["ETag"]
    assert (await shop.ask("PUT", path, data=b"you", headers={"If-Match": tag})).status == 204
    assert (await shop.ask("PUT", path, data=b"they", headers={"If-Match": tag})).status == 412
    assert (await shop.ask("GET", path)).body == b"you"


async def test_counters(shop: WebServer) -> None:
    path = f"{FACE}/n/increment"
    assert (await shop.ask("POST", path)).json == {"value": 1, "expires_at": None}
    assert (await shop.ask("POST", path, json={"by": 41})).json["value"] == 42
    assert (await shop.ask("GET", f"{FACE}/n")).body == b"42"
    assert (await shop.ask("POST", f"{FACE}/m/increment", json={"ttl": 60})).json["expires_at"]
    await shop.ask("PUT", f"{FACE}/n", data=b"x")
    answer = await shop.ask("POST", path)
    assert (answer.status, answer.json["code"]) == (409, "not-a-number")


BAD: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("PUT", "k?ttl=0", {"data": b"1"}, 400, "invalid-value"),
    ("PUT", "k?ttl=-1", {"data": b"1"}, 400, "invalid-value"),
    ("PUT", "k?ttl=soon", {"data": b"1"}, 400, "invalid-value"),
    ("PUT", "k?ttl=nan", {"data": b"1"}, 400, "invalid-value"),
    ("PUT", "k?ttl=1e300", {"data": b"1"}, 400, "invalid-value"),
    ("PUT", "k" * 251, {"data": b"1"}, 400, "bad-key"),
    ("PUT", "%0a", {"data": b"1"}, 400, "bad-key"),
    ("PUT", "k", {"data": b"1", "headers": {"If-Match": "*"}}, 400, "malformed-header"),
    ("PUT", "k", {"data": b"1", "headers": {"If-None-Match": '"a"'}}, 400, "malformed-header"),
    ("PUT", "k", {"data": b"1", "headers": {"Content-Type": "text"}}, 400, "malformed-header"),
    ("PUT", "k", {"data": bytes(MOST_VALUE) + b"1"}, 413, "too-large"),
    ("POST", "k/increment", {"json": {"by": 1.5}}, 400, "invalid-value"),
    ("POST", "k/increment", {"json": {"by": 1 << 63}}, 400, "inexact-number"),
    ("POST", "k/increment", {"json": {"ttl": 0}}, 400, "invalid-value"),
    ("POST", "k/increment", {"data": "by=1"}, 415, "unsupported-media-type"),
    ("PATCH", "k", {"data": b"1"}, 405, "method-not-allowed"),
    ("GET", "a/b", {}, 404, "no-such-route"),
]


@pytest.mark.parametrize(("method", "path", "options", "status", "code"), BAD, ids=range(len(BAD)))
async def test_what_is_refused(
    shop: WebServer, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    if len(options.get("data", b"")) > MOST_VALUE:
        import io

        options = {**options, "data": io.BytesIO(options["data"])}
    answer = await shop.ask(method, f"{FACE}/{path}", **options)
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert (await shop.ask("GET", f"{FACE}/k")).status == 404


async def test_who_may_use_it(shop: WebServer) -> None:
    key = await shop.key("shop", "cache:use")
    assert (await shop.ask("PUT", f"{FACE}/k", data=b"1", token=key)).status == 204
    assert (await shop.ask("GET", "/cache/v1/k", app="shop", token=key)).body == b"1"
    lesser = await shop.key("shop", "*:read", "*:write", "sync")
    assert (await shop.ask("GET", f"{FACE}/k", token=lesser)).status == 403
    assert (await shop.ask("GET", f"{FACE}/k", token=None)).status == 401
    await shop.make_app("other")
    assert (await shop.ask("GET", "/apps/other/cache/v1/k")).status == 404, "every app has its own"
    assert (await shop.ask("DELETE", "/api/v1/apps/shop?data=delete")).status == 200
    await shop.make_app("shop")
    assert (await shop.ask("GET", f"{FACE}/k")).status == 404
