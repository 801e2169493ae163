"""A listener far slower than the writers: nothing is kept in memory for it, and it misses nothing."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator

import pytest

from tests.support.memory import forget_peak, memory
from tests.support.server import RunningServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc")

ALLOWED = 64 << 20
DB = "/apps/default/couch/notes"
ROUNDS, NOTES, TEXT = 25, 4, os.urandom(500_000).hex()
TASTE = 1 << 16
"""Bytes that the listener takes while 4 MB are written."""


class Listener:
    """A continuous feed with documents, read by hand: nothing more is taken than is asked for."""

    def __init__(self, server: RunningServer, since: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TASTE)
        self._socket.settimeout(30)
        self._socket.connect(("127.0.0.1", server.port))
        path = f"{DB}/_changes?feed=continuous&include_docs=true&heartbeat=60000&since={since}"
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer {server.token}"
        self._socket.sendall(f"{head}\r\n\r\n".encode())
        self._waiting = b""
        while b"\r\n\r\n" not in self._waiting:
            self._waiting += self._socket.recv(4096)
        assert self._waiting.startswith(b"HTTP/1.1 200 ")
        self._waiting = self._waiting.partition(b"\r\n\r\n")[2]

    def taste(self) -> None:
        self._waiting += self._socket.recv(TASTE)

    def rows(self) -> Iterator[dict[str, object]]:
        """The rows that come, for as long as the caller wants them."""
        line = b""
        for chunk in self._chunks():
            *lines, line = (line + chunk).split(b"\n") if b"\n" in chunk else (line + chunk,)
            yield from (json.loads(one) for one in lines if one)

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = int(self._until(b"\r\n"), 16)
            assert size, "the feed ended"
            yield self._exactly(size + 2)[:-2]

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._waiting:
            self._more()
        found, _, self._waiting = self._waiting.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._waiting) < size:
            self._more()
        found, self._waiting = self._waiting[:size], self._waiting[size:]
        return found

    def _more(self) -> None:
        came = self._socket.recv(1 << 20)
        assert came, "the server cut the feed"
        self._waiting += came

    def close(self) -> None:
        self._socket.close()


def write(server: RunningServer, number: int) -> dict[str, str]:
    """New notes, and one that is edited each time; the revisions."""
    docs = [{"_id": f"{number}-{n}", "text": TEXT} for n in range(NOTES)]
    done = server.request("POST", f"{DB}/_bulk_docs", {"docs": docs})
    assert done.status == 201
    return {row["id"]: row["rev"] for row in done.json()}


def test_a_slow_listener_catches_up(server: RunningServer) -> None:
    assert server.request("PUT", DB).status == 201
    for number in range(-3, 0):  # what the first writes and the first feed need is not the slow one's
        write(server, number)
    warming = Listener(server, "0")
    assert next(warming.rows())
    warming.close()

    listener = Listener(server, "now")
    before = forget_peak(server.pid)
    wanted: dict[str, str] = {}
    edited = server.request("PUT", f"{DB}/edited", {"n": -1}).json()["rev"]
    for number in range(ROUNDS):
        wanted |= write(server, number)
        body = {"n": number, "_rev": edited}
        edited = wanted["edited"] = server.request("PUT", f"{DB}/edited", body).json()["rev"]
        listener.taste()
    behind = memory(server.pid, "VmHWM") - before

    seen: dict[str, str] = {}
    numbers: list[int] = []
    for row in listener.rows():
        seen[str(row["id"])] = row["changes"][0]["rev"]  # type: ignore[index]
        assert row["doc"]["_rev"] == seen[str(row["id"])]  # type: ignore[index]
        numbers.append(int(str(row["seq"]).partition("-")[0]))
        if seen == wanted:
            break
    grown = memory(server.pid, "VmHWM") - before
    listener.close()
    print(f"{behind / (1 << 20):.1f} MB while it fell behind, {grown / (1 << 20):.1f} MB until it caught up")
    assert numbers == sorted(set(numbers))
    assert max(behind, grown) < ALLOWED
