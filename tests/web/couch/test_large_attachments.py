"""Attachments far larger than what the server may hold in memory: its peak is measured while they pass."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import sys
from collections.abc import Iterator

import pytest

from tests.support.memory import grows_by
from tests.support.server import RunningServer

SIZE = int(os.environ.get("LARGE_ATTACHMENT_MB", "160")) << 20
ALLOWED = 64 << 20
PIECE = hashlib.shake_128(b"piece").digest(1 << 20)
BASE = "/apps/default/couch/large"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc")


def pieces() -> Iterator[bytes]:
    """`SIZE` bytes, no two pieces of which are alike."""
    for number in range(SIZE >> 20):
        yield number.to_bytes(8, "big") + PIECE[8:]


def digest(parts: Iterator[bytes]) -> bytes:
    found = hashlib.md5(usedforsecurity=False)
    for part in parts:
        found.update(part)
    return found.digest()


class Client:
    """Streams bodies both ways."""

    def __init__(self, server: RunningServer) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
        self._headers = {"Authorization": f"Bearer {server.token}"}

    def close(self) -> None:
        self._connection.close()

    def send(self, path: str, body: Iterator[bytes], **headers: str) -> str:
        """PUTs a body and returns the revision."""
        sent = {**self._headers, **{n.replace("_", "-"): v for n, v in headers.items()}}
        self._connection.request("PUT", BASE + path, body, sent)
        answer = self._connection.getresponse()
        told = json.loads(answer.read())
        assert answer.status == 201, told
        return str(told["rev"])

    def read(self, path: str, **headers: str) -> tuple[http.client.HTTPResponse, Iterator[bytes]]:
        self._connection.request("GET", BASE + path, headers={**self._headers, **headers})
        answer = self._connection.getresponse()
        assert answer.status == 200
        return answer, iter(lambda: answer.read(1 << 20), b"")


def multipart(spec: dict[str, object]) -> Iterator[bytes]:
    document = json.dumps({"_attachments": {"a": {"follows": True, **spec}}}).encode()
    yield b"--b\r\nContent-Type: application/json\r\n\r\n" + document + b"\r\n--b\r\n\r\n"
    yield from pieces()
    yield b"\r\n--b--"


def test_large_attachments_pass_in_little_memory(server: RunningServer) -> None:
    assert server.request("PUT", BASE).status == 201
    client = Client(server)
    whole = digest(pieces())
    text = base64.b64encode(whole).decode()

    def upload() -> None:
        client.send("/alone/a", pieces(), Content_Length=str(SIZE), Content_MD5=text)

    def upload_multipart() -> None:
        spec = {"length": SIZE, "digest": f"md5-{text}"}
        client.send("/related", multipart(spec), Content_Type="multipart/related; boundary=b")

    def download() -> None:
        answer, parts = client.read("/alone/a")
        assert answer.headers["Content-Length"] == str(SIZE)
        assert digest(parts) == whole

    def download_multipart() -> None:
        answer, parts = client.read("/related?attachments=true", Accept="multipart/related")
        length = int(answer.headers["Content-Length"])
        tail, seen, head = b"", 0, b""
        found = hashlib.md5(usedforsecurity=False)
        for part in parts:
            seen += len(part)
            if not head:  # the document, and the head of the attachment
                head, _, part = part.partition(b"\r\n\r\n{")[2].partition(b"\r\n\r\n")
                assert b'"follows":true' in head
            part = tail + part
            found.update(part[:-38])  # CRLF, the boundary of 32 and four hyphens end the body
            tail = part[-38:]
        assert (seen, tail[:4], tail[-2:]) == (length, b"\r\n--", b"--")
        assert found.digest() == whole

    def download_inline() -> None:
        answer, parts = client.read("/related?attachments=true", Accept="application/json")
        assert sum(map(len, parts)) == int(answer.headers["Content-Length"]) > SIZE * 4 // 3

    def download_revisions() -> None:
        answer, parts = client.read("/related?open_revs=all", Accept="multipart/mixed")
        assert sum(map(len, parts)) == int(answer.headers["Content-Length"]) > SIZE

    client.send("/small/a", iter([b"x"]), Content_Length="1")  # what the first request loads is not its
    steps = (upload, upload_multipart, download, download_multipart, download_inline, download_revisions)
    grown = {step.__name__: grows_by(server.pid, step) for step in steps}
    client.close()
    print({name: f"{by / (1 << 20):.1f} MB" for name, by in grown.items()})
    assert max(grown.values()) < ALLOWED, grown
