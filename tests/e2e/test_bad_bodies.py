"""Bodies that are too large, break off or lie about their length, and headers that are none."""

from __future__ import annotations

import http.client
import socket
from typing import Any

import pytest

from tests.support.refusals import API, JSON, MAX_BODY, REST, assert_clean, everything, head, raw
from tests.support.server import RunningServer


def test_a_body_over_the_limit_is_refused_before_it_is_sent(shop: RunningServer, before: Any) -> None:
    begin = head(shop, f"{REST}/notes", "Content-Type: application/json", f"Content-Length: {MAX_BODY + 1}")
    answer = raw(shop, begin)
    assert answer.startswith(b"HTTP/1.1 413 "), answer
    assert b"max_body_mb" in answer
    assert everything(shop) == before


@pytest.mark.parametrize("path", [f"{REST}/notes", f"{API}/collections/notes/import", "/api/v1/keys"])
@pytest.mark.parametrize("how", ["length", "chunks"])
def test_a_body_over_the_limit(shop: RunningServer, before: Any, path: str, how: str) -> None:
    body = b'[{"a":"' + b"x" * MAX_BODY + b'"}]'
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=30)
    try:
        headers = {**JSON, "apikey": shop.token}
        if how == "length":
            connection.request("POST", path, body, headers)
        else:
            pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
            connection.request("POST", path, iter(pieces), headers, encode_chunked=True)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was refused while it was still being sent
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 413, text
    assert "max_body_mb" in text
    assert_clean(shop, text)
    assert everything(shop) == before


HALF = [
    ("a length too long", ("Content-Length: 500",), b'[{"id":"half"}]'),
    ("a length too long, by one", ("Content-Length: 16",), b'[{"id":"half"}]'),
    ("chunks without an end", ("Transfer-Encoding: chunked",), b'f\r\n[{"id":"half"}]\r\n'),
    ("half a chunk", ("Transfer-Encoding: chunked",), b'ff\r\n[{"id":"half"}]'),
    ("nonsense as chunk", ("Transfer-Encoding: chunked",), b'zz\r\n[{"id":"half"}]\r\n0\r\n\r\n'),
    ("no gzip", ("Content-Length: 15", "Content-Encoding: gzip"), b'[{"id":"half"}]'),
]


@pytest.mark.parametrize("path", [f"{REST}/notes", f"{API}/collections/notes/import"])
@pytest.mark.parametrize(("name", "lines", "body"), HALF, ids=[h[0] for h in HALF])
def test_half_sent_bodies_are_not_taken_for_whole(
    shop: RunningServer, before: Any, path: str, name: str, lines: tuple[str, ...], body: bytes
) -> None:
    answer = raw(shop, head(shop, path, "Content-Type: application/json", *lines), body, finish=True)
    assert not answer or answer.startswith(b"HTTP/1.1 400 "), answer
    assert_clean(shop, answer.decode())
    assert everything(shop) == before
    assert shop.request("GET", "/api/v1/health", token=None).status == 200


def test_a_dropped_connection_stores_nothing(shop: RunningServer, before: Any) -> None:
    begin = head(shop, f"{REST}/notes", "Content-Type: application/json", "Content-Length: 200000")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", shop.port), timeout=30) as connection:
            connection.sendall(begin + b'[{"id":"half"},' + b" " * 50_000)
            # no lingering: the connection is reset, as by a program that crashed
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert everything(shop) == before
    assert shop.request("GET", "/api/v1/health", token=None).status == 200


MALFORMED = [
    ("no colon", b"nonsense"),
    ("NUL in a header", b"X: a\0b"),
    ("a space in a name", b"X Y: a"),
    ("a folded line", b"X: a\r\n b"),
    ("two hosts", b"Host: evil.example"),
    ("a long header", b"X: " + b"a" * 100_000),
    ("many headers", b"\r\n".join(b"X-%d: a" % n for n in range(2000))),
    ("a content type of nonsense", b"Content-Type: ;;;="),
    ("two lengths", b"Content-Length: 1\r\nContent-Length: 2"),
    ("length and chunks", b"Content-Length: 2\r\nTransfer-Encoding: chunked"),
    ("a negative length", b"Content-Length: -5"),
    ("a length of words", b"Content-Length: five"),
    ("a range of nonsense", b"Range: rows=a-b"),
    ("bytes in the token", b"Authorization: Bearer \xff\xfe"),
    ("a Prefer of nonsense", b'Prefer: ;;;,,,="\xe9'),
]


@pytest.mark.parametrize(("name", "line"), MALFORMED, ids=[m[0] for m in MALFORMED])
def test_malformed_headers(shop: RunningServer, before: Any, name: str, line: bytes) -> None:
    begin = f"POST {REST}/notes HTTP/1.1\r\nHost: localhost:{shop.port}\r\n".encode()
    answer = raw(shop, begin + line + b"\r\nConnection: close\r\n\r\n")
    assert 400 <= int(answer.split(b" ", 2)[1]) < 500, answer
    assert_clean(shop, answer.decode("latin-1"))
    assert everything(shop) == before
    assert shop.request("GET", "/api/v1/health", token=None).status == 200


def test_a_body_found_broken_after_its_refusal(shop: RunningServer, before: Any) -> None:
    """The rest of a refused request is thrown away; that it cannot be read is nobody's failure."""
    begin = (
        f"POST {REST}/notes HTTP/1.1\r\nHost: 127.0.0.1:{shop.port}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", shop.port), timeout=30) as connection:
        connection.sendall(begin)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 401 "), answer
        connection.sendall(b'zz\r\n[{"id":"half"}]\r\n')
        while connection.recv(65536):
            pass  # until the server has closed it
    assert everything(shop) == before
