"""Compressed bodies of requests, on every face that reads one: taken, or refused with nothing stored."""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import hashlib
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from localsrv.services.imports import Imports
from tests.web.conftest import Answer, WebServer

REST = "/apps/shop/rest/v1/items"
COUCH = "/apps/shop/couch/items"
API = "/api/v1/apps/shop/collections/items"
ATTACHED = f"{API}/documents/n/attachments/a"
JSON = {"Content-Type": "application/json"}
PLAIN = {"Content-Type": "text/plain"}
RELATED = {"Content-Type": 'multipart/related; boundary="b"'}
TEXT = b"some text " * 30_000

MULTIPART = (
    b'--b\r\nContent-Type: application/json\r\n\r\n{"_attachments":{"f":{"follows":true,"length":%d}}}'
    b"\r\n--b\r\n\r\n%s\r\n--b--"
)

# What is asked, its headers, its body, and the status of what is taken.
FACES: dict[str, tuple[str, str, dict[str, str], bytes, int]] = {
    "a row": ("POST", REST, JSON, b'[{"id":"x"}]', 201),
    "rows as CSV": ("POST", REST, {"Content-Type": "text/csv"}, b"id\nx\n", 201),
    "an import of documents": ("POST", f"{API}/import", JSON, b'[{"_id":"x"}]', 200),
    "an upload": ("POST", "/api/v1/uploads?name=a.csv", {}, TEXT, 201),
    "an attachment": ("PUT", ATTACHED, PLAIN, TEXT, 201),
    "a document": ("PUT", f"{COUCH}/x", JSON, b'{"n":1}', 201),
    "a posted document": ("POST", COUCH, JSON, b'{"_id":"x"}', 201),
    "_bulk_docs": ("POST", f"{COUCH}/_bulk_docs", JSON, b'{"docs":[{"_id":"x"}]}', 201),
    "_local": ("PUT", f"{COUCH}/_local/x", JSON, b'{"n":1}', 201),
    "an attachment of the sync face": ("PUT", f"{COUCH}/x/f", PLAIN, TEXT, 201),
    "multipart/related": ("PUT", f"{COUCH}/x", RELATED, MULTIPART % (len(TEXT), TEXT), 201),
}  # fmt: skip
DEFLATED = [name for name in FACES if name != "an attachment of the sync face"]


@pytest.fixture
async def shop(web_server: WebServer) -> AsyncIterator[WebServer]:
    imports = Imports(web_server.home / "uploads", {})
    web_server.services.extra[Imports] = imports
    await web_server.make_app("shop", items={})
    await web_server.fill("shop", "items", {"_id": "n"})
    yield web_server
    await imports.close()


async def send(
    shop: WebServer, face: str, encoding: str, pack: Callable[[bytes], bytes], **more: str
) -> Answer:
    method, path, headers, body, _ = FACES[face]
    return await shop.ask(
        method, path, data=pack(body), headers={**headers, "Content-Encoding": encoding, **more}
    )


async def state(shop: WebServer) -> Any:
    """Everything that a request of these could have changed."""
    database = shop.services.apps.opened["shop"].database
    # A content that came whole before its document was refused waits to be swept away.
    files = sorted(p.name for p in shop.home.rglob("*") if p.is_file() and len(p.name) < 60)
    local = await shop.ask("GET", f"{COUCH}/_local/x")
    return database.last_seq, files, local.status


@pytest.mark.parametrize("face", FACES)
async def test_gzip_is_taken(shop: WebServer, face: str) -> None:
    taken = await send(shop, face, "gzip", gzip.compress)
    assert taken.status == FACES[face][4], taken.body
    if FACES[face][3] == TEXT and "/documents/n" in FACES[face][1]:
        assert (await shop.ask("GET", ATTACHED)).body == TEXT
    if face in ("an attachment of the sync face", "multipart/related"):
        assert (await shop.ask("GET", f"{COUCH}/x/f")).body == TEXT


@pytest.mark.parametrize("encoding", ["deflate", "x-gzip", "GZIP", " gzip "])
@pytest.mark.parametrize("face", DEFLATED)
async def test_other_names_and_deflate(shop: WebServer, face: str, encoding: str) -> None:
    taken = await send(shop, face, encoding, zlib.compress if encoding == "deflate" else gzip.compress)
    assert taken.status == FACES[face][4], taken.body


REFUSED: dict[str, tuple[str, Callable[[bytes], bytes], int, str]] = {
    "cut": ("gzip", lambda b: gzip.compress(b)[:-9], 400, "ends before its gzip data does"),
    "cut in its checksum": ("gzip", lambda b: gzip.compress(b)[:-1], 400, "ends before its gzip data does"),
    "nothing": ("gzip", lambda b: b"", 400, "ends before its gzip data does"),
    "something behind": (
        "gzip",
        lambda b: gzip.compress(b) + b"more",
        400,
        "behind the end of its gzip data",
    ),
    "not compressed": ("gzip", lambda b: b, 400, "says that it is compressed and is no gzip data"),
    "another checksum": ("gzip", lambda b: gzip.compress(b)[:-8] + bytes(8), 400, "is no gzip data"),
    "brotli": ("br", lambda b: b, 415, "known"),
    "twice": ("gzip, gzip", lambda b: gzip.compress(gzip.compress(b)), 400, "compressed once"),
}


@pytest.mark.parametrize("how", REFUSED)
@pytest.mark.parametrize("face", FACES)
async def test_what_cannot_be_uncompressed_is_refused(shop: WebServer, face: str, how: str) -> None:
    encoding, pack, status, says = REFUSED[how]
    before = await state(shop)
    refused = await send(shop, face, encoding, pack)
    if face == "an attachment of the sync face" and encoding != "gzip":
        status, says = 415, "Only gzip and identity content-encodings are supported"  # CouchDB's own words
    assert refused.status == status, refused.body
    assert says in refused.body.decode()
    assert await state(shop) == before


@pytest.mark.parametrize("face", FACES)
async def test_what_becomes_too_large_is_refused(shop: WebServer, face: str) -> None:
    before = await state(shop)
    bomb = gzip.compress(b" " * (5 << 20))
    if face == "multipart/related":
        bomb = gzip.compress(MULTIPART % (5 << 20, b" " * (5 << 20)))
    refused = await send(shop, face, "gzip", lambda _: bomb)
    assert refused.status == 413, refused.body
    assert await state(shop) == before


async def test_two_headers_are_two_encodings(shop: WebServer) -> None:
    body = gzip.compress(b'[{"id":"x"}]')
    refused = await shop.raw(
        f"POST {REST} HTTP/1.1\r\nHost: {shop.host()}\r\napikey: {shop.owner}\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    assert refused.startswith(b"HTTP/1.1 400 ") and b"compressed once" in refused


@pytest.mark.parametrize(("of_what", "status"), [("sent", 201), ("uncompressed", 400)])
async def test_content_md5_is_of_the_bytes_as_sent(shop: WebServer, of_what: str, status: int) -> None:
    """RFC 1864; CouchDB checks it before anything else is done to the bytes."""
    packed = gzip.compress(TEXT, mtime=0)
    digest = hashlib.md5(packed if of_what == "sent" else TEXT).digest()
    text = base64.b64encode(digest).decode()
    answer = await send(
        shop, "an attachment of the sync face", "gzip", lambda _: packed, **{"Content-MD5": text}
    )
    assert answer.status == status, answer.body
    if status == 400:
        assert answer.json["error"] == "content_md5_mismatch"


LIMIT_S = 0.5
"""How long one request may work before all others have their turn. Measured: 0.01 to 0.1, and more where
other programs share the core; 15,000 parts in one go took 0.9."""


async def _longest_wait(work: asyncio.Task[Any]) -> float:
    """The longest that the event loop's thread worked without coming round, in seconds of processor time:
    what else a busy machine does in between says nothing of us."""
    # As in the server, what was there before is not looked through again: a whole test run holds much.
    gc.collect()
    gc.freeze()
    try:
        longest, last = 0.0, time.thread_time()
        while not work.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now
    finally:
        gc.unfreeze()
    return longest


async def test_the_others_need_not_wait_for_many_parts(shop: WebServer) -> None:
    count = 15_000
    names = {f"{number}": {"follows": True, "length": 0} for number in range(count)}
    document = json.dumps({"_attachments": names}, separators=(",", ":")).encode()
    body = b"--b\r\n\r\n" + document + b"\r\n--b\r\n\r\n" * count + b"\r\n--b--"
    work = asyncio.ensure_future(shop.ask("PUT", f"{COUCH}/x", data=body, headers=RELATED))
    waits = await _longest_wait(work)
    assert work.result().status == 201, work.result().body
    assert waits < LIMIT_S, waits


MEMBERS = gzip.compress(b"", mtime=0) * 40_000


@pytest.mark.parametrize("bomb", ["zeros", "empty members"])
@pytest.mark.parametrize("face", ["a row", "an attachment", "an upload", "multipart/related"])
async def test_the_others_need_not_wait(shop: WebServer, face: str, bomb: str) -> None:
    shop.services.max_upload = 1 << 30
    body = MEMBERS
    if bomb == "zeros":
        zeros = bytes(200 << 20)
        body = gzip.compress(MULTIPART % (len(zeros), zeros) if face == "multipart/related" else zeros, 1)

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    method, path, headers, _, _ = FACES[face]
    sending = shop.ask(method, path, data=chunks(), headers={**headers, "Content-Encoding": "gzip"})
    work = asyncio.ensure_future(sending)
    waits = await _longest_wait(work)
    assert work.result().status < 500
    assert waits < LIMIT_S, waits
