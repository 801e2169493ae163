"""A peer that is no good: each way becomes an error that says what is wrong and whether to try again."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import orjson
import pytest
from aiohttp import web

from localsrv.model.exchange import Revision, Stub, Wanted
from localsrv.model.replication import Credentials, parse_replication
from localsrv.outbound import session
from localsrv.outbound.couch_peer import CouchPeer
from localsrv.outbound.errors import (
    PeerBusy,
    PeerError,
    PeerGarbage,
    PeerLost,
    PeerTooLarge,
    PeerUnreachable,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SECRET = "not to be told"


class Server:
    """Answers with `handler`; `asked` has every request's method and path."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.handler: Handler | None = None
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        self.headers.append(request.headers)
        assert self.handler is not None
        return await self.handler(request)  # type: ignore[arg-type]

    def says(self, status: int, body: bytes | Any, **headers: str) -> None:
        data = body if isinstance(body, bytes) else orjson.dumps(body)

        async def handler(request: web.Request) -> web.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=status, body=data, headers=named)

        self.handler = handler

    def peer(self, **options: Any) -> CouchPeer:
        body = {"source": f"{self.url}/db", "target": "x", **options}
        parsed, _ = parse_replication(body)
        return CouchPeer(parsed.source, Credentials("ann", SECRET), parsed)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    made = Server()
    runner = web.ServerRunner(web.Server(made.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    pauses: list[float] = []

    async def no_pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(session.asyncio, "sleep", no_pause)
    yield made
    await runner.cleanup()


HTML = b"<!DOCTYPE html><html><body>Please sign in to the hotel's network</body></html>"

BAD_ANSWERS: dict[str, tuple[int, Any, dict[str, str], str, int]] = {
    # name: (status, body, headers, the error's code, how often it is asked)
    "html": (200, HTML, {}, "peer-garbage", 1),
    "no json": (200, b"{", {}, "peer-garbage", 1),
    "nothing": (200, b"", {}, "peer-garbage", 1),
    "an array": (200, [1, 2], {}, "peer-garbage", 1),
    "no fields": (200, {}, {}, "peer-garbage", 1),
    "wrong types": (200, {"update_seq": 1, "doc_count": "many"}, {}, "peer-garbage", 1),
    "redirect": (302, b"", {"Location": "http://127.0.0.1:1/db"}, "peer-redirects", 1),
    "permanent redirect": (308, b"", {"Location": "/elsewhere"}, "peer-redirects", 1),
    "unauthorized": (401, {"error": "unauthorized", "reason": "wrong"}, {}, "peer-unauthorized", 1),
    "forbidden": (403, {"error": "forbidden"}, {}, "peer-forbidden", 1),
    "missing": (404, {"error": "not_found", "reason": "no_db_file"}, {}, "peer-missing", 1),
    "missing as html": (404, HTML, {}, "peer-missing", 1),
    "too large": (413, {"error": "too_large"}, {}, "peer-too-large", 1),
    "teapot": (418, {"error": "teapot"}, {}, "peer-418", 1),
    "too many": (429, {"error": "slow"}, {}, "peer-busy", session.TRIES),
    "come back late": (503, b"", {"Retry_After": "120"}, "peer-busy", 1),
    "broken": (500, {"error": "oh"}, {}, "peer-busy", session.TRIES),
    "gateway": (502, HTML, {}, "peer-busy", session.TRIES),
}


async def test_a_feed_that_does_not_tell_what_is_left(server: Server) -> None:
    """As PouchDB Server's, which also keeps the signs of life of a compressed feed in its buffer."""
    server.says(200, {"results": [], "last_seq": 2})
    peer = server.peer()
    for wait, accepted in ((False, "gzip"), (True, "identity")):
        page = await peer.page(0, wait=wait)
        assert (page.pending, page.is_end) == (0, True)
        assert accepted in server.headers[-1]["Accept-Encoding"]
    full = [{"id": f"d{n}", "changes": [{"rev": "1-a"}]} for n in range(5000)]
    server.says(200, {"results": full, "last_seq": 5000})
    page = await peer.page(0, wait=False)
    assert (page.pending, page.is_end) == (None, False)
    await peer.close()


@pytest.mark.parametrize("case", BAD_ANSWERS)
async def test_bad_answers(server: Server, case: str) -> None:
    status, body, headers, code, times = BAD_ANSWERS[case]
    server.says(status, body, **headers)
    peer = server.peer()
    with pytest.raises(PeerError) as caught:
        await peer.information()
    await peer.close()
    assert caught.value.code == code
    assert server.asked == ["GET /db"] * times  # a redirect is not followed
    assert SECRET not in str(caught.value.as_dict()) + repr(caught.value)
    expected = base64.b64encode(f"ann:{SECRET}".encode()).decode()
    assert {h["Authorization"] for h in server.headers} == {f"Basic {expected}"}
    assert caught.value.after_s == (120.0 if case == "come back late" else None)


@pytest.mark.parametrize(
    ("method", "arguments", "body"),
    [
        ("page", (0,), {"results": [{"id": 5, "changes": []}], "last_seq": 1}),
        ("page", (0,), {"results": [{"id": "a", "changes": [{"rev": "1-a"}]}], "last_seq": None}),
        ("page", (0,), {"results": {}}),
        ("page", (0,), {"results": [None], "last_seq": 1}),
        ("missing", ({"a": ["1-a"]},), {"a": {"missing": 5}}),
        ("missing", ({"a": ["1-a"]},), ["a"]),
        ("fetch", ([Wanted("a", ("1-a",))],), {"results": [{"id": "a", "docs": [{"ok": {"_id": "a"}}]}]}),
        ("fetch", ([Wanted("a", ("1-a",))],), {"results": [{"docs": [{"ok": {"_id": "a", "_rev": "x"}}]}]}),
        ("fetch", ([Wanted("a", ("1-a",))],), {"results": [{"docs": [{"ok": "a"}]}]}),
        (
            "fetch",
            ([Wanted("a", ("2-a",))],),
            {
                "results": [
                    {"docs": [{"ok": {"_id": "a", "_rev": "2-a", "_revisions": {"start": 9, "ids": ["z"]}}}]}
                ]
            },
        ),
        ("write", ([Revision("a", ("1-a",), fields={})], None), {"ok": True}),
        ("write", ([Revision("a", ("1-a",), fields={})], None), ["broken"]),
    ],
)
async def test_answers_of_another_shape(
    server: Server, method: str, arguments: tuple[Any, ...], body: Any
) -> None:
    server.says(200, body)
    peer = server.peer()
    options = {"wait": False} if method == "page" else {}
    with pytest.raises(PeerError) as caught:
        answer = await getattr(peer, method)(*arguments, **options)
        if method == "page":
            answer.read()
    await peer.close()
    assert isinstance(caught.value, PeerGarbage)


async def test_nobody_listens(server: Server, free_port: int) -> None:
    server.url = f"http://127.0.0.1:{free_port}"
    peer = server.peer()
    with pytest.raises(PeerUnreachable, match="cannot be reached"):
        await peer.information()
    await peer.close()


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"\x00\xffgarbage\r\n\r\n"]
)
async def test_connections_that_break(server: Server, sent: bytes) -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    peer = server.peer()
    with pytest.raises(PeerLost if b"garbage" not in sent else PeerGarbage):
        await peer.information()
    await peer.close()
    listener.close()
    await listener.wait_closed()
    assert asked >= (1 if b"garbage" in sent else session.TRIES)


async def test_a_silent_peer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SILENCE_S", 0.05)
    gone = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await gone.wait()
        return web.Response()

    server.handler = handler
    peer = server.peer()
    with pytest.raises(PeerLost, match="does not answer"):
        await peer.information()
    gone.set()
    await peer.close()


ROWS = [
    # error, reason, what becomes of the document
    ("forbidden", "no", "refused"),
    ("unauthorized", "", "refused"),
    ("doc_validation", "Bad special document member: _x", "refused"),
    ("insufficient_storage", "database_dir is too full", "comes again"),
    ("service unavailable", "node is down", "comes again"),
    ("internal_server_error", "", "comes again"),
    ("unknown_error", "enospc", "comes again"),
    ("timeout", "The request could not be processed in a reasonable amount of time.", "comes again"),
    ("write_quorum_not_met", "", "comes again"),
]


@pytest.mark.parametrize("has_attachment", [False, True])
@pytest.mark.parametrize(("error", "reason", "becomes"), ROWS, ids=[r[0] for r in ROWS])
async def test_rows_that_say_nothing_about_their_document(
    server: Server, error: str, reason: str, becomes: str, has_attachment: bool
) -> None:
    """What passes is no refusal: the checkpoint would go past a document that never arrived."""
    server.says(201, [{"id": "a", "rev": "1-a", "error": error, "reason": reason}])
    peer = server.peer()
    stubs = (Stub("kept", "text/plain", 1, "", 0),) if has_attachment else ()
    revision = Revision("a", ("1-a",), fields={"n": 1}, attachments=stubs)
    try:
        if becomes == "refused":
            done = await peer.write([revision], peer)
            assert [(r.id, r.error, r.reason) for r in done.refused] == [("a", error, reason)]
        else:
            with pytest.raises(PeerBusy) as caught:
                await peer.write([revision], peer)
            assert error in str(caught.value.details) and reason in str(caught.value.details)
    finally:
        await peer.close()


async def test_an_answer_without_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed or not, it is cut off when it has grown past the limit."""
    monkeypatch.setattr(session, "MOST_BYTES", 1 << 16)
    server.says(200, gzip.compress(b" " * (10 << 20)), Content_Encoding="gzip")
    peer = server.peer()
    with pytest.raises(PeerTooLarge):
        await peer.information()
    await peer.close()


async def test_a_page_too_large_is_asked_for_without_documents(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MOST_BYTES", 1 << 16)

    async def handler(request: web.Request) -> web.Response:
        document = {"_id": "a", "_rev": "1-a", "text": "x" * (1 << 17)}
        row: dict[str, Any] = {"seq": 1, "id": "a", "changes": [{"rev": "1-a"}]}
        if request.query.get("include_docs") == "true":
            row["doc"] = document
        return web.json_response({"results": [row], "last_seq": 1, "pending": 0})

    server.handler = handler
    peer = server.peer()
    page = await peer.page(0, wait=False)
    await peer.close()
    assert [(row.id, row.revision) for row in page.read()] == [("a", None)]


async def test_without_bulk_get_documents_are_asked_for_one_by_one(server: Server) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/db/_bulk_get":
            return web.json_response({"error": "not_found"}, status=404)
        if request.path == "/db":
            return web.json_response({"update_seq": 1, "doc_count": 1})
        rev = orjson.loads(request.query["open_revs"])[0]
        ident = request.path.rpartition("/")[2]
        if ident == "gone":
            return web.json_response([{"missing": rev}])
        history = {"start": 2, "ids": ["b", "a"]}
        return web.json_response([{"ok": {"_id": ident, "_rev": rev, "_revisions": history, "n": 1}}])

    server.handler = handler
    peer = server.peer()
    found = await peer.fetch([Wanted("one", ("2-b",)), Wanted("gone", ("2-b",)), Wanted("two", ("2-b",))])
    await peer.close()
    assert sorted((r.id, tuple(r.path), r.fields["n"]) for r in found) == [
        ("one", ("2-b", "1-a"), 1),
        ("two", ("2-b", "1-a"), 1),
    ]


DATA = b"text of an attachment, " * 5000


@pytest.mark.parametrize(
    ("body", "encoding", "of", "is_good"),
    [
        (DATA, None, DATA, True),
        (DATA, None, DATA + b"x", False),
        (gzip.compress(DATA, mtime=0), "gzip", gzip.compress(DATA, mtime=0), True),
        (gzip.compress(DATA, mtime=0), "gzip", DATA, True),
        (gzip.compress(DATA, mtime=0)[:-20], "gzip", DATA, False),
        (b"not gzip at all", "gzip", DATA, False),
    ],
    ids=["plain", "wrong digest", "digest of compressed", "digest of plain", "half", "no gzip"],
)
async def test_attachments(
    server: Server, body: bytes, encoding: str | None, of: bytes, is_good: bool
) -> None:
    headers = {} if encoding is None else {"Content_Encoding": encoding}
    server.says(200, body, **headers)
    md5 = base64.b64encode(hashlib.md5(of).digest()).decode()
    stub = Stub("a/b c", "text/plain", len(DATA), md5, 1)
    peer = server.peer()
    revision = Revision("ü", ("1-a",), fields={}, attachments=(stub,))
    received = b""
    try:
        async with peer.attachment(revision, stub) as chunks:
            async for chunk in chunks:
                received += chunk
    except PeerGarbage as error:
        assert error.code == "peer-digest" and not is_good
    else:
        assert is_good and received == DATA
    await peer.close()
    assert server.asked == ["GET /db/ü/a/b c"]


async def test_a_number_that_would_lose_digits_costs_its_document_alone(server: Server) -> None:
    """Read as a double it would be stored under the revision of another document."""
    rows = [
        b'{"seq":%d,"id":"%s","changes":[{"rev":"1-a"}],"doc":{"_id":"%s","_rev":"1-a","n":%s}}' % row
        for row in ((1, b"a", b"a", b"1"), (2, b"b", b"b", b"123456789012345678901"), (3, b"c", b"c", b"0.5"))
    ]
    server.says(200, b'{"results":[%s],"last_seq":"3-x","pending":0}' % b",".join(rows))
    peer = server.peer()
    page = await peer.page(0, wait=False)
    await peer.close()
    told = {row.id: row.revision for row in page.read()}
    assert [i for i, revision in told.items() if revision is not None and not revision.is_json] == ["b"]
