"""What the sync face is measured beside: PouchDB Server, with the store it has by default (LevelDB)."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.sides import free_port, node
from tests.support.server import RunningServer, start_server
from tests.support.waiting import wait_until

POUCHDB = Path(__file__).parent / "pouchdb"

NOTE = "x" * 253
"""Makes a document of 319 bytes, the size that the figures of the peers were measured with."""


@dataclass(frozen=True)
class CouchSide:
    """A server that speaks CouchDB's protocol: its address, the path before a database, credentials."""

    port: int
    base: str
    pid: int
    user: str | None = None
    password: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.user is not None:
            pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        return headers

    def database_url(self, name: str) -> str:
        """Where another server finds a database, credentials in it."""
        who = f"{self.user}:{self.password}@" if self.user is not None else ""
        return f"http://{who}127.0.0.1:{self.port}{self.base}/{name}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=900)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request below the base; the JSON answer. AssertionError for anything but success."""
        connection = self.connect()
        text = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, self.base + path, text, self.headers)
        answer = connection.getresponse()
        told = answer.read()
        connection.close()
        assert answer.status < 300, (method, path, answer.status, told[:500])
        return json.loads(told)


@contextmanager
def localsrv(folder: Path) -> Iterator[tuple[CouchSide, RunningServer]]:
    """A server of ours; its databases are the default app's."""
    running = start_server(folder, command=(sys.executable, "-m", "localsrv"))
    try:
        side = CouchSide(running.port, "/apps/default/couch", running.pid, "owner", running.token)
        yield side, running
    finally:
        running.stop()


@contextmanager
def pouchdb_server(folder: Path) -> Iterator[CouchSide]:
    """PouchDB Server as `npx pouchdb-server` starts it."""
    executable = node()
    command = POUCHDB / "node_modules" / "pouchdb-server" / "bin" / "pouchdb-server"
    assert executable is not None and command.exists(), "npm ci in tests/bench/pouchdb installs it"
    folder.mkdir(parents=True)
    port = free_port()
    arguments = ["--port", str(port), "--host", "127.0.0.1", "--dir", str(folder), "--no-stdout-logs"]
    with (folder / "server.out").open("wb") as log:
        process = subprocess.Popen(
            [executable, command, *arguments],
            cwd=folder,
            env=os.environ | {"NODE_NO_WARNINGS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    side = CouchSide(port, "", process.pid)
    try:
        wait_until(lambda: _answers(side), what="an answer of pouchdb-server", seconds=30)
        yield side
    finally:
        process.terminate()
        process.wait(20)


def _answers(side: CouchSide) -> bool:
    try:
        return bool(side.ask("GET", "/"))
    except (OSError, AssertionError):
        return False


def batches(count: int, *, batch: int = 1000) -> list[bytes]:
    """The bodies of the `_bulk_docs` requests that make `count` documents of 319 bytes."""
    documents = [
        {"_id": f"item{n:09d}", "type": "item", "name": f"Item {n:06d}", "price": 12.5, "note": NOTE}
        for n in range(count)
    ]
    return [
        json.dumps({"docs": documents[at : at + batch]}, separators=(",", ":")).encode()
        for at in range(0, count, batch)
    ]


def fill(side: CouchSide, name: str, bodies: Sequence[bytes]) -> None:
    """Makes a database and sends it the batches, on one connection."""
    side.ask("PUT", f"/{name}")
    send(side, name, bodies)


def send(side: CouchSide, name: str, bodies: Sequence[bytes]) -> None:
    """Sends batches on one connection."""
    connection = side.connect()
    for body in bodies:
        connection.request("POST", f"{side.base}/{name}/_bulk_docs", body, side.headers)
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status in (200, 201), (answer.status, told[:500])
        assert b'"error"' not in told
    connection.close()
