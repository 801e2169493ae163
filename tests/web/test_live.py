"""The live feed, as server-sent events and as a WebSocket, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from localsrv.web import live, live_feed
from tests.web.conftest import WebServer

PATH = "/api/v1/apps/shop/changes"
ITEMS = {"fields": {"name": "text", "stock": "integer"}, "key": "name"}


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    await web_server.make_app("shop", items=ITEMS, notes={"fields": {"text": "text"}})
    await web_server.fill("shop", "items", {"name": "apple", "stock": 1})
    return web_server


class Events:
    """Frames of a server-sent stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> dict[str, Any]:
        """The next frame; its `id` must be its `seq`. Heartbeats are skipped."""
        async with asyncio.timeout(10):
            lines = []
            while True:
                line = (await self.response.content.readline()).decode().rstrip("\n")
                if line.startswith(":"):
                    await self.response.content.readline()
                elif line:
                    lines.append(line)
                elif lines:
                    break
                elif self.response.content.at_eof():
                    raise EOFError
        fields = dict(line.split(": ", 1) for line in lines)
        frame: dict[str, Any] = json.loads(fields["data"])
        assert fields.get("id") == frame.get("seq")
        return frame


@asynccontextmanager
async def events(
    server: WebServer, query: str = "", token: str = "", **headers: str
) -> AsyncIterator[Events]:
    async with server.session.get(
        server.url + PATH + query, headers=server.headers(token=token, headers=headers)
    ) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        yield Events(response)


async def write(server: WebServer, name: str, stock: int, collection: str = "items") -> None:
    await server.fill("shop", collection, {"name": name, "stock": stock})


async def test_changes_arrive_with_their_rows(shop: WebServer) -> None:
    async with events(shop, "?collections=items&include=row") as feed:
        assert (await feed.next())["type"] == "ready"
        await shop.services.apps.opened["shop"].database.insert("items", [{"name": "pear", "stock": 3}])
        change = await feed.next()
        assert change["type"] == "change"
        assert (change["collection"], change["id"], change["deleted"]) == ("items", "pear", False)
        assert change["row"] == {"name": "pear", "stock": 3}
        assert change["source"] == "local"
        assert change["rev"].startswith("1-")
        assert change["at"].endswith("Z")


async def test_without_rows_there_is_only_the_news(shop: WebServer) -> None:
    async with events(shop, "?collections=items") as feed:
        await feed.next()
        await write(shop, "pear", 3)
        assert (await feed.next())["row"] is None


async def test_only_what_was_asked_for(shop: WebServer) -> None:
    async with events(shop, "?collections=items&include=row&filter=stock%3Dgt.5") as feed:
        await feed.next()
        await shop.fill("shop", "notes", {"_id": "n", "text": "not asked for"})
        await write(shop, "many", 6)
        change = await feed.next()
        assert (change["id"], change["matches"], change["row"]["stock"]) == ("many", True, 6)


async def test_what_ceases_to_match_a_filter_is_told(shop: WebServer) -> None:
    async with events(shop, "?collections=items&include=row&filter=stock%3Dgt.5") as feed:
        await feed.next()
        for stock in (6, 5):
            await write(shop, "pear", stock)
            change = await feed.next()
            assert (change["id"], change["matches"]) == ("pear", stock > 5)
            assert (change["row"] is not None) == (stock > 5)
        gone = await shop.ask("DELETE", "/apps/shop/rest/v1/items?name=eq.pear")
        assert gone.status == 204
        change = await feed.next()
        assert (change["deleted"], change["matches"], change["row"]) == (True, False, None)


async def test_all_collections_include_later_ones(shop: WebServer) -> None:
    async with events(shop) as feed:
        await feed.next()
        made = await shop.ask("PUT", "/api/v1/apps/shop/collections/later", json={"fields": {"a": "text"}})
        assert made.status == 201
        await shop.fill("shop", "later", {"_id": "x", "a": "b"})
        assert (await feed.next())["collection"] == "later"


async def test_a_feed_goes_on_without_gap_or_duplicate(shop: WebServer) -> None:
    """Readers that leave at any moment and come back see each document's latest state, and nothing twice."""
    seen: list[tuple[str, str]] = []
    async with events(shop) as feed:
        since = (await feed.next())["seq"]
    done = asyncio.Event()

    async def writing() -> None:
        for number in range(60):
            await write(shop, f"item{number % 7}", number)
        await write(shop, "last", 1)
        done.set()

    writer = asyncio.create_task(writing())
    finished = False
    while not finished:
        async with events(shop, f"?since={since}") as feed:
            assert (await feed.next())["seq"] == since
            for _ in range(3):
                change = await feed.next()
                seen.append((change["id"], change["rev"]))
                since = change["seq"]
                if change["id"] == "last":
                    finished = True
                    break
    await writer
    assert len(seen) == len(set(seen))
    latest = dict(seen)
    listed = await shop.ask("GET", "/api/v1/apps/shop/collections/items/documents?limit=100")
    stored = {d["_id"]: d["_rev"] for d in listed.json["documents"]}
    del stored["apple"]
    assert latest == stored


async def test_last_event_id_is_a_since(shop: WebServer) -> None:
    async with events(shop) as feed:
        seq = (await feed.next())["seq"]
    await write(shop, "pear", 1)
    async with events(shop, **{"Last-Event-ID": seq}) as feed:
        assert (await feed.next())["seq"] == seq
        assert (await feed.next())["id"] == "pear"


async def test_a_token_from_before_a_restore_means_reload(shop: WebServer) -> None:
    async with events(shop, "?since=00000000-7") as feed:
        reset, ready = await feed.next(), await feed.next()
        assert [reset["type"], ready["type"]] == ["reset", "ready"]
        assert reset["seq"] == ready["seq"]
        await write(shop, "pear", 1)
        assert (await feed.next())["id"] == "pear"


REFUSED = [
    ("?since=nonsense", 400, "invalid-since"),
    ("?collections=nothing", 404, "no-collection"),
    ("?collections=items&filter=nothing%3Deq.1", 400, "unknown-column"),
    ("?include=everything", 400, "invalid-value"),
    ("?collections=" + ",".join(f"c{n}" for n in range(101)), 400, "bad-request"),
]


@pytest.mark.parametrize(("query", "status", "code"), REFUSED)
async def test_what_is_wrong_is_told_before_the_stream(
    shop: WebServer, query: str, status: int, code: str
) -> None:
    answer = await shop.ask("GET", PATH + query)
    assert (answer.status, answer.json["code"]) == (status, code)


async def test_each_collection_needs_its_scope(shop: WebServer) -> None:
    token = await shop.key("shop", "items:read")
    async with events(shop, "?collections=items", token) as feed:
        assert (await feed.next())["type"] == "ready"
    for query in ("", "?collections=items,notes"):
        answer = await shop.ask("GET", PATH + query, token=token)
        assert (answer.status, answer.json["code"]) == (403, "scope-missing")


async def test_revoking_the_key_ends_its_feeds(shop: WebServer) -> None:
    token = await shop.key("shop", "*:read")
    key = shop.services.grants.all()[0].id
    async with events(shop, token=token) as feed, events(shop) as other:
        await feed.next()
        await other.next()
        assert (await shop.ask("DELETE", f"/api/v1/keys/{key}")).status == 200
        ended = await feed.next()
        assert (ended["type"], ended["code"]) == ("error", "bad-token")
        with pytest.raises(EOFError):
            await feed.next()
        await write(shop, "pear", 1)
        assert (await other.next())["id"] == "pear"


async def test_an_expired_key_ends_its_feeds(shop: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "HEARTBEAT_SECONDS", 0.05)
    token = await shop.key("shop", "*:read", expires_in=60)
    async with events(shop, token=token) as feed:
        await feed.next()
        key = shop.services.grants.all()[0]
        monkeypatch.setattr("localsrv.services.grants.time.time", lambda: key.created_at + 61)
        assert (await feed.next())["code"] == "bad-token"


async def test_heartbeats_keep_a_quiet_stream_open(shop: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "HEARTBEAT_SECONDS", 0.02)
    async with events(shop) as feed:
        await feed.next()
        line = await feed.response.content.readline()
        assert line == b": heartbeat\n"


async def test_removing_the_app_ends_its_feeds(shop: WebServer) -> None:
    async with events(shop) as feed:
        await feed.next()
        assert (await shop.ask("DELETE", "/api/v1/apps/shop?data=delete")).status == 200
        with pytest.raises(EOFError):
            await feed.next()


async def test_dropping_the_collection_ends_its_feeds(shop: WebServer) -> None:
    async with events(shop, "?collections=notes") as feed:
        await feed.next()
        assert (await shop.ask("DELETE", "/api/v1/apps/shop/collections/notes")).status == 200
        await write(shop, "pear", 1)
        assert (await feed.next())["code"] == "no-collection"


async def test_a_reader_that_takes_nothing_is_dropped(
    shop: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SEND_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port, limit=1024)
    head = f"GET {PATH}?include=row HTTP/1.1\r\nHost: {shop.host()}\r\napikey: {shop.owner}\r\n\r\n"
    writer.write(head.encode())
    await reader.readuntil(b"ready")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    big = "x" * 100_000
    for number in range(12):
        rows = [{"name": f"{number}-{i}", "note": big} for i in range(9)]
        await shop.fill("shop", "items", *rows)
    endings = shop.endings
    async with asyncio.timeout(10):
        while endings:
            await asyncio.sleep(0.02)
    writer.transport.abort()  # type: ignore[attr-defined]


# ── WebSocket ──────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def socket(
    server: WebServer, query: str = "", *, token: str | None = "", app: str | None = None, **headers: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with server.session.ws_connect(
        server.url + PATH + query, headers=server.headers(token=token, app=app, headers=headers)
    ) as connected:
        yield connected


async def test_a_page_sends_its_token_first(shop: WebServer) -> None:
    origin = shop.origin("shop")
    token = await shop.key("shop", "*:read", origin=origin)
    async with socket(shop, "?include=row", token=None, app="shop", Origin=origin) as ws:
        await ws.send_json({"token": token})
        assert (await ws.receive_json(timeout=10))["type"] == "ready"
        await write(shop, "pear", 2)
        change = await ws.receive_json(timeout=10)
        assert change["row"] == {"name": "pear", "stock": 2}


async def test_a_program_sends_it_in_a_header(shop: WebServer) -> None:
    async with socket(shop) as ws:
        assert (await ws.receive_json(timeout=10))["type"] == "ready"


FIRST_MESSAGES = [
    ("no JSON", "nonsense"),
    ("no token", "{}"),
    ("a list", "[]"),
    ("another type", '{"token": 5}'),
    ("unknown", '{"token": "lsk_unknown"}'),
]


@pytest.mark.parametrize(("name", "message"), FIRST_MESSAGES)
async def test_a_wrong_first_message_closes(shop: WebServer, name: str, message: str) -> None:
    async with socket(shop, token=None) as ws:
        await ws.send_str(message)
        error = await ws.receive_json(timeout=10)
        assert error["type"] == "error"
        assert (await ws.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == live.REFUSED


async def test_a_socket_without_a_token_is_closed_in_time(
    shop: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "TOKEN_SECONDS", 0.05)
    async with socket(shop, token=None) as ws:
        assert (await ws.receive_json(timeout=10))["code"] == "unauthenticated"


async def test_a_token_of_another_app_or_origin_closes(shop: WebServer) -> None:
    await shop.make_app("other")
    cases = {
        await shop.key("other", "*:read"): "wrong-app",
        await shop.key("shop", "*:read", origin="https://shop.example"): "wrong-origin",
        await shop.key("shop", "notes:read"): "scope-missing",
    }
    for token, code in cases.items():
        async with socket(shop, token=None, Origin=shop.origin()) as ws:
            await ws.send_json({"token": token})
            assert (await ws.receive_json(timeout=10))["code"] == code


async def test_revoking_the_key_closes_its_sockets(shop: WebServer) -> None:
    token = await shop.key("shop", "*:read")
    async with socket(shop, token=token) as ws:
        await ws.receive_json(timeout=10)
        key = shop.services.grants.all()[0].id
        assert (await shop.ask("DELETE", f"/api/v1/keys/{key}")).status == 200
        assert (await ws.receive_json(timeout=10))["code"] == "bad-token"
        assert (await ws.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == live.REFUSED


async def test_a_message_that_is_too_long_closes(shop: WebServer) -> None:
    async with socket(shop) as ws:
        await ws.receive_json(timeout=10)
        await ws.send_str("x" * (live.LONGEST_MESSAGE + 1))
        assert (await ws.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE


async def test_a_leaving_server_ends_feeds_at_once(shop: WebServer) -> None:
    async with socket(shop) as ws, events(shop) as feed:
        await ws.receive_json(timeout=10)
        await feed.next()
        closing, _ = await asyncio.gather(ws.receive(timeout=10), shop.leave())
        assert closing.type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == aiohttp.WSCloseCode.GOING_AWAY
        with pytest.raises(EOFError):
            await feed.next()
    assert not shop.endings


async def test_a_leaving_server_opens_no_new_feeds(shop: WebServer) -> None:
    shop.services.flight.is_landing = True
    answer = await shop.ask("GET", PATH)
    assert (answer.status, answer.json["code"]) == (503, "closing")
