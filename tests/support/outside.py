"""An outside service, played by a second aiohttp server on loopback, and names that lead to it.

`Public` decides what counts as a public address in a test: 127.0.0.2, where the service listens, so that
nothing but loopback is ever reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from localsrv.model.public_addresses import why_refused

PUBLIC = "127.0.0.2"
"""Loopback, but another address than our server's: the tests' public internet."""

Handler = Callable[[web.Request], Any]


def refuse(address: str) -> str | None:
    return None if address == PUBLIC else why_refused(address)


class Names(AbstractResolver):
    """Every name leads to `PUBLIC`, but those in `answers`: each has its answers, one for each time asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        left = self.answers.get(host, [PUBLIC])
        address = left.pop(0) if len(left) > 1 else left[0]
        if address == "":
            raise OSError("no such name")
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            {"hostname": host, "host": one, "port": port, "family": kind, "proto": 0, "flags": 0}
            for one in address.split(",")
        ]

    async def close(self) -> None:
        pass


@dataclass
class Service:
    """`seen` has the requests that came: method, path with query, headers, body. Handlers are cancelled when
    their client leaves."""

    port: int
    handlers: dict[str, Handler] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://api.example.org:{self.port}"

    @property
    def last(self) -> tuple[str, str, dict[str, str], bytes]:
        return self.seen[-1]

    def answer(self, path: str, handler: Handler) -> None:
        """What requests of a path get; it is given the request, and may be a coroutine."""
        self.handlers[path] = handler


async def plain(request: web.Request) -> web.Response:
    return web.Response(text="hello")


@contextlib.asynccontextmanager
async def playing(address: str = PUBLIC) -> AsyncIterator[Service]:
    """A service that answers `hello` to everything, until it is told otherwise."""

    async def handle(request: web.Request) -> web.StreamResponse:
        body = b"" if request.path == "/stream-in" else await request.read()
        service.seen.append((request.method, request.raw_path, dict(request.headers), body))
        answer = service.handlers.get(request.path, plain)(request)
        found = await answer if asyncio.iscoroutine(answer) else answer
        assert isinstance(found, web.StreamResponse)
        return found

    listener = socket.socket()
    listener.bind((address, 0))
    service = Service(listener.getsockname()[1])
    runner = web.ServerRunner(
        web.Server(handle, auto_decompress=False, handler_cancellation=True), handle_signals=False
    )
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        yield service
    finally:
        assert runner.server is not None
        await runner.server.shutdown(0.01)
        await runner.cleanup()
