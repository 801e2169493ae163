"""An attachment far larger than what a server may hold, carried by the replicator: both servers' peaks."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.memory import forget_peak, memory
from tests.support.server import RunningServer

SIZE = int(os.environ.get("LARGE_ATTACHMENT_MB", "160")) << 20
ALLOWED = 64 << 20
PIECE = hashlib.shake_128(b"piece").digest(1 << 20)
COUCH = "/apps/default/couch"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc")


def pieces() -> Iterator[bytes]:
    """`SIZE` bytes, no two pieces of which are alike."""
    for number in range(SIZE >> 20):
        yield number.to_bytes(8, "big") + PIECE[8:]


def upload(server: RunningServer, path: str, body: Iterator[bytes], size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Length": str(size)}
    connection.request("PUT", COUCH + path, body, headers)
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    connection.close()


def digest(server: RunningServer, path: str) -> str:
    found = hashlib.sha256()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    connection.request("GET", COUCH + path, headers={"Authorization": f"Bearer {server.token}"})
    answer = connection.getresponse()
    assert answer.status == 200
    while part := answer.read(1 << 20):
        found.update(part)
    connection.close()
    return found.hexdigest()


def replicate(server: RunningServer, source: Any, target: Any) -> dict[str, Any]:
    body = {"source": source, "target": target, "create_target": True}
    answer = server.request("POST", f"{COUCH}/_replicate", body, timeout=600)
    assert answer.status == 200, answer.body
    told: dict[str, Any] = answer.json()
    assert told["ok"] is True
    return told


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", ["pull", "push"])
def test_a_large_attachment_is_replicated_in_little_memory(
    servers: Callable[..., RunningServer], way: str
) -> None:
    source, target = servers(), servers()
    worker = target if way == "pull" else source
    other = source if way == "pull" else target

    def ends(database: str) -> tuple[Any, Any]:
        far = {
            "url": f"{other.url_by_address}{COUCH}/{database}",
            "auth": {"basic": {"username": "owner", "password": other.token}},
        }
        return (far, database) if way == "pull" else (database, far)

    for database in ("small", "large"):
        assert source.request("PUT", f"{COUCH}/{database}").status == 201
    upload(source, "/small/d/a", iter([b"x" * 200_000]), 200_000)
    replicate(worker, *ends("small"))  # what the first replication loads is not the attachment's
    upload(source, "/large/d/a", pieces(), SIZE)
    before = {server.pid: forget_peak(server.pid) for server in (source, target)}
    told = replicate(worker, *ends("large"))
    grown = {
        name: (memory(server.pid, "VmHWM") - before[server.pid]) / (1 << 20)
        for name, server in (("source", source), ("target", target))
    }
    print(way, {name: f"{by:.1f} MB" for name, by in grown.items()})
    assert told["history"][0]["docs_written"] == 1
    whole = hashlib.sha256()
    for piece in pieces():
        whole.update(piece)
    assert digest(target, "/large/d/a") == whole.hexdigest()
    assert max(grown.values()) < ALLOWED >> 20, grown
