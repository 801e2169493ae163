"""Documents with attachments behind them: multipart/related and multipart/mixed, both ways."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import os
import sys
from typing import Any

import pytest

from localsrv.web.couch.accepting import accepts
from tests.support.couch import JSON, Couch, parts_of, related

RELATED = {"Accept": "multipart/related,*/*;"}
MIXED = {"Accept": "multipart/mixed"}
FOO, BAR, BAZ = b"this is 21 chars long", b"this is 20 chars lon", b"this is 19 chars lo"


def md5(data: bytes) -> str:
    return "md5-" + base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def follows(data: bytes, **more: Any) -> dict[str, Any]:
    return {"follows": True, "content_type": "application/test", "length": len(data), **more}


async def three(couch: Couch) -> str:
    document = {"v": 1, "_attachments": {"foo": follows(FOO), "bar": follows(BAR), "baz": follows(BAZ)}}
    made = await couch.ask("PUT", "/d", **related(document, FOO, BAR, BAZ))
    assert (made.status, made.json["ok"]) == (201, True), made.body
    return str(made.json["rev"])


async def test_attachments_follow_their_document(couch: Couch) -> None:
    first = await three(couch)
    for name, data in (("foo", FOO), ("bar", BAR), ("baz", BAZ)):
        assert (await couch.ask("GET", f"/d/{name}")).body == data
    changed = {"_rev": first, "_attachments": {"foo": {"stub": True}, "bar": follows(b"this is 18 chars l")}}
    done = await couch.ask("PUT", "/d", **related(changed, b"this is 18 chars l"))
    second = done.json["rev"]
    assert done.headers["ETag"] == f'"{second}"'
    assert (await couch.ask("GET", "/d/baz")).status == 404

    whole = await couch.ask("GET", "/d?attachments=true", headers=RELATED)
    assert whole.headers["Content-Type"].startswith("multipart/related; boundary=")
    assert int(whole.headers["Content-Length"]) == len(whole.body)
    document, *files = parts_of(whole)
    assert document[0] == {"content-type": "application/json"}
    shown = json.loads(document[1])
    assert shown["_attachments"]["foo"] == follows(FOO, revpos=1, digest=md5(FOO))
    assert files == [
        ({"content-disposition": f'attachment; filename="{name}"', "content-type": "application/test",
          "content-length": str(len(data))}, data)
        for name, data in (("bar", b"this is 18 chars l"), ("foo", FOO))
    ]  # fmt: skip
    head = await couch.ask("HEAD", "/d?attachments=true", headers=RELATED)
    assert (head.headers["Content-Length"], head.body) == (whole.headers["Content-Length"], b"")

    later = await couch.ask("GET", f'/d?atts_since=["1-2897589","{first}"]', headers=RELATED)
    document, *files = parts_of(later)
    shown = json.loads(document[1])["_attachments"]
    assert (shown["foo"].get("stub"), shown["bar"].get("follows")) == (True, True)
    assert [data for _, data in files] == [b"this is 18 chars l"]
    nothing = await couch.ask("GET", f'/d?atts_since=["{second}"]', headers=RELATED)
    assert nothing.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("piece", [1, 7, 1000, 100_000])
async def test_pieces_of_any_size(couch: Couch, piece: int) -> None:
    size = 500 if piece == 1 else 300_000
    data = hashlib.shake_128(b"x").digest(size) + b"\r\n--abc12"
    options = related({"_attachments": {"a": follows(data, digest=md5(data))}}, data)
    body: bytes = options["data"]

    async def pieces() -> Any:
        for at in range(0, len(body), piece):
            yield body[at : at + piece]

    made = await couch.ask("PUT", "/d", data=pieces(), headers=options["headers"])
    assert made.status == 201, made.body
    assert (await couch.ask("GET", "/d/a")).body == data


async def test_what_is_read_can_be_written(couch: Couch) -> None:
    """The round of a replicator: what one server sends goes to another as it is."""
    names = {"a/b": b"1" * 70_000, "ü€": b"two", 'quo"te\\': b"\r\n--x", "empty": b""}
    document = {"_attachments": {n: follows(d) for n, d in names.items()}}
    made = await couch.ask("PUT", "/d", **related(document, *names.values()))
    assert made.status == 201, made.body
    whole = await couch.ask("GET", "/d?revs=true&attachments=true", headers=RELATED)
    headers = {"Content-Type": whole.headers["Content-Type"]}
    done = await couch.ask("PUT", "/e?new_edits=false", data=whole.body, headers=headers)
    assert (done.status, done.json["rev"]) == (201, made.json["rev"]), done.body
    first, second = await couch.get("/d?attachments=true"), await couch.get("/e?attachments=true")
    assert second == {**first, "_id": "e"}
    again = await couch.ask("PUT", "/e?new_edits=false", data=whole.body, headers=headers)
    assert again.status == 201


async def test_parts_are_found_by_name_or_else_by_place(couch: Couch) -> None:
    document = {"_attachments": {"foo": follows(FOO), "bar": follows(BAR), "baz": follows(BAZ)}}
    named = ({"Content-Disposition": 'attachment; filename="baz"'}, BAZ)
    unknown = ({"Content-Disposition": 'attachment; filename="other"'}, FOO)
    made = await couch.ask("PUT", "/d", **related(document, named, unknown, BAR))
    assert made.status == 201, made.body
    for name, data in (("foo", FOO), ("bar", BAR), ("baz", BAZ)):
        assert (await couch.ask("GET", f"/d/{name}")).body == data


async def test_inline_stubs_and_parts_together(couch: Couch) -> None:
    first = await three(couch)
    document = {"_rev": first, "_attachments": {
        "foo": {"stub": True}, "in": {"data": base64.b64encode(b"inline").decode()}, "bar": follows(BAR),
    }}  # fmt: skip
    made = await couch.ask("PUT", "/d", **related(document, BAR))
    assert made.status == 201, made.body
    for name, data in (("foo", FOO), ("bar", BAR), ("in", b"inline")):
        assert (await couch.ask("GET", f"/d/{name}")).body == data


@pytest.mark.parametrize("size", [1000, 500_000])
async def test_compressed_parts_are_kept_uncompressed(couch: Couch, size: int) -> None:
    """As CouchDB's replicator sends what it keeps compressed: lengths of both, digest of the compressed."""
    data = (b"some text, " * size)[:size]
    packed = gzip.compress(data)
    spec = follows(data, encoding="gzip", encoded_length=len(packed), digest=md5(packed), revpos=1)
    part = ({"Content-Encoding": "gzip", "Content-Length": str(len(packed))}, packed)
    made = await couch.ask("PUT", "/d?new_edits=false", **related(
        {"_revisions": {"start": 2, "ids": ["b", "a"]}, "_attachments": {"t": spec}}, part))  # fmt: skip
    assert (made.status, made.json["rev"]) == (201, "2-b"), made.body
    found = await couch.ask("GET", "/d/t")
    assert (found.body == data, found.headers["Content-MD5"]) == (True, md5(data)[4:])
    shown = (await couch.get("/d"))["_attachments"]["t"]
    assert (shown["length"], shown["revpos"], shown["digest"]) == (size, 1, md5(data))


async def test_a_part_that_says_it_is_compressed(couch: Couch) -> None:
    packed = gzip.compress(FOO)
    made = await couch.ask("PUT", "/d", **related(
        {"_attachments": {"t": follows(packed)}}, ({"Content-Encoding": "gzip"}, packed)))  # fmt: skip
    assert made.status == 201, made.body
    assert (await couch.ask("GET", "/d/t")).body == FOO


OTHER = {"Content-Disposition": 'attachment; filename="foo"'}
PACKED = gzip.compress(b"text " * 1000)

REFUSED: list[tuple[str, Any, tuple[Any, ...], int, str, str]] = [
    ("a part too few", {"foo": follows(FOO), "bar": follows(BAR)}, (FOO,), 400, "bad_request",
     "Attachment `bar` was to follow and did not"),
    ("a part too many", {"foo": follows(FOO)}, (FOO, BAR), 400, "bad_request",
     "The multipart body has more parts than its document has attachments that follow"),
    ("too short", {"foo": follows(FOO, length=22)}, (FOO,), 400, "bad_request",
     "attachment shorter than expected"),
    ("too long", {"foo": follows(FOO, length=20)}, (FOO,), 400, "bad_request",
     "attachment longer than expected"),
    ("far too long", {"foo": follows(FOO)}, (FOO * 10_000,), 400, "bad_request",
     "attachment longer than expected"),
    ("another digest", {"foo": follows(FOO, digest=md5(BAR))}, (FOO,), 400, "content_md5_mismatch",
     "Possible message corruption."),
    ("another digest of a large one", {"foo": follows(FOO * 10_000, digest=md5(FOO))}, (FOO * 10_000,), 400,
     "content_md5_mismatch", "Possible message corruption."),
    ("another MD5 of the part", {"foo": follows(FOO)}, (({"Content-MD5": md5(BAR)[4:]}, FOO),), 400,
     "content_md5_mismatch", "Possible message corruption."),
    ("a good one before a bad one", {"foo": follows(FOO * 10_000), "bar": follows(BAR, digest=md5(FOO))},
     (FOO * 10_000, BAR), 400, "content_md5_mismatch", "Possible message corruption."),
    ("digest of the plain bytes", {"foo": follows(PACKED, encoding="gzip", encoded_length=len(PACKED),
     length=5000, digest=md5(b"text " * 1000))}, (PACKED,), 400, "content_md5_mismatch",
     "Possible message corruption."),
    ("another length of the plain bytes", {"foo": follows(PACKED, encoding="gzip", length=4999)}, (PACKED,),
     400, "bad_request", "attachment longer than expected"),
    ("no gzip", {"foo": follows(FOO, encoding="gzip")}, (FOO,), 400, "bad_request",
     "The attachment says that it is compressed and is no gzip data."),
    ("half a gzip", {"foo": {"follows": True, "encoding": "gzip"}}, (PACKED[:-9],), 400, "bad_request",
     "The attachment ends before its gzip data does. Send it again, whole."),
    ("an encoding nobody knows", {"foo": follows(FOO)}, (({"Content-Encoding": "br"}, FOO),), 415,
     "bad_content_type", "Only gzip and identity content-encodings are supported"),
    ("a stub of nothing", {"foo": {"stub": True}, "bar": follows(BAR)}, (BAR,), 412, "missing_stub",
     "Previous revision missing for document d"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("attachments", "contents", "status", "error", "reason"),
    [c[1:] for c in REFUSED],
    ids=[c[0] for c in REFUSED],
)
async def test_refused_parts_write_nothing(
    couch: Couch, attachments: Any, contents: tuple[Any, ...], status: int, error: str, reason: str
) -> None:
    seq = couch.database.last_seq
    answer = await couch.ask("PUT", "/d", **related({"_attachments": attachments}, *contents))
    assert (answer.status, answer.json) == (status, {"error": error, "reason": reason})
    assert couch.database.last_seq == seq
    assert (await couch.ask("GET", "/d")).json["reason"] == "missing"
    # Contents that came before the bad one are known to nobody and are swept later; the bad one is not kept.
    _, files, rows = couch.stored()
    assert (len(files), rows) == (1 if "bar" in attachments and len(contents[0]) > 100_000 else 0, 0)


DOCUMENT = b'{"_attachments":{"a":{"follows":true,"length":1}}}'
WHOLE = b"--b\r\nContent-Type: application/json\r\n\r\n" + DOCUMENT + b"\r\n--b\r\n\r\nx\r\n--b--"
TYPE = "multipart/related; boundary=b"
NO_BOUNDARY = "The boundary of the Content-Type header does not occur in the body."
NO_END = "The multipart body ends before its closing boundary."

BODIES: list[tuple[str, bytes, str, int, str, str]] = [
    ("another boundary", WHOLE, "multipart/related; boundary=c", 400, "bad_request", NO_BOUNDARY),
    ("no boundary", WHOLE, "multipart/related", 400, "bad_request",
     "The Content-Type header of a multipart body must name its boundary."),
    ("an impossible boundary", WHOLE, 'multipart/related; boundary="' + "x" * 300 + '"', 400, "bad_request",
     "The boundary in the Content-Type header cannot be one."),
    ("nothing", b"", TYPE, 400, "bad_request", NO_BOUNDARY),
    ("no parts", b"--b--", TYPE, 400, "bad_request", "The multipart body has no parts"),
    ("no end", WHOLE[:-5], TYPE, 400, "bad_request", NO_END),
    ("no end of the document", WHOLE[:60], TYPE, 400, "bad_request", NO_END),
    ("a header without colon", b"--b\r\nnonsense\r\n\r\n{}\r\n--b--", TYPE, 400, "bad_request",
     "A part of the multipart body has a header without a colon."),
    ("no JSON first", WHOLE.replace(b"application/json", b"text/plain"), TYPE, 415, "bad_content_type",
     "Content-Type must be application/json"),
    ("an array first", WHOLE.replace(DOCUMENT, b"[]"), TYPE, 400, "bad_request",
     "Document must be a JSON object"),
    ("another multipart", WHOLE, "multipart/form-data; boundary=b", 415, "bad_content_type",
     "Of multipart types only multipart/related is taken"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "content_type", "status", "error", "reason"), [c[1:] for c in BODIES], ids=[c[0] for c in BODIES]
)
async def test_broken_bodies_write_nothing(
    couch: Couch, body: bytes, content_type: str, status: int, error: str, reason: str
) -> None:
    before = couch.stored()
    answer = await couch.ask("PUT", "/d", data=body, headers={"Content-Type": content_type})
    assert (answer.status, answer.json) == (status, {"error": error, "reason": reason})
    assert couch.stored() == before
    made = await couch.ask("PUT", "/d", data=WHOLE, headers={"Content-Type": TYPE})
    assert made.status == 201


BEFORE: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("exists", "/d", {}, 409, "conflict"),
    ("stale", "/d", {"_rev": "1-x"}, 409, "conflict"),
    ("other revisions", "/d?rev=1-y", {"_rev": "1-x"}, 400, "bad_request"),
    ("no revision", "/new?new_edits=false", {}, 400, "bad_request"),
]


@pytest.mark.parametrize(
    ("path", "document", "status", "error"), [b[1:] for b in BEFORE], ids=[b[0] for b in BEFORE]
)
async def test_what_cannot_be_written_is_told_before_attachments_come(
    couch: Couch, path: str, document: dict[str, Any], status: int, error: str
) -> None:
    await couch.put("/d", {})
    options = related({**document, "_attachments": {"a": {"follows": True}}}, b"x" * 100)
    head = "".join(f"{n}: {v}\r\n" for n, v in couch.server.headers(headers=options["headers"]).items())
    reader, writer = await asyncio.open_connection("127.0.0.1", couch.server.port)
    writer.write(
        f"PUT {couch.base}{path} HTTP/1.1\r\n{head}Content-Length: {len(options['data'])}\r\n\r\n".encode()
    )
    writer.write(options["data"][:-50])  # the rest never comes
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"}\n")
    writer.close()
    await writer.wait_closed()
    assert int(answer.split()[1]) == status
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == error


async def test_no_json_first(couch: Couch) -> None:
    answer = await couch.ask("PUT", "/d", **related(b"{nonsense"))
    assert (answer.status, answer.json["error"]) == (400, "bad_request")
    assert answer.json["reason"].startswith("invalid UTF-8 JSON")


@pytest.mark.parametrize("cut", [100, 130, 200, 5_000, 149_990])
async def test_a_client_that_leaves_half_way_leaves_nothing(
    couch: Couch, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = b"x" * 150_000
    options = related({"_attachments": {"a": follows(data)}}, data)
    await _leave(caplog, couch, "/d", options["headers"]["Content-Type"], options["data"], cut)


@pytest.mark.parametrize("cut", [0, 1, 5_000, 149_999])
async def test_a_client_that_leaves_within_an_attachment_leaves_nothing(
    couch: Couch, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    await _leave(caplog, couch, "/d/a", "text/plain", b"x" * 150_000, cut)


@pytest.mark.parametrize("cut", [0, 1, 10])
async def test_a_client_that_leaves_within_a_document_leaves_nothing(
    couch: Couch, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    await _leave(caplog, couch, "/d", "application/json", b'{"v":1234567890}', cut)


async def _leave(
    caplog: pytest.LogCaptureFixture, couch: Couch, path: str, content_type: str, body: bytes, cut: int
) -> None:
    before = couch.stored()
    head = "".join(f"{n}: {v}\r\n" for n, v in couch.server.headers().items())
    reader, writer = await asyncio.open_connection("127.0.0.1", couch.server.port)
    writer.write(
        f"PUT {couch.base}{path} HTTP/1.1\r\n{head}Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
    )
    writer.write(body[:cut])
    writer.write_eof()
    async with asyncio.timeout(10):
        await reader.read()  # until the server has closed it too
        while couch.server.services.flight.requests:
            await asyncio.sleep(0)
    writer.close()
    await writer.wait_closed()
    assert couch.stored() == before
    assert [r for r in caplog.records if r.levelname in ("WARNING", "ERROR") or r.exc_info] == []
    assert (await couch.ask("GET", "/d")).status == 404


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc")
@pytest.mark.parametrize("path", ["/d/a", "/d?attachments=true"])
async def test_a_client_that_leaves_while_it_reads_leaves_no_open_file(
    couch: Couch, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    await couch.ask("PUT", "/d/a", data=io.BytesIO(b"x" * (4 << 20)))
    head = "".join(f"{n}: {v}\r\n" for n, v in couch.server.headers().items())
    reader, writer = await asyncio.open_connection("127.0.0.1", couch.server.port)
    writer.write(f"GET {couch.base}{path} HTTP/1.1\r\n{head}\r\n".encode())
    await reader.readexactly(1000)
    writer.transport.abort()
    async with asyncio.timeout(10):
        while couch.server.services.flight.requests:
            await asyncio.sleep(0)
    names = [os.readlink(fd.path) for fd in os.scandir("/proc/self/fd") if os.path.islink(fd.path)]
    assert [name for name in names if str(couch.database._file.blobs.folder) in name] == []
    assert [r for r in caplog.records if r.levelname in ("WARNING", "ERROR") or r.exc_info] == []


async def test_too_large_a_body(couch: Couch) -> None:
    before = couch.stored()
    data = b"x" * (couch.server.services.max_upload + 1)
    options = related({"_attachments": {"a": {"follows": True}}}, data)
    answer = await couch.ask("PUT", "/d", data=io.BytesIO(options["data"]), headers=options["headers"])
    assert (answer.status, answer.json["error"]) == (413, "too_large")
    document = b'{"v":"' + b"x" * (couch.server.services.max_body + 1) + b'"}'
    options = related(document)
    answer = await couch.ask("PUT", "/d", data=io.BytesIO(options["data"]), headers=options["headers"])
    assert (answer.status, answer.json["error"]) == (413, "too_large")
    assert couch.stored() == before
    halves = {"a": b"x" * (len(data) // 2), "b": b"x" * (len(data) // 2 + 1)}  # none of them too large
    options = related({"_attachments": {n: {"follows": True} for n in halves}}, *halves.values())
    answer = await couch.ask("PUT", "/d", data=io.BytesIO(options["data"]), headers=options["headers"])
    assert (answer.status, answer.json["error"]) == (413, "too_large")
    assert couch.database.last_seq == before[0]


# ── several revisions ──────────────────────────────────────────────────────────────────────────────────────


async def conflicting(couch: Couch) -> None:
    inline = {"data": base64.b64encode(FOO).decode(), "content_type": "application/test"}
    await couch.graft("d", "1-a", v=1)
    await couch.graft("d", "2-b", "1-a", v="b", _attachments={"f": inline})
    await couch.graft("d", "2-c", "1-a", v="c")
    await couch.graft("d", "2-d", "1-a", _deleted=True)


OPEN: list[tuple[str, str, list[Any]]] = [
    ("all leaves", "all", ["2-c", "2-b", "2-d"]),
    ("some", '["2-b","1-a"]', ["2-b", "1-a"]),
    ("some twice", '["2-b","2-b"]', ["2-b"]),
    ("unknown ones", '["1-z","2-b","7-z"]', ["2-b", {"missing": "1-z"}, {"missing": "7-z"}]),
    ("none", "[]", []),
    ("latest", '["1-a"]&latest=true', ["2-c", "2-b", "2-d"]),
    ("latest of several", '["1-a","2-b","1-z"]&latest=true', ["2-c", "2-b", "2-d", {"missing": "1-z"}]),
]


@pytest.mark.parametrize(("query", "expected"), [c[1:] for c in OPEN], ids=[c[0] for c in OPEN])
async def test_open_revisions(couch: Couch, query: str, expected: list[Any]) -> None:
    await conflicting(couch)
    found = await couch.get(f"/d?open_revs={query}")
    assert [row["ok"]["_rev"] if "ok" in row else row for row in found] == expected
    mixed = await couch.ask("GET", f"/d?open_revs={query}", headers=MIXED)
    assert mixed.status == 200 and mixed.headers["Content-Type"].startswith("multipart/mixed; boundary=")
    told = []
    for headers, body in parts_of(mixed) if expected else ():
        if headers["content-type"] == 'application/json; error="true"':
            told.append(json.loads(body))
        elif headers["content-type"] == "application/json":
            told.append(json.loads(body)["_rev"])
        else:
            document, (_, data) = parts_of((headers, body))
            assert data == FOO
            told.append(json.loads(document[1])["_rev"])
    assert told == expected


async def test_open_revisions_with_more(couch: Couch) -> None:
    await conflicting(couch)
    found = await couch.get('/d?open_revs=["2-b","2-d"]&revs=true')
    assert [row["ok"]["_revisions"] for row in found] == [
        {"start": 2, "ids": ["b", "a"]}, {"start": 2, "ids": ["d", "a"]}
    ]  # fmt: skip
    assert found[0]["ok"]["_attachments"]["f"]["stub"] is True
    assert found[1]["ok"]["_deleted"] is True
    for query in ("attachments=true", 'atts_since=["1-a"]'):
        found = await couch.get(f'/d?open_revs=["2-b"]&{query}')
        assert found[0]["ok"]["_attachments"]["f"]["data"] == base64.b64encode(FOO).decode()
    found = await couch.get('/d?open_revs=["2-b"]&atts_since=["2-b"]')
    assert found[0]["ok"]["_attachments"]["f"]["stub"] is True


async def test_open_revisions_of_nothing(couch: Couch) -> None:
    answer = await couch.ask("GET", "/new?open_revs=all", headers=JSON)
    assert (answer.status, answer.json) == (404, {"error": "not_found", "reason": "missing"})
    assert await couch.get('/new?open_revs=["1-a"]') == [{"missing": "1-a"}]


async def test_without_accept_header_multipart_is_sent(couch: Couch) -> None:
    await conflicting(couch)
    for query, kind in (
        ("open_revs=all", "multipart/mixed"),
        ("rev=2-b&attachments=true", "multipart/related"),
    ):
        for headers in ({"Accept": "*/*"}, {}):
            answer = await couch.ask("GET", f"/d?{query}", headers=headers, skip_auto_headers=["Accept"])
            assert answer.headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize(
    ("header", "media_type", "taken"),
    [
        ("", "multipart/mixed", True),
        ("*/*", "multipart/mixed", True),
        ("application/json", "multipart/mixed", False),
        ("text/plain, multipart/*", "multipart/mixed", True),
        ("multipart/mixed;q=0, */*", "multipart/mixed", False),
        ("text/plain; q=0.5, */*; q=0.1", "application/json", True),
        ("text/plain, */*; q=0.0", "application/json", False),
        ("Multipart/Mixed ; q=nonsense", "multipart/mixed", True),
    ],
)
def test_accepting(header: str, media_type: str, taken: bool) -> None:
    assert accepts(header, media_type) is taken
