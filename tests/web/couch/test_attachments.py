"""Attachments by themselves and within documents: stubs, inline, digests, encodings, ranges."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.couch import JSON, Couch, parts_of

TEXT = b"This is a base64 encoded text"
PLAIN = {"Content-Type": "text/plain"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def md5(data: bytes) -> str:
    return b64(hashlib.md5(data, usedforsecurity=False).digest())


def inline(data: bytes, **more: Any) -> dict[str, Any]:
    return {"content_type": "application/x", "data": b64(data), **more}


async def with_files(couch: Couch, **files: bytes) -> str:
    """A document `d` with these attachments; its revision."""
    return await couch.put("/d", {"v": 1, "_attachments": {n: inline(f) for n, f in files.items()}})


# ── by themselves ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [0, 1, 29, 64 << 10, (64 << 10) + 1, 600_000])
async def test_what_was_put_comes_back(couch: Couch, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    made = await couch.ask("PUT", "/d/a.bin", data=data, headers={"Content-Type": "application/x; a=b"})
    assert (made.status, made.json["ok"], made.json["id"]) == (201, True, "d")
    assert made.headers["Location"].endswith("/db/d/a.bin")
    found = await couch.ask("GET", "/d/a.bin")
    assert (found.status, found.body) == (200, data)
    assert found.headers["Content-Type"] == "application/x; a=b"
    assert found.headers["ETag"] == f'"{md5(data)}"'
    assert found.headers["Content-MD5"] == md5(data)
    assert found.headers["Accept-Ranges"] == "bytes"
    assert found.headers["Content-Length"] == str(size)
    assert found.headers["Content-Security-Policy"] == "sandbox; frame-ancestors 'none'"
    head = await couch.ask("HEAD", "/d/a.bin")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(size))
    same = await couch.ask("GET", "/d/a.bin", headers={"If-None-Match": found.headers["ETag"]})
    assert (same.status, same.body) == (304, b"")
    assert await couch.get("/d") == {
        "_id": "d", "_rev": made.json["rev"], "_attachments": {"a.bin": {
            "content_type": "application/x; a=b", "revpos": 1, "digest": f"md5-{md5(data)}", "length": size,
            "stub": True}},
    }  # fmt: skip


async def test_attachments_come_and_go(couch: Couch) -> None:
    first = await couch.put("/d", {"v": 1})
    made = await couch.ask("PUT", f"/d/a.txt?rev={first}", data=b"one", headers=PLAIN)
    second = made.json["rev"]
    assert made.status == 201
    made = await couch.ask("PUT", "/d/b.txt", data=b"two", headers={**PLAIN, "If-Match": f'"{second}"'})
    third = made.json["rev"]
    found = await couch.get("/d")
    assert found["v"] == 1
    assert {n: a["revpos"] for n, a in found["_attachments"].items()} == {"a.txt": 2, "b.txt": 3}
    done = await couch.ask("DELETE", f"/d/a.txt?rev={third}", data=b"a body that nobody needs")
    assert (done.status, done.json["ok"], "Location" in done.headers) == (200, True, False)
    assert (await couch.ask("GET", "/d/a.txt")).status == 404
    assert (await couch.ask("GET", f"/d/a.txt?rev={third}")).body == b"one"
    assert list((await couch.get("/d"))["_attachments"]) == ["b.txt"]
    for query in (f"?rev={first}", f"?rev={second}"):
        stale = await couch.ask("PUT", f"/d/b.txt{query}", data=b"x", headers=PLAIN)
        assert (stale.status, stale.json["error"]) == (409, "conflict")
    assert (await couch.ask("GET", "/d/b.txt")).body == b"two"


async def test_a_deleted_document_comes_back_by_an_attachment(couch: Couch) -> None:
    rev = await couch.put("/d", {"v": 1})
    await couch.ask("DELETE", f"/d?rev={rev}")
    made = await couch.ask("PUT", "/d/a.txt", data=b"x", headers=PLAIN)
    assert (made.status, made.json["rev"][:2]) == (201, "3-")
    assert (await couch.ask("GET", "/d/a.txt")).body == b"x"


NAMES = ["a/b.txt", "a//b", "Ж€😀.txt", "a b.txt", "100%", "a%2Fb", "x?y#z", '"', "x" * 1000]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ident", ["d", "_design/d"])
async def test_names_of_all_kinds(couch: Couch, name: str, ident: str) -> None:
    for path in {quote(name), quote(name, safe="")}:
        made = await couch.ask("PUT", f"/{ident}/{path}", data=TEXT, headers=PLAIN)
        assert made.status == 201, made.body
        assert list((await couch.get(f"/{ident}"))["_attachments"]) == [name]
        assert (await couch.ask("GET", f"/{ident}/{path}")).body == TEXT
        done = await couch.ask("DELETE", f"/{ident}/{path}?rev={made.json['rev']}")
        assert done.status == 200
        assert (await couch.ask("DELETE", f"/{ident}?rev={done.json['rev']}")).status == 200


RANGES: list[tuple[str, int, bytes, str | None]] = [
    ("bytes=0-28", 206, TEXT, "bytes 0-28/29"),
    ("bytes=0-", 200, TEXT, None),
    ("bytes=0-,0-,0-", 200, TEXT, None),
    ("bytes:0-", 200, TEXT, None),
    ("bytes=", 200, TEXT, None),
    ("bytes=x-y", 200, TEXT, None),
    ("bytes=-", 200, TEXT, None),
    ("items=0-3", 200, TEXT, None),
    ("bytes=2-", 206, TEXT[2:], "bytes 2-28/29"),
    ("bytes=0-3", 206, b"This", "bytes 0-3/29"),
    ("bytes=10-15", 206, b"base64", "bytes 10-15/29"),
    ("bytes=-3", 206, b"ext", "bytes 26-28/29"),
    ("bytes=-300", 206, TEXT, "bytes 0-28/29"),
    ("bytes=20-300", 206, TEXT[20:], "bytes 20-28/29"),
    ("bytes=5-3", 416, b"", "bytes */29"),
    ("bytes=29-", 416, b"", "bytes */29"),
    ("bytes=300-310", 416, b"", "bytes */29"),
    ("bytes=-0", 416, b"", "bytes */29"),
    ("bytes=" + ",".join(["0-1"] * 10), 200, TEXT, None),
]


@pytest.mark.parametrize(("header", "status", "body", "content_range"), RANGES)
async def test_ranges(couch: Couch, header: str, status: int, body: bytes, content_range: str | None) -> None:
    await with_files(couch, a=TEXT)
    found = await couch.ask("GET", "/d/a", headers={"Range": header})
    assert (found.status, found.headers.get("Content-Range")) == (status, content_range)
    if status == 416:
        assert found.json["error"] == "requested_range_not_satisfiable"
    else:
        assert found.body == body
        assert found.headers["Content-Length"] == str(len(body))


async def test_several_ranges_come_as_multipart(couch: Couch) -> None:
    await with_files(couch, a=TEXT)
    found = await couch.ask("GET", "/d/a", headers={"Range": "bytes=0-3, -4"})
    assert found.status == 206
    parts = parts_of(found)
    assert [data for _, data in parts] == [b"This", b"text"]
    assert parts[0][0] == {"content-type": "application/x", "content-range": "bytes 0-3/29"}


async def test_a_range_of_what_has_changed_is_the_whole(couch: Couch) -> None:
    await with_files(couch, a=TEXT)
    for tag, status in ((f'"{md5(TEXT)}"', 206), ('"other"', 200)):
        found = await couch.ask("GET", "/d/a", headers={"Range": "bytes=0-3", "If-Range": tag})
        assert found.status == status


async def test_a_large_file_is_served_in_ranges(couch: Couch) -> None:
    data = hashlib.shake_128(b"seed").digest(900_000)
    await couch.ask("PUT", "/d/a", data=data)
    for header, part in (("bytes=100000-899999", data[100_000:]), ("bytes=-10", data[-10:])):
        found = await couch.ask("GET", "/d/a", headers={"Range": header})
        assert (found.status, found.body == part) == (206, True)


async def test_compressed_uploads_are_kept_uncompressed(couch: Couch) -> None:
    made = await couch.ask(
        "PUT", "/d/a", data=gzip.compress(TEXT), headers={**PLAIN, "Content-Encoding": "gzip"}
    )
    assert made.status == 201
    found = await couch.ask("GET", "/d/a", headers={"Accept-Encoding": "gzip"})
    assert (found.body, found.headers.get("Content-Encoding")) == (TEXT, None)
    shown = await couch.get("/d?att_encoding_info=true")
    assert "encoding" not in shown["_attachments"]["a"]


async def test_a_compressed_upload_is_bounded_by_what_it_becomes(couch: Couch) -> None:
    before = couch.stored()
    bomb = gzip.compress(b"\0" * (64 << 20))
    made = await couch.ask("PUT", "/d/a", data=bomb, headers={"Content-Encoding": "gzip"})
    assert (made.status, made.json["error"]) == (413, "too_large")
    assert couch.stored() == before


ALONE: list[tuple[str, str, str, dict[str, Any], int, str, str]] = [
    ("exists, no rev", "PUT", "/d/b", {}, 409, "conflict", "Document update conflict."),
    ("unknown rev", "PUT", "/d/b?rev=1-x", {}, 409, "not_found", "missing_rev"),
    ("rev of nothing", "PUT", "/new/b?rev=1-x", {}, 409, "not_found", "missing_rev"),
    ("no rev", "PUT", "/d/b?rev=x", {}, 400, "bad_request", "Invalid rev format"),
    ("rev and etag", "PUT", "/d/b?rev={rev}", {"If-Match": "1-x"}, 400, "bad_request",
     "Document rev and etag have different values"),
    ("a reserved name", "PUT", "/d/_b?rev={rev}", {}, 400, "bad_request",
     "Attachment name '_b' starts with prohibited character '_'"),
    ("a reserved id", "PUT", "/_new/b", {}, 400, "illegal_docid",
     "Only reserved document ids may start with underscore."),
    ("a long name", "PUT", "/d/" + "x" * 1001 + "?rev={rev}", {}, 400, "bad_request",
     "Attachment name must have 1 to 1,000 bytes and no NUL"),
    ("another MD5", "PUT", "/d/b?rev={rev}", {"Content-MD5": md5(b"other")}, 400, "content_md5_mismatch",
     "Possible message corruption."),
    ("an MD5 that is none", "PUT", "/d/b?rev={rev}", {"Content-MD5": "abc"}, 400, "bad_request",
     "Invalid MD5 digest"),
    ("another encoding", "PUT", "/d/b?rev={rev}", {"Content-Encoding": "compress"}, 415, "bad_content_type",
     "Only gzip and identity content-encodings are supported"),
    ("read nothing", "GET", "/new/a", {}, 404, "not_found", "missing"),
    ("read no attachment", "GET", "/d/b", {}, 404, "not_found", "Document is missing attachment"),
    ("read an unknown rev", "GET", "/d/a?rev=1-x", {}, 404, "not_found", "missing"),
    ("remove without rev", "DELETE", "/d/a", {}, 409, "conflict", "Document update conflict."),
    ("remove of unknown rev", "DELETE", "/d/a?rev=4-garbage", {}, 409, "not_found", "missing_rev"),
    ("remove what is not there", "DELETE", "/d/b?rev={rev}", {}, 404, "not_found",
     "Document is missing attachment"),
    ("remove it without rev", "DELETE", "/d/b", {}, 404, "not_found", "Document is missing attachment"),
    ("remove of nothing", "DELETE", "/new/b", {}, 404, "not_found", "missing"),
    ("of a local document", "PUT", "/_local/x/a", {}, 400, "bad_request",
     "_local documents do not accept attachments."),
]  # fmt: skip


@pytest.mark.parametrize("size", [29, 100_000])
@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "error", "reason"),
    [c[1:] for c in ALONE],
    ids=[c[0] for c in ALONE],
)
async def test_refusals_of_single_attachments_store_nothing(
    couch: Couch,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    error: str,
    reason: str,
    size: int,
) -> None:
    rev = await with_files(couch, a=TEXT)
    before = couch.stored()
    answer = await couch.ask(method, path.format(rev=rev), data=b"x" * size, headers=headers)
    assert (answer.status, answer.json) == (status, {"error": error, "reason": reason})
    assert couch.stored() == before


async def test_a_right_md5_is_taken(couch: Couch) -> None:
    made = await couch.ask("PUT", "/d/a", data=TEXT, headers={"Content-MD5": md5(TEXT)})
    assert made.status == 201


async def test_too_large_an_attachment(couch: Couch) -> None:
    before = couch.stored()
    size = couch.server.services.max_upload + 1
    made = await couch.ask("PUT", "/d/a", data=io.BytesIO(b"x" * size))
    assert (made.status, made.json["error"]) == (413, "too_large")

    async def pieces() -> Any:
        for _ in range(size // 100_000 + 1):
            yield b"x" * 100_000

    made = await couch.ask("PUT", "/d/a", data=pieces())  # chunked: no length to see before
    assert (made.status, made.json["error"]) == (413, "too_large")
    assert couch.stored() == before


# ── within documents ───────────────────────────────────────────────────────────────────────────────────────


async def test_inline_attachments(couch: Couch) -> None:
    rev = await couch.put(
        "/d",
        {
            "_attachments": {
                "a": {"data": b64(TEXT)},
                "b": inline(b"", digest=f"md5-{md5(b'')}", length=0, revpos=7),
                "c": {"data": " VGhp\ncw== ", "content_type": "text/plain"},
            }
        },
    )
    found = (await couch.get("/d"))["_attachments"]
    assert {n: (a["content_type"], a["length"], a["revpos"]) for n, a in found.items()} == {
        "a": ("application/octet-stream", 29, 1), "b": ("application/x", 0, 1), "c": ("text/plain", 4, 1)
    }  # fmt: skip
    assert (await couch.ask("GET", f"/d/c?rev={rev}")).body == b"This"
    data = (await couch.get("/d?attachments=true"))["_attachments"]
    assert {n: a["data"] for n, a in data.items()} == {"a": b64(TEXT), "b": "", "c": b64(b"This")}
    assert "stub" not in data["a"] and "length" not in data["a"]


async def test_large_inline_attachments_come_back(couch: Couch) -> None:
    files = {f"f{n}": hashlib.shake_128(bytes([n])).digest(170_000 + n) for n in range(4)}
    await with_files(couch, **files)
    found = (await couch.get("/d?attachments=true"))["_attachments"]
    assert {n: base64.b64decode(a["data"]) == files[n] for n, a in found.items()} == dict.fromkeys(
        files, True
    )


async def test_stubs_keep_what_is_listed(couch: Couch) -> None:
    first = await with_files(couch, a=b"one", b=b"two", c=b"three")
    second = await couch.put(
        "/d",
        {"_rev": first, "_attachments": {
            "a": {"stub": True}, "b": {"stub": True, "revpos": 1, "content_type": "ignored/x"},
            "d": inline(b"four")}},
    )  # fmt: skip
    found = (await couch.get("/d"))["_attachments"]
    assert {n: (a["revpos"], a["content_type"]) for n, a in found.items()} == {
        "a": (1, "application/x"), "b": (1, "application/x"), "d": (2, "application/x")
    }  # fmt: skip
    assert (await couch.ask("GET", "/d/c")).status == 404
    assert (await couch.ask("GET", f"/d/c?rev={first}")).body == b"three"
    await couch.put("/d", {"_rev": second})
    assert "_attachments" not in await couch.get("/d")


async def test_a_document_that_was_read_can_be_written_back(couch: Couch) -> None:
    await with_files(couch, a=b"one")
    for query in ("", "?attachments=true"):
        document = await couch.get(f"/d{query}")
        await couch.put("/d", {**document, "v": 2})
        assert (await couch.ask("GET", "/d/a")).body == b"one"


async def test_compressed_inline_attachments(couch: Couch) -> None:
    packed = gzip.compress(TEXT)
    gzipped = {"encoding": "gzip", "content_type": "text/plain", "length": len(TEXT)}
    await couch.put(
        "/d",
        {"_attachments": {
            "packed": {**gzipped, "data": b64(packed), "digest": f"md5-{md5(packed)}",
                       "encoded_length": len(packed)},
            "as CouchDB shows it": {**gzipped, "data": b64(TEXT), "digest": f"md5-{md5(packed)}",
                                    "encoded_length": len(packed)},
        }},
    )  # fmt: skip
    for name in ("packed", "as%20CouchDB%20shows%20it"):
        assert (await couch.ask("GET", f"/d/{name}")).body == TEXT


async def test_a_replicated_digest_may_be_of_a_compressed_form(couch: Couch) -> None:
    """CouchDB tells the MD5 of the compressed bytes beside inline data of text; PouchDB passes it on."""
    other = {"data": b64(TEXT), "digest": f"md5-{md5(b'compressed')}", "revpos": 1}
    await couch.graft("t", "1-a", _attachments={"t": {**other, "content_type": "text/plain"}})
    assert (await couch.ask("GET", "/t/t")).body == TEXT
    before = couch.stored()
    document = {"_rev": "1-a", "_attachments": {"t": {**other, "content_type": "image/png"}}}
    done = await couch.ask("PUT", "/i?new_edits=false", json=document)
    assert (done.status, done.json["error"]) == (400, "content_md5_mismatch")
    assert couch.stored() == before


async def test_new_data_in_a_fetched_attachment(couch: Couch) -> None:
    """Clients put new data beside what the stub said of the old: CouchDB looks at the data alone."""
    await with_files(couch, a=b"one", b=b"two")
    document = await couch.get("/d")
    del document["_attachments"]["a"]["stub"]
    document["_attachments"]["a"]["data"] = b64(b"one, changed")
    await couch.put("/d", document)
    assert (await couch.ask("GET", "/d/a")).body == b"one, changed"
    found = (await couch.get("/d"))["_attachments"]
    assert {name: one["revpos"] for name, one in found.items()} == {"a": 2, "b": 1}


async def test_stubs_of_replicated_revisions(couch: Couch) -> None:
    await couch.graft("r", "2-b", "1-a", _attachments={"a": inline(b"one", revpos=1), "b": inline(b"two")})
    await couch.graft("r", "4-d", "3-c", "2-b", "1-a", _attachments={"a": {"stub": True, "revpos": 1}})
    found = (await couch.get("/r"))["_attachments"]
    assert {n: a["revpos"] for n, a in found.items()} == {"a": 1}
    assert (await couch.ask("GET", "/r/a")).body == b"one"
    # Known already: what it keeps need not be there any more.
    await couch.graft("r", "2-b", "1-a", _attachments={"a": {"stub": True}, "b": {"stub": True}})


STUB = {"stub": True}
WITHIN: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("no base64", {"a": {"data": "notBase64Encoded="}}, 400, "bad_request", "Invalid attachment data for a"),
    ("half a base64", {"a": {"data": "aGVsbG8"}}, 400, "bad_request", "Invalid attachment data for a"),
    ("no text", {"a": {"data": 5}}, 400, "bad_request", "Invalid attachment data for a"),
    ("nothing", {"a": {}}, 400, "bad_request", "Invalid attachment data for a"),
    ("a text", {"a": "x"}, 400, "bad_request", "Attachment `a` must be a JSON object"),
    ("a reserved name", {"_a": {"data": ""}}, 400, "bad_request",
     "Attachment name '_a' starts with prohibited character '_'"),
    ("no name", {"": {"data": ""}}, 400, "bad_request",
     "Attachment name must have 1 to 1,000 bytes and no NUL"),
    ("a type that is none", {"a": {"data": "", "content_type": 5}}, 400, "bad_request",
     "Invalid content_type of attachment `a`"),
    ("a type of two lines", {"a": {"data": "", "content_type": "a\r\nb: c"}}, 400, "bad_request",
     "Invalid content_type of attachment `a`"),
    ("a negative length", {"a": {"follows": True, "length": -1}}, 400, "bad_request",
     "Invalid length of attachment `a`"),
    ("another encoding", {"a": {"data": "", "encoding": "br"}}, 415, "bad_content_type",
     "Only gzip and identity content-encodings are supported"),
    ("another digest", {"a": {"data": b64(TEXT), "digest": f"md5-{md5(b'x')}"}}, 400, "content_md5_mismatch",
     "Possible message corruption."),
    ("a digest that is none", {"a": {"data": b64(TEXT), "digest": "md5-xyz"}}, 400, "bad_request",
     "Invalid MD5 digest"),
    ("another digest of packed bytes", {"a": {"data": b64(gzip.compress(TEXT)), "encoding": "gzip",
     "digest": f"md5-{md5(TEXT)}"}}, 400, "content_md5_mismatch", "Possible message corruption."),
    ("broken gzip", {"a": {"data": b64(gzip.compress(TEXT)[:-3]), "encoding": "gzip"}}, 400, "bad_request",
     "The attachment ends before its gzip data does. Send it again, whole."),
    ("what did not follow", {"a": {"follows": True}}, 400, "bad_request",
     "Attachment `a` was to follow and did not"),
    ("a stub of nothing", {"z": STUB}, 412, "missing_stub", "Invalid attachment stub in d for z"),
    ("a stub beside a good one", {"a": STUB, "z": STUB}, 412, "missing_stub",
     "Invalid attachment stub in d for z"),
    ("a stub of another time", {"a": {"stub": True, "revpos": 10}}, 412, "missing_stub",
     "Invalid attachment stub in d for a"),
    ("good ones before a bad one", {"b": inline(b"x" * 100_000), "c": {"data": "?"}}, 400, "bad_request",
     "Invalid attachment data for c"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("attachments", "status", "error", "reason"), [c[1:] for c in WITHIN], ids=[c[0] for c in WITHIN]
)
async def test_refusals_within_documents_write_nothing(
    couch: Couch, attachments: dict[str, Any], status: int, error: str, reason: str
) -> None:
    rev = await with_files(couch, a=TEXT)
    before = couch.database.last_seq
    answer = await couch.ask("PUT", "/d", json={"_rev": rev, "_attachments": attachments})
    assert (answer.status, answer.json) == (status, {"error": error, "reason": reason})
    assert couch.database.last_seq == before
    assert list((await couch.get("/d"))["_attachments"]) == ["a"]


async def test_stubs_of_documents_that_are_not_there(couch: Couch) -> None:
    rev = await with_files(couch, a=TEXT)
    stub = {"_attachments": {"a": STUB}}
    cases: list[tuple[str, dict[str, Any], int, str]] = [
        ("/new", stub, 412, "missing_stub"),
        ("/d", stub, 409, "conflict"),
        ("/d", {**stub, "_rev": "1-x"}, 409, "conflict"),
        ("/r?new_edits=false", {**stub, "_rev": "2-b"}, 412, "missing_stub"),
        ("/d?new_edits=false", {**stub, "_rev": "3-b"}, 412, "missing_stub"),
    ]
    before = couch.stored()
    for path, document, status, error in cases:
        done = await couch.ask("PUT", path, json=document)
        assert (done.status, done.json["error"]) == (status, error), path
    assert couch.stored() == before
    await couch.ask("DELETE", f"/d?rev={rev}")
    assert (await couch.ask("PUT", "/d", json=stub)).json["error"] == "missing_stub"


async def test_atts_since_gives_what_came_later(couch: Couch) -> None:
    first = await with_files(couch, a=b"one", b=b"two")
    second = await couch.put("/d", {"_rev": first, "_attachments": {"a": STUB, "b": inline(b"new")}})
    for since, expected in (
        (f'["{first}"]', {"a": None, "b": b64(b"new")}),
        (f'["1-unknown","{first}"]', {"a": None, "b": b64(b"new")}),
        (f'["{second}"]', {"a": None, "b": None}),
        ('["1-unknown"]', {"a": b64(b"one"), "b": b64(b"new")}),
        ("[]", {"a": b64(b"one"), "b": b64(b"new")}),
    ):
        found = (await couch.get(f"/d?atts_since={since}"))["_attachments"]
        assert {n: a.get("data") for n, a in found.items()} == expected, since
        assert [n for n, a in found.items() if a.get("stub")] == [n for n, d in expected.items() if d is None]


async def test_scopes_and_headers_of_json(couch: Couch) -> None:
    await with_files(couch, a=b"one")
    found = await couch.ask("GET", "/d?attachments=true", headers=JSON)
    assert found.headers["Content-Type"] == "application/json"
    assert found.headers["ETag"] == f'"{found.json["_rev"]}"'
