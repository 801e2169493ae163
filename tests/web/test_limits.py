"""What one program may take of the server: connections, slow bodies, failed sign-ins, headers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localsrv.store.system import System
from localsrv.web import attempts, patience
from localsrv.web.attempts import Failures
from localsrv.web.connections import limit, to_leave
from tests.web.conftest import WebServer

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def streams(web_server: WebServer) -> AsyncIterator[list[Streams]]:
    """Connections that a test opened; closed at its end."""
    opened: list[Streams] = []
    yield opened
    for _, writer in opened:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _connect(web_server: WebServer, streams: list[Streams], token: str | None = None) -> Streams:
    """A connection that has made one request, with a token or without."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web_server.port)
    streams.append((reader, writer))
    path = "/api/v1/health" if token is None else "/api/v1/keys"
    key = "" if token is None else f"apikey: {token}\r\n"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {web_server.host()}\r\n{key}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
    await reader.readexactly(length)
    return reader, writer


@asynccontextmanager
async def _at_most(web_server: WebServer, count: int) -> AsyncIterator[None]:
    server = web_server.runner.server
    assert server is not None
    server.most_connections = count  # type: ignore[attr-defined]
    yield


async def test_strangers_make_room_for_who_comes(web_server: WebServer, streams: list[Streams]) -> None:
    async with _at_most(web_server, 4):
        trusted, _ = await _connect(web_server, streams, web_server.owner)
        strangers = [(await _connect(web_server, streams))[0] for _ in range(3)]
        await _connect(web_server, streams)
        assert await strangers[0].read() == b"", "the oldest stranger had to go"
        assert not strangers[1].at_eof() and not trusted.at_eof()


async def test_who_holds_a_grant_stays(web_server: WebServer, streams: list[Streams]) -> None:
    async with _at_most(web_server, 2):
        mine = [await _connect(web_server, streams, web_server.owner) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", web_server.port)
        streams.append((reader, writer))
        refused = await reader.read()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"too-many-connections" in refused
        for reader, writer in mine:
            writer.write(f"GET /api/v1/health HTTP/1.1\r\nHost: {web_server.host()}\r\n\r\n".encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


def test_the_oldest_stranger_leaves() -> None:
    class Known:
        is_trusted = True

        def force_close(self) -> None: ...

    class Unknown(Known):
        is_trusted = False

    first, second = Unknown(), Unknown()
    assert to_leave([Known(), first, second]) is first
    assert to_leave([Known()]) is None
    assert limit() >= 16


async def test_a_body_that_hardly_comes_is_ended(
    web_server: WebServer, streams: list[Streams], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "WINDOW_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", web_server.port)
    streams.append((reader, writer))
    head = (
        f"POST /api/v1/keys HTTP/1.1\r\nHost: {web_server.host()}\r\nContent-Length: 1000\r\n"
        f"Content-Type: application/json\r\napikey: {web_server.owner}\r\n\r\n"
    )
    writer.write(head.encode() + b'{"name"')
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 "), answer
    assert b'"code":"too-slow"' in answer
    assert (await web_server.ask("GET", "/api/v1/keys")).json["keys"] == []


async def test_a_body_that_comes_in_pieces_is_read(
    web_server: WebServer, streams: list[Streams], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each window brings enough, so that it may last as long as it likes."""
    looks: list[int] = []
    enough = asyncio.Event()
    look = patience.Watch._look

    def counted(watch: patience.Watch) -> None:
        looks.append(watch._request.content.total_bytes)
        look(watch)
        if len(looks) >= 3:
            enough.set()

    monkeypatch.setattr(patience, "WINDOW_S", 0.05)
    monkeypatch.setattr(patience, "LEAST_BYTES", 1)
    monkeypatch.setattr(patience.Watch, "_look", counted)
    await web_server.make_app("shop", items={"fields": {"name": "text"}})

    async def pieces() -> AsyncIterator[bytes]:
        yield b'[{"_id": "1", "name": "a'
        while not enough.is_set():
            yield b"a"
            await asyncio.sleep(0.001)  # the clock that is tested, not a wait for something to happen
        yield b'"}]'

    answer = await web_server.ask(
        "POST",
        "/api/v1/apps/shop/collections/items/import",
        data=pieces(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status == 200, answer.body
    assert len(looks) >= 3


async def test_who_fails_too_often_is_told_to_wait(
    web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MOST_FAILURES", 3)
    for _ in range(3):
        assert (await web_server.ask("GET", "/api/v1/keys", token="lsk_x")).status == 401
    answer = await web_server.ask("GET", "/api/v1/keys", token="lsk_x")
    assert (answer.status, answer.json["code"]) == (429, "too-many-attempts")
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    couch = await web_server.ask("GET", "/apps/default/couch/_all_dbs", token="lsk_x")
    assert (couch.status, couch.json["error"]) == (429, "too_many_requests")
    assert (await web_server.ask("GET", "/api/v1/keys")).status == 200, "a known token never waits"


def test_failures_are_counted_by_source_and_forgotten() -> None:
    now = 100.0
    failures = Failures(lambda: now)
    assert [failures.add(None) for _ in range(attempts.MOST_FAILURES)] == [None] * attempts.MOST_FAILURES
    refused = failures.add(None)
    assert refused is not None
    assert refused.retry_after_s == 60
    assert failures.add("http://localhost:5173") is None
    now += 59
    assert failures.add(None) is not None
    now += 1
    assert failures.add(None) is None


def test_very_many_sources_are_bounded() -> None:
    failures = Failures(lambda: 0.0)
    told = [failures.add(f"http://localhost:{number}") for number in range(2000)]
    assert told[999] is None
    assert told[1000] is not None


POLICIES = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/health", 200),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/keys", 401),
        ("GET", "/apps/default/couch/", 200),
        ("GET", "/apps/default/rest/v1/x", 401),
        ("PATCH", "/api/v1/health", 405),
    ],
)
async def test_every_answer_has_its_policies(
    web_server: WebServer, method: str, path: str, status: int
) -> None:
    answer = await web_server.ask(method, path, token=None)
    assert answer.status == status
    assert {name: answer.headers.get(name) for name in POLICIES} == POLICIES


async def test_a_page_may_not_be_framed(web_server: WebServer) -> None:
    answer = await web_server.ask("GET", "/", token=None)
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_a_grant_is_known_without_a_look_at_the_file(
    web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request with a new key, and a refused one, read nothing from the server's own file."""
    await web_server.make_app("shop", items={"fields": {"name": "text"}})
    token = await web_server.key("shop", "items:read")
    looks: list[object] = []
    run = System.run

    async def counted(system: System, work: Callable[[Any], Any]) -> Any:
        looks.append(work)
        return await run(system, work)

    monkeypatch.setattr(System, "run", counted)
    found = await web_server.ask("GET", "/apps/shop/rest/v1/items", token=token)
    refused = await web_server.ask("GET", "/apps/shop/rest/v1/items", token="lsk_unknown")
    assert (found.status, refused.status, looks) == (200, 401, [])
