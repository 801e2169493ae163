"""What is open when a grant is revoked ends within a second: live feeds of both faces, downloads, uploads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.web.conftest import WebServer

SECOND = 1.0
ITEMS = {"fields": {"name": "text"}}
BIG = 64 << 20


@pytest.fixture
async def shop(web_server: WebServer) -> AsyncIterator[WebServer]:
    await web_server.make_app("shop", items=ITEMS)
    await web_server.fill("shop", "items", {"_id": "a", "name": "apple"})
    yield web_server


async def revoke(server: WebServer) -> float:
    """Ends the only grant there is, and returns when that was."""
    (grant,) = (await server.ask("GET", "/api/v1/grants")).json["grants"]
    assert (await server.ask("DELETE", f"/api/v1/grants/{grant['id']}")).json == {"revoked": grant["id"]}
    return time.monotonic()


FEEDS = {
    "events of the live feed": ("/api/v1/apps/shop/changes", "*:read"),
    "continuous": ("/apps/shop/couch/items/_changes?feed=continuous&heartbeat=30000", "sync"),
    "longpoll": ("/apps/shop/couch/items/_changes?feed=longpoll&since=now&heartbeat=30000", "sync"),
    "eventsource": ("/apps/shop/couch/items/_changes?feed=eventsource&since=now&heartbeat=30000", "sync"),
    "requests": ("/api/v1/requests", "admin"),
}


@pytest.mark.parametrize("name", FEEDS)
async def test_feeds(shop: WebServer, name: str) -> None:
    path, scope = FEEDS[name]
    token = await shop.key("*" if scope == "admin" else "shop", scope)
    if name == "requests":
        version = (await shop.ask("GET", path)).json["version"]
        path += f"?version={version}&wait=60"
    headers = shop.headers(token=token)
    request = shop.session.get(URL(shop.url + path, encoded=True), headers=headers)
    asked = asyncio.ensure_future(_read_to_end(request))
    await asyncio.wait([asked], timeout=0.3)
    assert not asked.done(), "the feed is open"
    at = await revoke(shop)
    ended = await asyncio.wait_for(asked, 5)
    assert ended - at < SECOND


async def _read_to_end(request: Any) -> float:
    try:
        async with request as response:
            await response.read()
    except aiohttp.ClientError:
        pass  # cut off, which is an end too
    return time.monotonic()


@pytest.mark.parametrize("path", ["/api/v1/apps/shop/changes", "/api/v1/requests"])
async def test_web_sockets(shop: WebServer, path: str) -> None:
    token = await shop.key("*", "admin")
    async with shop.session.ws_connect(shop.url + path, headers=shop.headers(token=None)) as socket:
        await socket.send_json({"token": token})
        assert (await asyncio.wait_for(socket.receive_json(), 5)) is not None
        at = await revoke(shop)
        told = await asyncio.wait_for(socket.receive_json(), 5)
        assert (told["type"], told["code"]) == ("error", "bad-token")
        closed = await asyncio.wait_for(socket.receive(), 5)
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 4401)
        assert time.monotonic() - at < SECOND


ATTACHMENTS = [
    "/api/v1/apps/shop/collections/items/documents/a/attachments/big",
    "/apps/shop/couch/items/a/big",
]


@pytest.mark.parametrize("path", ATTACHMENTS, ids=["admin face", "sync face"])
async def test_downloads(shop: WebServer, path: str, tmp_path: Path) -> None:
    shop.services.max_upload = BIG * 2
    picture = tmp_path / "big"
    with picture.open("wb") as file:
        file.truncate(BIG)
    with picture.open("rb") as file:
        put = await shop.ask(
            "PUT", ATTACHMENTS[0], data=file, headers={"Content-Type": "application/octet-stream"}
        )
    assert put.status == 201, put.body
    token = await shop.key("shop", "sync")
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port, limit=1 << 16)
    head = f"GET {path} HTTP/1.1\r\nHost: {shop.host()}\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    at = await revoke(shop)
    await asyncio.wait_for(_cut(shop, path), 5)
    assert time.monotonic() - at < SECOND
    read = 0
    try:
        while data := await reader.read(1 << 16):
            read += len(data)
    except ConnectionError:
        pass
    assert read < BIG, "the rest never came"
    writer.close()


async def _cut(server: WebServer, path: str) -> None:
    """Returns when the server is not busy with a request of this path any more."""
    while any(r.path == path for r in server.services.flight.requests.values()):
        await asyncio.sleep(0.01)


async def test_uploads(shop: WebServer) -> None:
    token = await shop.key("shop", "sync")
    sent = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        sent.set()
        await asyncio.sleep(3600)

    path = "/apps/shop/couch/items/b/big"
    asked = asyncio.ensure_future(
        shop.ask("PUT", path, token=token, data=endless(), headers={"Content-Type": "text/plain"})
    )
    await asyncio.wait_for(sent.wait(), 5)
    at = await revoke(shop)
    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(asked, 5)
    assert time.monotonic() - at < SECOND
    assert (await shop.ask("GET", "/apps/shop/couch/items/b")).status == 404


async def test_others_go_on(shop: WebServer) -> None:
    """Only what the grant itself has open ends."""
    token = await shop.key("shop", "*:read")
    headers = shop.headers()
    path = "/apps/shop/couch/items/_changes?feed=continuous&timeout=1500"
    asked = asyncio.ensure_future(_read_to_end(shop.session.get(shop.url + path, headers=headers)))
    (grant,) = (await shop.ask("GET", "/api/v1/grants")).json["grants"]
    begun = time.monotonic()
    assert (await shop.ask("DELETE", f"/api/v1/grants/{grant['id']}", token=None)).status == 401
    assert (await shop.ask("DELETE", f"/api/v1/grants/{grant['id']}", token=token)).status == 403
    await revoke(shop)
    assert await asked - begun > 1.2
