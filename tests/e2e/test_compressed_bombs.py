"""Small bodies that become huge, sent to a real server: it refuses or streams them, and its memory stays."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache, reduce
from pathlib import Path

import pytest

from tests.support.memory import grows_by
from tests.support.server import Response, RunningServer, start_server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc")

MEGABYTE = 1 << 20
HUGE = 600 * MEGABYTE
"""What half a megabyte becomes."""
MAX_BODY = 64 << 20
MAX_UPLOAD = 128 << 20
ALLOWED = 64 << 20
COUCH = "/apps/default/couch/bombs"
API = "/api/v1/apps/default/collections/bombs"
JSON = {"Content-Type": "application/json"}


def packed(before: bytes, filling: bytes, length: int, behind: bytes = b"", *, form: str = "gzip") -> bytes:
    """Something of `length` bytes of filling, compressed.

    Only a megabyte of it is ever made: deflate's blocks stand for themselves after a full flush.
    """
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    many = filling * MEGABYTE

    def block(data: bytes) -> bytes:
        return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)

    body = block(before) + block(many) * (length // MEGABYTE) + packer.compress(behind) + packer.flush()
    total = len(before) + length + len(behind)
    parts = (before, *[many] * (length // MEGABYTE), behind)
    if form == "deflate":
        check = reduce(lambda so_far, part: zlib.adler32(part, so_far), parts, 1)
        return b"\x78\x9c" + body + check.to_bytes(4, "big")
    check = reduce(lambda so_far, part: zlib.crc32(part, so_far), parts, 0)
    return b"\x1f\x8b\x08" + bytes(7) + body + check.to_bytes(4, "little") + total.to_bytes(4, "little")


@cache
def zeros() -> bytes:
    return packed(b"", b"\0", HUGE)


@cache
def spaces() -> bytes:
    return packed(b'{"a":"', b" ", HUGE, b'"}')


HEAD = b'--b\r\nContent-Type: application/json\r\n\r\n{"_attachments":{"a":{"follows":true}}}\r\n--b\r\n'
END = b"\r\n--b--"
MULTIPART = {"Content-Type": "multipart/related; boundary=b"}
GZIP, DEFLATE = {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}
PLAIN = {"Content-Type": "text/plain"}

BOMBS: dict[str, tuple[str, str, dict[str, str], Callable[[], bytes]]] = {
    "a document": ("PUT", f"{COUCH}/x", JSON | GZIP, spaces),
    "a document by deflate": (
        "PUT", f"{COUCH}/x", JSON | DEFLATE, lambda: packed(b"", b" ", HUGE, form="deflate")
    ),
    "an inline attachment": ("PUT", f"{COUCH}/x", JSON,
        lambda: b'{"_attachments":{"a":{"encoding":"gzip","data":"%s"}}}' % base64.b64encode(zeros())),
    "_bulk_docs": ("POST", f"{COUCH}/_bulk_docs", JSON | GZIP, spaces),
    "rows": ("POST", "/apps/default/rest/v1/bombs", JSON | GZIP, spaces),
    "rows as CSV": ("POST", "/apps/default/rest/v1/bombs", {"Content-Type": "text/csv"} | GZIP, spaces),
    "an import of documents": ("POST", f"{API}/import", JSON | GZIP, spaces),
    "a key": ("POST", "/api/v1/keys", JSON | GZIP, spaces),
    "an upload": ("POST", "/api/v1/uploads?name=a.csv", GZIP, zeros),
    "an attachment": ("PUT", f"{API}/documents/n/attachments/a", PLAIN | GZIP, zeros),
    "an attachment of the sync face": ("PUT", f"{COUCH}/x/a", GZIP, zeros),
    "multipart/related, compressed": ("PUT", f"{COUCH}/x", MULTIPART | GZIP,
        lambda: packed(HEAD + b"\r\n", b" ", HUGE, END)),
    "multipart/related, a compressed part": ("PUT", f"{COUCH}/x", MULTIPART,
        lambda: HEAD + b"Content-Encoding: gzip\r\n\r\n" + zeros() + END),
    "multipart/related, a document without end": ("PUT", f"{COUCH}/x", MULTIPART | GZIP,
        lambda: packed(b"--b\r\nContent-Type: application/json\r\n\r\n", b" ", HUGE, END)),
}  # fmt: skip


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("bombs") / "home"
    server = start_server(home, env={"LOCALSRV_MAX_UPLOAD_MB": str(MAX_UPLOAD >> 20)})
    assert server.request("PUT", COUCH).status == 201
    assert server.request("PUT", f"{COUCH}/n", {}).status == 201
    for method, path, headers, make in BOMBS.values():  # what the first request loads is not the bomb's
        server.request(method, path, make()[:20], headers=headers)
    yield server
    assert server.stop() == 0, server.output()
    assert "Traceback" not in server.output()


def _kept(server: RunningServer) -> list[tuple[str, int]]:
    """The large files that the server keeps."""
    files = ((p, p.stat().st_size) for p in Path(server.home).rglob("*") if p.is_file())
    return [(p.name, size) for p, size in files if size > 16 << 20]


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(target: RunningServer, name: str) -> None:
    method, path, headers, make = BOMBS[name]
    body = make()
    assert len(body) < 1 << 20
    answers: list[Response] = []
    grown = grows_by(target.pid, lambda: answers.append(target.request(method, path, body, headers=headers)))
    print(f"{name}: {grown / (1 << 20):.1f} MB")
    assert answers[0].status == 413, answers[0].body
    # A document within multipart comes as a stream: only its end tells how long it is.
    held = MAX_BODY if "without end" in name else 0
    assert grown < ALLOWED + held
    assert _kept(target) == []
    assert target.request("GET", COUCH).json()["doc_count"] == 1


def test_a_compressed_attachment_is_streamed(target: RunningServer) -> None:
    size = 100 << 20
    body = packed(b"", b"\0", size)
    answers: list[Response] = []
    grown = grows_by(
        target.pid, lambda: answers.append(target.request("PUT", f"{COUCH}/large/a", body, headers=GZIP))
    )
    print(f"{grown / (1 << 20):.1f} MB")
    assert answers[0].status == 201, answers[0].body
    assert grown < ALLOWED
    stored = target.request("GET", f"{COUCH}/large/a")
    assert hashlib.md5(stored.body).digest() == hashlib.md5(bytes(size)).digest()
    made = target.request("DELETE", f"{COUCH}/large?rev={answers[0].json()['rev']}")
    assert made.status == 200


def test_bodies_within_the_limit(target: RunningServer) -> None:
    """Most of what a body may be, compressed: taken, and never held twice."""
    text = os.urandom(20).hex() * (1 << 20)
    body = gzip.compress(f'{{"text":"{text}"}}'.encode(), 1)
    made = target.request("PUT", f"{COUCH}/within", body, headers=JSON | GZIP)
    assert made.status == 201, made.body
    assert target.request("GET", f"{COUCH}/within").json()["text"] == text
