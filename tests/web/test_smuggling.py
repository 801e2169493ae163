"""Bytes on the raw connection that two programs could read in two ways: one request here, two elsewhere.

Most of it is refused by aiohttp's parser, in C or in Python. The tests are here so that we learn of it when
another version reads something leniently.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from localsrv.web import protocol
from tests.web.conftest import WebServer

GET = "GET /api/v1/health HTTP/1.1\r\nHost: {host}\r\n"
POST = "POST /api/v1/exchange HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"
SECOND = (
    "GET /api/v1/challenge?nonce=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
)

TWO_READINGS = {
    # line ends
    "bare LF": "GET /api/v1/health HTTP/1.1\nHost: {host}\n\n",
    "bare LF after a header": GET + "X: a\n\r\n",
    "bare LF hides a header": POST + "X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF ends the head": GET + "X: a\n\n",
    "LF for the empty line": GET + "\n",
    "bare CR after the first line": "GET /api/v1/health HTTP/1.1\rHost: {host}\r\n\r\n",
    "bare CR in a header": GET + "X: a\rY: b\r\n\r\n",
    "folded header": GET + "X: a\r\n b\r\n\r\n",
    "folded first header": "GET /api/v1/health HTTP/1.1\r\n Host: {host}\r\n\r\n",
    # names
    "space before the colon": "GET /api/v1/health HTTP/1.1\r\nHost : {host}\r\n\r\n",
    "no name": GET + ": a\r\n\r\n",
    "NUL in a name": GET + "X\x00: a\r\n\r\n",
    "brackets in a name": GET + "X(a): a\r\n\r\n",
    "the same host twice": GET + "Host: {host}\r\n\r\n",
    # lengths
    "length and chunks": POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}",
    "the same length twice": POST + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}",
    "a list of lengths": POST + "Content-Length: 2, 2\r\n\r\n{{}}",
    "a length with a sign": POST + "Content-Length: +2\r\n\r\n{{}}",
    "a length with an underscore": POST + "Content-Length: 0_2\r\n\r\n{{}}",
    "a length in hexadecimal": POST + "Content-Length: 0x2\r\n\r\n{{}}",
    # codings
    "xchunked": POST + "Transfer-Encoding: xchunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
    "xchunked and a length": POST + "Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{{}}",
    "identity": POST + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{{}}",
    "gzip, chunked": POST + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
    "chunked, gzip": POST + "Transfer-Encoding: chunked, gzip\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
    "chunked twice": POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "vertical tab before chunked": POST + "Transfer-Encoding: \x0bchunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKED.replace("HTTP/1.1", "HTTP/1.0") + "2\r\n{{}}\r\n0\r\n\r\n",
    # chunks
    "chunks with bare LF": CHUNKED + "2\n{{}}\n0\n\n",
    "LF in a chunk's extension": CHUNKED + "2;a\nxx\r\n{{}}\r\n0\r\n\r\n",
    "a chunk's length with a sign": CHUNKED + "-2\r\n{{}}\r\n0\r\n\r\n",
    "a chunk's length as in C": CHUNKED + "0x2\r\n{{}}\r\n0\r\n\r\n",
    "a chunk that is longer than it says": CHUNKED + "2\r\n{{}}XX\r\n0\r\n\r\n",
    # the first line
    "HTTP/0.9": "GET /api/v1/health\r\n\r\n",
    "HTTP/2.0": "GET /api/v1/health HTTP/2.0\r\nHost: {host}\r\n\r\n",
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP in small letters": "GET /api/v1/health http/1.1\r\nHost: {host}\r\n\r\n",
    "a space in the target": "GET /api/v1/health x HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "tabs": "GET\t/api/v1/health\tHTTP/1.1\r\nHost: {host}\r\n\r\n",
    "no token for a method": "GE(T /api/v1/health HTTP/1.1\r\nHost: {host}\r\n\r\n",
}


@pytest.mark.parametrize("name", TWO_READINGS)
async def test_what_is_read_in_two_ways_is_refused(web_server: WebServer, name: str) -> None:
    """By itself, and with a request behind it, which is not read at all."""
    for behind in ("", SECOND):
        sent = (TWO_READINGS[name] + behind).format(host=web_server.host())
        told = await web_server.raw(sent.encode("latin-1"))
        head, _, body = told.partition(b"\r\n\r\n")
        assert head.split()[1] == b"400", told
        assert json.loads(body)["code"] in ("malformed-request", "malformed-header"), body
        assert b'"proof"' not in told


async def test_chunk_extensions_and_trailers_are_passed_over(web_server: WebServer) -> None:
    """They mean nothing here; above all a trailer is no header."""
    body = '{{"name":"k","app":"*","scopes":["admin"]}}'
    size = f"{len(body) - 2:x}"
    head = "POST /api/v1/keys HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    chunks = f"Transfer-Encoding: chunked\r\n\r\n{size};a=b;c\r\n{body}\r\n0\r\n"
    token = f"apikey: {web_server.owner}\r\n"
    late = (head + chunks + token + "\r\n" + SECOND).format(host=web_server.host()).encode()
    told = await web_server.raw(late)
    assert told.startswith(b"HTTP/1.1 401 "), "a token in a trailer is none"
    made = await web_server.raw(
        (head + token + chunks + "X: y\r\n\r\n" + SECOND).format(host=web_server.host()).encode()
    )
    assert made.startswith(b"HTTP/1.1 201 ") and made.count(b"HTTP/1.1 200 ") == 1, made


async def test_a_refused_body_is_never_taken_for_a_request(web_server: WebServer) -> None:
    """A body that looks like a request stays a body, also where its own request is refused."""
    inner = SECOND.format(host=web_server.host())
    for line, status in (("Origin: https://evil.example\r\n", b"403"), ("", b"401"), ("Host: x\r\n", b"421")):
        host = "" if line.startswith("Host") else f"Host: {web_server.host()}\r\n"
        head = f"POST /api/v1/keys HTTP/1.1\r\n{host}{line}Content-Length: {len(inner)}\r\n\r\n"
        told = await web_server.raw((head + inner + inner).encode())
        statuses = [part.split()[0] for part in told.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [status, b"200"], told


async def test_a_head_is_bounded_as_a_whole(web_server: WebServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", web_server.port)
    writer.write(f"GET /api/v1/health HTTP/1.1\r\nHost: {web_server.host()}\r\n".encode())
    line = b"X: " + b"a" * 4000 + b"\r\n"
    for _ in range(protocol.MOST_HEAD_BYTES // len(line) + 1):
        writer.write(line)
        await writer.drain()
    async with asyncio.timeout(10):
        told = await reader.read()
    assert told.startswith(b"HTTP/1.1 431 "), told
    assert b'"code":"head-too-large"' in told
    writer.close()
    await writer.wait_closed()
    assert (await web_server.ask("GET", "/api/v1/health", token=None)).status == 200


async def test_a_head_that_never_ends_holds_no_connection(web_server: WebServer) -> None:
    server = web_server.runner.server
    assert server is not None
    server._kwargs["keepalive_timeout"] = 0.1
    for sent in (b"", b"GET /api/v1/health HTTP/1.1\r\nHost: x"):
        reader, writer = await asyncio.open_connection("127.0.0.1", web_server.port)
        writer.write(sent)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


NAMES_OF_LOOPBACK = ["localhost.", "2130706433", "0x7f.1", "0x7f000001", "127.1", "0177.0.0.1", "0.0.0.0",
                     "[::ffff:127.0.0.1]", "[::1%25lo]", "[0:0:0:0:0:0:0:1]", "127.0.0.1.", "127.0.0.2",
                     "loc\u00e4lhost", "localhost%00", "localhost, localhost"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES_OF_LOOPBACK)
async def test_other_spellings_of_this_machine(web_server: WebServer, name: str) -> None:
    """They reach the socket, and are no names of ours: one name, one spelling, one origin."""
    head = f"GET /api/v1/health HTTP/1.1\r\nHost: {name}:{web_server.port}\r\nConnection: close\r\n\r\n"
    told = await web_server.raw(head.encode())
    assert told.split()[1] == b"421", told


@pytest.mark.parametrize(
    "origin", ["HTTP://LOCALHOST:{port}", "http://LOCALHOST:{port}", "Http://localhost:{port}"]
)
async def test_an_origin_is_compared_to_the_letter(web_server: WebServer, origin: str) -> None:
    """Browsers write origins in small letters; what is written otherwise comes from no browser."""
    told = await web_server.ask(
        "GET", "/api/v1/health", headers={"Origin": origin.format(port=web_server.port)}
    )
    assert (told.status, told.json["code"]) == (403, "foreign-origin")


async def test_line_breaks_of_a_path_stay_in_the_path(web_server: WebServer) -> None:
    """Whatever repeats a decoded path in a header: a redirect, a download's name, an error."""
    for path in (
        "/%0d%0aX-Evil:%201",
        "/kit%0d%0aX-Evil:%201/",
        "/apps/default/couch/a%0d%0aX-Evil:%201",
        "/apps/default/rest/v1/a%0d%0aX-Evil:%201",
        "/api/v1/apps/default/collections/a%0aX-Evil:1/documents/x%0d%0aX-Evil:%201",
        "/api/v1/requests/%0d%0aX-Evil:1/approve",
    ):
        for method in ("GET", "PUT"):
            told = await web_server.ask(method, path)
            assert 400 <= told.status < 500, (method, path, told.status)
            assert "X-Evil" not in told.headers
