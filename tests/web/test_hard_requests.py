"""Requests that are small to send and hard to answer: each is refused or answered in time, beside others."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.server import RunningServer
from tests.web.conftest import WebServer

SECONDS = 20
"""Much more than any of these takes, and much less than for ever."""

JSON = {"Content-Type": "application/json"}
DEEP = 100_000

HARD = {
    "arrays in arrays": "[" * DEEP + "]" * DEEP,
    "arrays that never end": "[" * DEEP,
    "objects in objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "an object in a body": '{"name":' + '{"a":' * DEEP + "1" + "}" * (DEEP + 1),
    "very many names": "{" + ",".join(f'"n{n}":1' for n in range(80_000)) + "}",
    "the same name very often": "{" + ",".join(['"a":1'] * 100_000) + "}",
    "a number of very many digits": '{"name": ' + "9" * 900_000 + "}",
    "an exponent": '{"name": 1e' + "9" * 100_000 + "}",
    "very many escapes": '{"name": "' + "\\u0000" * 100_000 + '"}',
}
PLACES = [
    ("POST", "/api/v1/keys"),
    ("POST", "/apps/shop/rest/v1/items"),
    ("PUT", "/apps/shop/couch/items/a"),
    ("POST", "/apps/shop/couch/items/_bulk_docs"),
    ("POST", "/apps/shop/couch/items/_find"),
]


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    await web_server.make_app("shop", items={"fields": {"name": "text"}})
    return web_server


@pytest.mark.parametrize("name", HARD)
async def test_bodies_that_are_hard_to_read(shop: WebServer, name: str) -> None:
    for method, path in PLACES:
        async with asyncio.timeout(SECONDS):
            told = await shop.ask(method, path, data=HARD[name].encode(), headers=JSON)
        assert told.status < 500, (path, told.body[:300])
    async with asyncio.timeout(SECONDS):
        assert (await shop.ask("GET", "/api/v1/health", token=None)).status == 200
    assert [g.name for g in shop.services.grants.all()] == []


def test_a_million_names(server: RunningServer) -> None:
    """As many as a body may have by default."""
    assert server.request("PUT", "/apps/default/couch/items").status == 201
    body = "{" + ",".join(f'"n{n}":1' for n in range(1_000_000)) + "}"
    began = time.monotonic()
    for method, path in (("POST", "/api/v1/keys"), ("PUT", "/apps/default/couch/items/a")):
        told = server.request(method, path, body, headers=JSON, timeout=60)
        assert told.status < 500, told.body[:300]
    assert server.request("GET", "/api/v1/health", token=None).status == 200
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("spec", ["0-", "-1", "0-0", "1-2", "5-1", "x"])
async def test_thousands_of_ranges(shop: WebServer, spec: str) -> None:
    """An answer is never much larger than what it is of, however often a part is asked for."""
    content = b"x" * 100_000
    text = {"Content-Type": "text/plain"}
    assert (await shop.ask("PUT", "/apps/shop/couch/items/a/big", data=content, headers=text)).status == 201
    path = "/api/v1/apps/shop/collections/items/documents/a/attachments/big"
    ranges = {"Range": "bytes=" + ",".join([spec] * (8000 // (len(spec) + 1)))}
    for where in ("/apps/shop/couch/items/a/big", path, "/index.html"):
        async with asyncio.timeout(SECONDS):
            told = await shop.ask("GET", where, headers=ranges)
        assert told.status in (200, 206, 404, 416), told.status
        assert len(told.body) <= 2 * len(content), (where, len(told.body))
