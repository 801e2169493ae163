"""The floor programs: the least that any Python server with our guarantees must do.

`python -m tests.bench.floors insert FILE` answers every request by inserting its raw body into the
collection's table of the SQLite file FILE: one writer thread, WAL, synchronous=FULL, one transaction for all
requests that wait, answered after COMMIT. `python -m tests.bench.floors constant BYTES` answers every
request with that many constant bytes. Both print their port as their first line.
"""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import sys
import threading
from typing import Any
from uuid import uuid4

import uvloop
from aiohttp import web

try:
    import pysqlite3 as sqlite3
except ImportError:
    import sqlite3  # type: ignore[no-redef]

Waiting = tuple[bytes, "asyncio.Future[None]"]


def _writer(path: str, waiting: queue.SimpleQueue[Waiting | None], loop: asyncio.AbstractEventLoop) -> None:
    """Group commits: whatever waits when a transaction begins is in it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    (seq,) = connection.execute("SELECT coalesce(max(_seq), 0) FROM items").fetchone()
    while True:
        first = waiting.get()
        if first is None:
            break
        group = [first]
        while not waiting.empty():
            following = waiting.get()
            if following is None:
                break
            group.append(following)
        connection.execute("BEGIN IMMEDIATE")
        for body, _ in group:
            seq += 1
            connection.execute(
                "INSERT INTO items(_id, _rev, _seq, _body) VALUES (?, ?, ?, ?)",
                (str(uuid4()), "1-0", seq, body.decode()),
            )
        connection.execute("COMMIT")
        loop.call_soon_threadsafe(_answer, [future for _, future in group])
    connection.close()


def _answer(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def insert_application(path: str) -> web.Application:
    """The floor of a durable create."""
    waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()

    async def handle(request: web.Request) -> web.Response:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.put((await request.read(), future))
        await future
        return web.Response(status=201)

    async def writer(_: web.Application) -> Any:
        thread = threading.Thread(target=_writer, args=(path, waiting, asyncio.get_running_loop()))
        thread.start()
        yield
        waiting.put(None)
        thread.join()

    application = web.Application()
    application.cleanup_ctx.append(writer)
    application.router.add_route("*", "/{tail:.*}", handle)
    return application


def constant_application(size: int) -> web.Application:
    """The floor of a read: an answer of `size` bytes that nobody had to look up."""
    body = json.dumps(["x" * (size - 4)]).encode() if size >= 4 else b"1" * size

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    return application


async def _serve(application: web.Application) -> None:
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    await web.SockSite(runner, listener).start()
    print(listener.getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    kind, value = sys.argv[1:]
    chosen = insert_application(value) if kind == "insert" else constant_application(int(value))
    uvloop.run(_serve(chosen))
