"""Feeds that are opened or talked to without end: what one client may take of the server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import zlib

import aiohttp
import pytest

from localsrv.web import endings, live
from tests.web.conftest import WebServer

PATH = "/api/v1/apps/shop/changes"
COUCH = "/apps/shop/couch/items/_changes?feed="


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    await web_server.make_app("shop", items={"fields": {"name": "text"}})
    return web_server


async def upgraded(shop: WebServer, *lines: str) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket by hand: the answer's head, and what comes after it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    head = [
        f"GET {PATH} HTTP/1.1", f"Host: {shop.host()}", f"apikey: {shop.owner}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *lines,
    ]  # fmt: skip
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    async with asyncio.timeout(10):
        return await reader.readuntil(b"\r\n\r\n"), reader, writer


def frame(first: int, length: int, body: bytes = b"") -> bytes:
    """A frame of a client, whose mask is nothing but zeros. `length` is what it says, whatever comes."""
    short = (
        bytes([first, 0x80 | length]) if length < 126 else bytes([first, 0xFF]) + struct.pack(">Q", length)
    )
    return short + bytes(4) + body


async def test_compression_is_not_agreed_to(shop: WebServer) -> None:
    """So that no message can become larger than it came; one that is compressed all the same closes."""
    told, reader, writer = await upgraded(shop, "Sec-WebSocket-Extensions: permessage-deflate")
    assert told.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-extensions" not in told.lower()
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(10 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)
    writer.write(frame(0x81 | 0x40, len(bomb), bomb))
    await closed(reader, writer)


@pytest.mark.parametrize("length", [live.LONGEST_MESSAGE + 1, 1 << 32, (1 << 63) - 1])
async def test_a_frame_that_says_it_is_huge_closes_at_once(shop: WebServer, length: int) -> None:
    _, reader, writer = await upgraded(shop)
    writer.write(frame(0x81, length, b"x" * 100))
    await closed(reader, writer)


async def test_a_message_in_very_many_parts_closes(shop: WebServer) -> None:
    _, reader, writer = await upgraded(shop)
    writer.write(frame(0x01, 100, b"x" * 100))
    for _ in range(live.LONGEST_MESSAGE // 100 + 2):
        writer.write(frame(0x00, 100, b"x" * 100))
    await closed(reader, writer)


async def closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server says goodbye and ends the connection."""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            rest = await reader.read()
            assert b"\x88" in rest, rest
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_messages_without_end_stop_nobody(shop: WebServer) -> None:
    """They are thrown away as they come; others are answered meanwhile, and nothing piles up."""
    async with shop.session.ws_connect(shop.url + PATH, headers=shop.headers()) as socket:
        assert (await socket.receive_json(timeout=10))["type"] == "ready"
        text = os.urandom(4000).hex()

        async def flood() -> None:
            while True:
                await socket.send_str(text)

        flooding = asyncio.create_task(flood())
        try:
            for _ in range(20):
                async with asyncio.timeout(5):
                    assert (await shop.ask("GET", "/api/v1/health", token=None)).status == 200
            await shop.fill("shop", "items", {"_id": "a", "name": "apple"})
            change = await socket.receive_json(timeout=10)
            assert change["id"] == "a"
        finally:
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)


@pytest.mark.parametrize("kind", ["events", "continuous", "eventsource", "longpoll"])
async def test_one_grant_has_so_many_feeds_and_others_have_theirs(
    shop: WebServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(endings, "MOST_OF_ONE", 3)
    greedy, modest = await shop.key("shop", "*:read"), await shop.key("shop", "*:read")
    path = PATH if kind == "events" else f"{COUCH}{kind}&since=now&heartbeat=60000"

    async def feed(token: str) -> aiohttp.ClientResponse:
        return await shop.session.get(shop.url + path, headers=shop.headers(token=token))

    async with contextlib.AsyncExitStack() as opened:
        for _ in range(3):
            opened.callback((await feed(greedy)).close)
        async with asyncio.timeout(10):
            fourth = await shop.ask("GET", path, token=greedy)
        assert (fourth.status, fourth.headers["Retry-After"]) == (429, "5"), fourth.body
        assert b"open already" in fourth.body
        opened.callback((await feed(modest)).close)
        assert len(shop.endings) == 4


async def test_so_it_is_with_sockets(shop: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "MOST_OF_ONE", 1)
    token = await shop.key("shop", "*:read")
    url, headers = shop.url + PATH, shop.headers(token=token)
    async with shop.session.ws_connect(url, headers=headers) as first:
        assert (await first.receive_json(timeout=10))["type"] == "ready"
        async with shop.session.ws_connect(url, headers=headers) as second:
            assert (await second.receive_json(timeout=10))["code"] == "too-many-feeds"
            assert (await second.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
