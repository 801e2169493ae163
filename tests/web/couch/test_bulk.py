"""`_bulk_docs`: each document for itself, under new revisions or under those it has."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.support.couch import Couch

PATH = "/_bulk_docs"
JSON = {"Content-Type": "application/json"}
CONFLICT = {"error": "conflict", "reason": "Document update conflict."}


async def bulk(couch: Couch, *docs: Any, **more: Any) -> Any:
    """The rows of the answer."""
    answer = await couch.ask("POST", PATH, json={"docs": docs, **more})
    assert answer.status == 201, answer.body
    return answer.json


async def test_each_document_has_its_row(couch: Couch) -> None:
    rows = await bulk(
        couch, {"_id": "a", "n": 1}, {"n": 2}, {"_id": "_design/d"}, {"_id": "_local/l", "n": 3}
    )
    assert [sorted(row) for row in rows] == [["id", "ok", "rev"]] * 4
    assert [row["id"] for row in rows][::2] == ["a", "_design/d"]
    made = rows[1]["id"]
    assert len(made) == 32 and int(made, 16)
    assert rows[3] == {"ok": True, "id": "_local/l", "rev": "0-1"}
    for row in rows:
        assert (await couch.get(f"/{row['id']}"))["_rev"] == row["rev"]
    assert (await couch.get(""))["doc_count"] == 3  # local documents do not count


async def test_refused_ones_leave_the_others_alone(couch: Couch) -> None:
    first = (await bulk(couch, {"_id": "a"}, {"_id": "b"}))[0]["rev"]
    rows = await bulk(
        couch,
        {"_id": "a"},
        {"_id": "a", "_rev": first, "n": 2},
        {"_id": "b", "_rev": "1-0"},
        {"_id": "c", "_rev": "1-0"},
        {"_id": "d", "n": 4},
        {"_id": "b", "_deleted": True},
        {"_id": "_local/x", "_rev": "0-x"},
        {"_id": "e", "_attachments": {"t": {"stub": True}}},
    )
    errors = [row.get("error") for row in rows]
    assert errors == [
        "conflict",
        None,
        "conflict",
        "conflict",
        None,
        "conflict",
        "bad_request",
        "missing_stub",
    ]
    assert rows[0] == {"id": "a", **CONFLICT}
    assert (await couch.get("/a"))["n"] == 2 and (await couch.get("/d"))["n"] == 4
    assert (await couch.get(""))["doc_count"] == 3


async def test_documents_are_deleted(couch: Couch) -> None:
    rows = await bulk(couch, {"_id": "a"}, {"_id": "b", "n": 1})
    gone = await bulk(couch, *({"_id": r["id"], "_rev": r["rev"], "_deleted": True, "why": 1} for r in rows))
    assert all(row["ok"] and row["rev"].startswith("2-") for row in gone)
    assert (await couch.ask("GET", "/a")).json == {"error": "not_found", "reason": "deleted"}
    assert (await couch.get(f"/b?rev={gone[1]['rev']}"))["why"] == 1
    info = await couch.get("")
    assert (info["doc_count"], info["doc_del_count"]) == (0, 2)


async def test_revisions_made_elsewhere_are_stored_as_they_are(couch: Couch) -> None:
    """Only what was refused is told; what is known already is no error; both leaves stay."""
    history = {"_id": "a", "_rev": "3-c", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}, "n": 3}
    for _ in range(2):
        assert await bulk(couch, history, {"_id": "b", "_rev": "1-b"}, new_edits=False) == []
    assert await bulk(couch, {"_id": "a", "_rev": "3-d", "n": 4}, new_edits=False) == []
    found = await couch.get("/a?conflicts=true&revs=true&rev=3-c")
    assert found["_revisions"] == {"start": 3, "ids": ["c", "b", "a"]}
    assert (await couch.get("/a?conflicts=true"))["_conflicts"] == ["3-c"]
    stub = {"_id": "c", "_rev": "2-c", "_attachments": {"t": {"stub": True, "revpos": 1}}}
    refused = await bulk(couch, stub, {"_id": "d", "_rev": "1-d"}, new_edits=False)
    assert [(row["id"], row["rev"], row["error"]) for row in refused] == [("c", "2-c", "missing_stub")]
    assert (await couch.get("/d"))["_rev"] == "1-d"


async def test_attachments_come_along(couch: Couch) -> None:
    data = {"t.txt": {"content_type": "text/plain", "data": "aGVsbG8="}}
    rows = await bulk(couch, {"_id": "a", "_attachments": data})
    assert (await couch.ask("GET", "/a/t.txt")).body == b"hello"
    kept = {"t.txt": {"stub": True}}
    await bulk(couch, {"_id": "a", "_rev": rows[0]["rev"], "n": 2, "_attachments": kept})
    assert (await couch.ask("GET", "/a/t.txt")).body == b"hello"


WRONG = [
    ({}, "bad_request", "POST body must include `docs` parameter."),
    ({"docs": 1}, "bad_request", "`docs` parameter must be an array."),
    ({"docs": [], "new_edits": 1}, "bad_request", "`new_edits` parameter must be a boolean."),
    ({"docs": [{"_id": "fine"}, 1]}, "bad_request", "Document must be a JSON object"),
    ({"docs": [{"_id": "fine"}, {"_id": "_x"}]}, "illegal_docid", None),
    ({"docs": [{"_id": "fine"}, {"_id": "a", "_rev": "x"}]}, "bad_request", "Invalid rev format"),
    ({"docs": [{"_id": "fine"}, {"_id": "a", "_zing": 4}]}, "doc_validation",
     "Bad special document member: _zing"),
    ({"docs": [{"_id": "fine", "_rev": "1-f"}, {"_id": "a"}], "new_edits": False}, "bad_request",
     "When `new_edits: false`, the document needs `_rev` or `_revisions` specified"),
    ({"docs": [{"_id": "fine"}, {"_id": "a", "_attachments": {"t": {"data": "!"}}}]}, None, None),
    ({"docs": [{"_id": "_local/fine"}, {"_id": "a", "_attachments": {"t": {"data": "!"}}}]}, None, None),
    ([], "bad_request", "Request body must be a JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "error", "reason"), WRONG, ids=range(len(WRONG)))
async def test_a_request_that_cannot_be_read_stores_nothing(
    couch: Couch, body: Any, error: str | None, reason: str | None
) -> None:
    before = couch.stored()
    answer = await couch.ask("POST", PATH, json=body)
    assert answer.status == 400
    assert answer.json["error"] == (error or answer.json["error"])
    assert answer.json["reason"] == (reason or answer.json["reason"])
    assert couch.stored() == before
    assert (await couch.get("/_local_docs"))["rows"] == []


async def test_other_refusals(couch: Couch) -> None:
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"data": b'{"docs":[', "headers": JSON}, 400, "bad_request"),
        ({"data": b'{"docs":[]}', "headers": {"Content-Type": "text/plain"}}, 415, "bad_content_type"),
        ({"data": io.BytesIO(b'{"docs":[]}' + b" " * (1 << 20)), "headers": JSON}, 413, "too_large"),
    ]
    for options, status, error in cases:
        answer = await couch.ask("POST", PATH, **options)
        assert (answer.status, answer.json["error"]) == (status, error)
    together = await couch.ask("POST", PATH, json={"docs": [{"_id": "a"}, {}], "all_or_nothing": True})
    assert (together.status, [row["error"] for row in together.json]) == (417, ["not_implemented"] * 2)
    assert (await couch.get(""))["doc_count"] == 0
    missing = await couch.server.ask("POST", "/apps/shop/couch/none/_bulk_docs", json={"docs": []})
    assert (missing.status, missing.json["reason"]) == (404, "Database does not exist.")
    assert (await couch.ask("GET", PATH)).status == 405


async def test_design_documents_need_their_scope(couch: Couch) -> None:
    token = await couch.server.key("shop", "db:write")
    answer = await couch.ask("POST", PATH, token=token, json={"docs": [{"_id": "_design/d"}, {"_id": "a"}]})
    assert [row.get("error") for row in answer.json] == ["forbidden", None]
    assert [row["id"] for row in (await couch.get("/_all_docs"))["rows"]] == ["a"]


async def test_rules_of_the_data_face_hold(couch: Couch) -> None:
    """What a collection declares is checked as a validation would; replicated revisions are stored anyway."""
    definition = {"fields": {"n": {"type": "integer", "required": True}}}
    made = await couch.server.ask("PUT", "/api/v1/apps/shop/collections/db", json=definition)
    assert made.status in (200, 201), made.body
    rows = await bulk(couch, {"_id": "a", "n": "x"}, {"_id": "b"}, {"_id": "c", "n": 1})
    assert [row.get("error") for row in rows] == ["bad_request", "forbidden", None]
    assert await bulk(couch, {"_id": "b", "_rev": "1-b", "n": "x"}, new_edits=False) == []
    listed = await couch.server.ask("GET", "/apps/shop/rest/v1/db?select=id,n&order=id")
    assert [row["id"] for row in listed.json] == ["b", "c"]


async def test_both_faces_share_one_tree(couch: Couch) -> None:
    await bulk(couch, {"_id": "a", "n": 1})
    changed = await couch.server.ask("PATCH", "/apps/shop/rest/v1/db?id=eq.a", json={"n": 2})
    assert changed.status == 204
    found = await couch.get("/a?revs=true")
    assert found["n"] == 2 and found["_revisions"]["start"] == 2
    feed = await couch.get("/_changes")
    assert [row["changes"] for row in feed["results"]] == [[{"rev": found["_rev"]}]]
