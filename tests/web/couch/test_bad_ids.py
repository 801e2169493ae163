"""Ids and documents that can be none, in every way of writing: refused as CouchDB does, nothing stored."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.couch import JSON, Couch

START = "Only reserved document ids may start with underscore."
EMPTY = "Document id must not be empty"
TEXT = "Document id must be a string"
LONG = "x" * 10_000

IDS: list[tuple[str, Any, str, str]] = [
    ("reserved", "_foo", "illegal_docid", START),
    ("an underscore", "_", "illegal_docid", START),
    ("nearly a design document", "_designx/y", "illegal_docid", START),
    ("no design document", "_design/", "illegal_docid", "Illegal document id `_design/`"),
    ("10 kB", LONG, "illegal_docid", "bytes long"),
    ("10 kB of design", f"_design/{LONG}", "illegal_docid", "bytes long"),
    ("NUL", "a\0b", "illegal_docid", "NUL"),
    ("empty", "", "illegal_docid", EMPTY),
    ("a number", 5, "illegal_docid", TEXT),
    ("null", None, "illegal_docid", TEXT),
    ("a list", ["a"], "illegal_docid", TEXT),
]


@pytest.mark.parametrize(("ident", "error", "says"), [i[1:] for i in IDS], ids=[i[0] for i in IDS])
async def test_bad_ids(couch: Couch, ident: Any, error: str, says: str) -> None:
    before = couch.stored()
    document = {"_id": ident, "v": 1}
    writes: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "", {"json": document}),
        ("POST", "/_bulk_docs", {"json": {"docs": [{**document, "_rev": "1-a"}], "new_edits": False}}),
        ("POST", "/_bulk_docs", {"json": {"docs": [document]}}),
    ]
    if isinstance(ident, str) and ident:
        path = "/" + quote(ident, safe="")
        writes += [
            ("PUT", path, {"json": {"v": 1}}),
            ("PUT", f"{path}?new_edits=false", {"json": {"_rev": "1-a"}}),
            ("PUT", f"{path}/a.txt", {"data": b"x"}),
        ]
    for method, path, options in writes:
        answer = await couch.ask(method, path, **options)
        told = answer.json[0] if isinstance(answer.json, list) else answer.json
        if ident == "_design/" and path.startswith("/_design"):
            assert answer.status in (400, 404, 405)  # there is nothing at such an address
            continue
        if len(path) > 8190:  # a request's first line has an end, and is refused before it is read
            assert (answer.status, told["error"]) == (400, "bad_request")
            assert "too long" in told["reason"]
            continue
        assert answer.status == 400 or isinstance(answer.json, list), (method, path, answer.body)
        if "%00" in path:  # refused before anyone asks what it names
            error = "bad_request"
        assert told["error"] == error and says in told["reason"], (method, path, told)
    assert couch.stored() == before


BODIES: list[tuple[str, bytes, str, str]] = [
    ("nothing", b"", "bad_request", "empty"),
    ("half a document", b'{"v":', "bad_request", "invalid UTF-8 JSON"),
    ("no UTF-8", b'{"v":"\xff"}', "bad_request", "invalid UTF-8 JSON"),
    ("a lone surrogate", b'{"v":"\\ud800"}', "bad_request", "invalid UTF-8 JSON"),
    ("a number too long", b'{"v":123456789012345678901234567890}', "bad_request", "64 bits"),
    ("a deep one", b'{"v":' + b"[" * 200 + b"]" * 200 + b"}", "bad_request", "100 deep"),
    ("a list", b"[]", "bad_request", "Document must be a JSON object"),
    ("a text", b'"x"', "bad_request", "Document must be a JSON object"),
    ("null", b"null", "bad_request", "Document must be a JSON object"),
    ("an unknown member", b'{"_foo":1}', "doc_validation", "Bad special document member: _foo"),
    ("deleted that is no flag", b'{"_deleted":1}', "doc_validation", "Bad special document member: _deleted"),
    ("attachments in a list", b'{"_attachments":[]}', "doc_validation",
     "Bad special document member: _attachments"),
    ("a start that is no number", b'{"_revisions":{"start":"1","ids":["a"]}}', "doc_validation",
     "_revisions.start isn't an integer."),
    ("ids that are no list", b'{"_revisions":{"start":1,"ids":"a"}}', "doc_validation",
     "_revisions.ids isn't a array."),
    ("ids that are no texts", b'{"_revisions":{"start":1,"ids":[1]}}', "doc_validation",
     "RevId isn't a string"),
    ("more ids than generations", b'{"_revisions":{"start":1,"ids":["b","a"]}}', "doc_validation",
     "revision"),
    ("a negative start", b'{"_revisions":{"start":-1,"ids":["a"]}}', "doc_validation", "revision"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "error", "says"), [b[1:] for b in BODIES], ids=[b[0] for b in BODIES])
async def test_bad_documents(couch: Couch, body: bytes, error: str, says: str) -> None:
    rev = await couch.put("/d", {"v": 0})
    before = couch.stored()
    headers = {"Content-Type": "application/json"}
    for method, path in (
        ("PUT", "/new"),
        ("PUT", f"/d?rev={rev}"),
        ("PUT", "/n?new_edits=false"),
        ("POST", ""),
    ):
        answer = await couch.ask(method, path, data=body, headers=headers)
        told = answer.json
        assert (answer.status, told["error"]) == (400, error), (path, told)
        assert says in told["reason"], told
    assert couch.stored() == before
    assert await couch.get("/d") == {"_id": "d", "_rev": rev, "v": 0}


async def test_members_that_are_passed_over(couch: Couch) -> None:
    document = {"_revs_info": 1, "_local_seq": 2, "_conflicts": 3, "_deleted_conflicts": 4, "v": 5}
    rev = await couch.put("/d", document)
    assert await couch.get("/d") == {"_id": "d", "_rev": rev, "v": 5}


async def test_a_document_that_is_too_large(couch: Couch) -> None:
    before = couch.stored()
    body = json.dumps({"v": "x" * couch.server.services.max_body}).encode()

    async def pieces() -> Any:
        yield body

    for data in (io.BytesIO(body), pieces()):  # with its length, and without
        answer = await couch.ask("PUT", "/d", data=data, headers={"Content-Type": "application/json"})
        assert (answer.status, answer.json["error"]) == (413, "too_large")
    assert couch.stored() == before


async def test_a_form_does_not_pass_for_a_document(couch: Couch) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"):
        answer = await couch.ask("POST", "", data=b'{"v":1}', headers={"Content-Type": kind})
        assert (answer.status, answer.json["error"]) == (415, "bad_content_type")


async def test_a_deep_tree_and_a_wide_one(couch: Couch) -> None:
    depth, width = 10_000, 1000
    assert (await couch.ask("PUT", "/_revs_limit", json=depth)).status == 200
    path = [f"{n}-{n:x}" for n in range(depth, 0, -1)]
    await couch.graft("deep", *path, v=1)
    found = await couch.get("/deep?revs=true&revs_info=true")
    assert found["_revisions"]["ids"] == [f"{n:x}" for n in range(depth, 0, -1)]
    assert [one["status"] for one in found["_revs_info"]] == ["available", *["missing"] * (depth - 1)]
    rev = await couch.put("/deep", {**await couch.get("/deep"), "v": 2})
    assert rev.startswith("10001-")
    (found,) = await couch.get('/deep?open_revs=["5000-1388"]&latest=true')
    assert found["ok"]["_rev"] == rev
    grafts = [
        {"_id": "wide", "_revisions": {"start": 2, "ids": [f"{n:04x}", "a"]}, "v": n} for n in range(width)
    ]
    done = await couch.ask("POST", "/_bulk_docs", json={"docs": grafts, "new_edits": False})
    assert (done.status, done.json) == (201, [])
    found = await couch.get("/wide?conflicts=true")
    assert (found["v"], len(found["_conflicts"])) == (width - 1, width - 1)
    assert len(await couch.get("/wide?open_revs=all&revs=true")) == width
    asked = [{"id": "wide", "rev": f"2-{n:04x}"} for n in range(width)]
    rows = (await couch.ask("POST", "/_bulk_get", json={"docs": asked}, headers=JSON)).json["results"]
    assert [row["docs"][0]["ok"]["v"] for row in rows] == list(range(width))
