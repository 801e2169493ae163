"""`_bulk_get`: rows and errors as CouchDB gives them, as JSON and as multipart."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.support.couch import JSON, Couch, parts_of

DATA = b"thedata"
STUB, INLINE = "stub", "data"


async def fill(couch: Couch) -> None:
    att = {"att": {"revpos": 1, "data": base64.b64encode(DATA).decode()}}
    for path in (("1-reva",), ("2-revb", "1-reva"), ("2-revc", "1-reva")):
        await couch.graft("doc", *path, _attachments=att)
    await couch.graft("plain", "1-p", v=1)
    await couch.graft("gone", "2-g", "1-g", _deleted=True)


async def ask(couch: Couch, docs: Any, query: str = "") -> list[Any]:
    answer = await couch.ask("POST", f"/_bulk_get{query}", json={"docs": docs}, headers=JSON)
    assert answer.status == 200, answer.body
    assert list(answer.json) == ["results"]
    results: list[Any] = answer.json["results"]
    return results


def error(ident: Any, rev: Any, name: str, reason: str) -> dict[str, Any]:
    return {"error": {"id": ident, "rev": rev, "error": name, "reason": reason}}


FOUND: list[tuple[str, Any, str, list[str]]] = [
    ("all leaves", {"id": "doc"}, "", ["2-revc", "2-revb"]),
    ("one revision", {"id": "doc", "rev": "2-revb"}, "", ["2-revb"]),
    ("latest of a leaf", {"id": "doc", "rev": "2-revb"}, "?latest=true", ["2-revb"]),
    ("latest of an ancestor", {"id": "doc", "rev": "1-reva"}, "?latest=true", ["2-revc", "2-revb"]),
    ("an ancestor", {"id": "doc", "rev": "1-reva"}, "", ["1-reva"]),
    ("a document without conflicts", {"id": "plain"}, "", ["1-p"]),
    ("a deleted one", {"id": "gone"}, "", ["2-g"]),
]


@pytest.mark.parametrize(("asked", "query", "revisions"), [c[1:] for c in FOUND], ids=[c[0] for c in FOUND])
async def test_found(couch: Couch, asked: Any, query: str, revisions: list[str]) -> None:
    await fill(couch)
    (row,) = await ask(couch, [asked], query)
    assert row["id"] == asked["id"]
    assert [one["ok"]["_rev"] for one in row["docs"]] == revisions
    for one in row["docs"]:
        assert one["ok"]["_id"] == asked["id"]
        if asked["id"] == "doc":
            assert one["ok"]["_attachments"]["att"]["stub"] is True
        assert one["ok"].get("_deleted", False) is (asked["id"] == "gone")


ERRORS: list[tuple[str, Any, Any, dict[str, Any]]] = [
    ("no object", "foo", None, error(None, None, "bad_request", "document must be a JSON object")),
    ("an empty object", {}, None, error(None, None, "bad_request", "document must be a JSON object")),
    ("no id", {"rev": "1-foo"}, None, error(None, None, "bad_request", "document id missed")),
    ("an empty id", {"id": "", "rev": "1-foo"}, "",
     error("", None, "illegal_docid", "Document id must not be empty")),
    ("an id that is no text", {"id": 5}, 5, error(5, None, "illegal_docid", "Document id must be a string")),
    ("a reserved id", {"id": "_x"}, "_x",
     error("_x", None, "illegal_docid", "Only reserved document ids may start with underscore.")),
    ("a revision that is none", {"id": "doc", "rev": 42}, "doc",
     error("doc", 42, "bad_request", "Invalid rev format")),
    ("null as a revision", {"id": "doc", "rev": None}, "doc",
     error("doc", None, "bad_request", "Invalid rev format")),
    ("an unknown document", {"id": "none"}, "none", error("none", "undefined", "not_found", "missing")),
    ("an unknown revision", {"id": "doc", "rev": "1-x"}, "doc", error("doc", "1-x", "not_found", "missing")),
    ("atts_since that is no list", {"id": "doc", "atts_since": "1-a"}, "doc",
     error("doc", "1-a", "bad_request", "att_since value must be array of revs.")),
    ("atts_since of no revisions", {"id": "doc", "rev": "2-revb", "atts_since": ["1-a", "x"]}, "doc",
     error("doc", "x", "bad_request", "Invalid rev format")),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "ident", "told"), [c[1:] for c in ERRORS], ids=[c[0] for c in ERRORS])
async def test_errors_are_rows(couch: Couch, asked: Any, ident: Any, told: dict[str, Any]) -> None:
    await fill(couch)
    for query in ("", "?latest=true"):
        rows = await ask(couch, [{"id": "plain"}, asked, {"id": "plain"}], query)
        assert [row["id"] for row in rows] == ["plain", ident, "plain"]
        assert rows[1]["docs"] == [told]
        assert rows[2]["docs"][0]["ok"]["v"] == 1
    mixed = await couch.ask(
        "POST", "/_bulk_get", json={"docs": [asked]}, headers={"Accept": "multipart/mixed"}
    )
    ((headers, body),) = parts_of(mixed)
    assert headers == {"content-type": 'application/json; error="true"'}
    assert json.loads(body) == told["error"]


REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("no docs", "", {"json": {}}, 400, "bad_request"),
    ("docs that are no list", "", {"json": {"docs": 5}}, 400, "bad_request"),
    ("no object", "", {"json": []}, 400, "bad_request"),
    ("no JSON", "", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "bad_request"),
    ("a form", "", {"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "bad_content_type"),
    *(
        (name, f"?{name}=x", {"json": {"docs": []}}, 400, "bad_request")
        for name in ("rev", "open_revs", "atts_since", "w", "new_edits")
    ),
    ("an answer nobody has", "", {"json": {"docs": []}, "headers": {"Accept": "text/html"}}, 406,
     "not_acceptable"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "options", "status", "name"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
async def test_refused(couch: Couch, query: str, options: dict[str, Any], status: int, name: str) -> None:
    answer = await couch.ask("POST", f"/_bulk_get{query}", **options)
    assert (answer.status, answer.json["error"]) == (status, name)


async def test_another_method(couch: Couch) -> None:
    answer = await couch.ask("PUT", "/_bulk_get", json={})
    assert (answer.status, answer.json["error"]) == (405, "method_not_allowed")


async def test_revs(couch: Couch) -> None:
    await fill(couch)
    (row,) = await ask(couch, [{"id": "doc", "rev": "2-revb"}], "?revs=true")
    assert row["docs"][0]["ok"]["_revisions"] == {"start": 2, "ids": ["revb", "reva"]}
    (row,) = await ask(couch, [{"id": "plain"}], "?revs=true")
    assert row["docs"] == [{"ok": {
        "_id": "plain", "_rev": "1-p", "v": 1, "_revisions": {"start": 1, "ids": ["p"]}}}]  # fmt: skip


SINCE: list[tuple[list[str] | None, str, str]] = [
    (None, "", STUB),
    (None, "?attachments=true", INLINE),
    ([], "", STUB),
    ([], "?attachments=true", INLINE),
    (["1-reva"], "", STUB),
    (["2-revb"], "", STUB),
    (["2-revb"], "?attachments=true", STUB),
    (["0-foo"], "", INLINE),
    (["0-foo"], "?attachments=true", INLINE),
    (["0-foo", "1-reva"], "", STUB),
]


@pytest.mark.parametrize(("since", "query", "form"), SINCE)
async def test_atts_since(couch: Couch, since: list[str] | None, query: str, form: str) -> None:
    await fill(couch)
    asked = {"id": "doc", "rev": "2-revb", **({} if since is None else {"atts_since": since})}
    (row,) = await ask(couch, [asked], query)
    shown = row["docs"][0]["ok"]["_attachments"]["att"]
    assert (STUB in shown, shown.get("data")) == (form == STUB, None if form == STUB else "dGhlZGF0YQ==")


async def test_order_and_repetition(couch: Couch) -> None:
    await fill(couch)
    ids = ["plain", "none", "doc", "plain"]
    assert [row["id"] for row in await ask(couch, [{"id": i} for i in ids])] == ids
    assert await ask(couch, []) == []


@pytest.mark.parametrize("kind", ["multipart/mixed", "multipart/related"])
async def test_multipart(couch: Couch, kind: str) -> None:
    await fill(couch)
    asked = [{"id": "doc"}, {"id": "plain"}, {"id": "doc", "rev": "2-revb", "atts_since": ["2-revb"]}]
    answer = await couch.ask("POST", "/_bulk_get?revs=true", json={"docs": asked}, headers={"Accept": kind})
    assert answer.status == 200 and answer.headers["Content-Type"].startswith(f"{kind}; boundary=")
    first, second, plain, stub = parts_of(answer)
    for part, rev in ((first, "2-revc"), (second, "2-revb")):
        assert (part[0]["x-doc-id"], part[0]["x-rev-id"]) == ("doc", rev)
        document, (headers, data) = parts_of(part)
        shown = json.loads(document[1])
        assert (shown["_rev"], shown["_attachments"]["att"]["follows"]) == (rev, True)
        assert shown["_revisions"]["ids"][1] == "reva"
        assert (headers["content-disposition"], data) == ('attachment; filename="att"', DATA)
    assert plain[0] == {"content-type": "application/json"}
    assert json.loads(plain[1])["v"] == 1
    assert json.loads(stub[1])["_attachments"]["att"]["stub"] is True
    nothing = await couch.ask("POST", "/_bulk_get", json={"docs": []}, headers={"Accept": kind})
    assert (nothing.status, nothing.body) == (200, b"")


async def test_many_documents(couch: Couch) -> None:
    docs = [{"_id": str(n), "v": n} for n in range(2000)]
    made = await couch.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert made.status == 201
    rows = await ask(couch, [{"id": str(n)} for n in range(2000)])
    assert [row["docs"][0]["ok"]["v"] for row in rows] == list(range(2000))
