"""Design documents at work through HTTP: they refuse writes, whichever way these come, and filter feeds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.couch import Couch

VALIDATE = (
    "function (doc, old, user, security) {"
    " if (doc.bad) throw {forbidden: 'bad'};"
    " if (doc.who) throw {unauthorized: 'who'};"
    " if (doc._attachments && !doc.files) throw {forbidden: 'no files'};"
    " if (doc._deleted && old && old.keep) throw {forbidden: 'kept'};"
    " if (doc.admin && user.roles.indexOf('_admin') < 0) throw {forbidden: 'not ' + user.name};"
    " }"
)


@pytest.fixture
async def strict(couch: Couch) -> Couch:
    await couch.put("/_design/v", {"validate_doc_update": VALIDATE})
    return couch


WRITES: list[tuple[str, str, dict[str, Any], int, str | None]] = [
    ("PUT", "/a", {"json": {}}, 201, None),
    ("PUT", "/a", {"json": {"bad": 1}}, 403, "bad"),
    ("PUT", "/a", {"json": {"who": 1}}, 401, "who"),
    ("POST", "", {"json": {"bad": 1}}, 403, "bad"),
    ("PUT", "/a/t", {"data": b"x", "headers": {"Content-Type": "text/plain"}}, 403, "no files"),
    ("PUT", "/a?new_edits=false", {"json": {"_rev": "1-aa", "bad": 1}}, 403, "bad"),
    ("PUT", "/_design/x", {"json": {"bad": 1}}, 201, None),
    ("PUT", "/_local/x", {"json": {"bad": 1}}, 201, None),
    ("PUT", "/_design/x", {"json": {"views": {"v": {"map": "function ("}}}}, 400, None),
    ("PUT", "/_design/x", {"json": {"views": 1}}, 400, "`views` field must have object type"),
]


@pytest.mark.parametrize(("method", "path", "options", "status", "reason"), WRITES)
async def test_writes(
    strict: Couch, method: str, path: str, options: dict[str, Any], status: int, reason: str | None
) -> None:
    before = strict.stored()[0]
    done = await strict.ask(method, path, **options)
    assert done.status == status, done.body
    if reason is not None:
        assert done.json["reason"] == reason
    local = path.startswith("/_local/")
    assert (strict.stored()[0] > before) == (status == 201 and not local)


async def test_bulk_docs(strict: Couch) -> None:
    docs = [{"_id": "a"}, {"_id": "b", "bad": 1}, {"_id": "c", "who": 1}, {"_id": "_design/d", "views": 1}]
    done = await strict.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert done.status == 201
    assert [row.get("error") for row in done.json] == [
        None,
        "forbidden",
        "unauthorized",
        "invalid_design_doc",
    ]
    assert [row["id"] for row in (await strict.get("/_all_docs"))["rows"]] == ["_design/v", "a"]
    grafted = {
        "docs": [{"_id": "x", "_rev": "1-aa", "bad": 1}, {"_id": "y", "_rev": "1-bb"}],
        "new_edits": False,
    }
    done = await strict.ask("POST", "/_bulk_docs", json=grafted)
    assert [(row["id"], row["error"]) for row in done.json] == [("x", "forbidden")]
    assert (await strict.get("/y"))["_rev"] == "1-bb"


async def test_deletions(strict: Couch) -> None:
    rev = await strict.put("/a", {"keep": True})
    done = await strict.ask("DELETE", f"/a?rev={rev}")
    assert (done.status, done.json["reason"]) == (403, "kept")
    rev = await strict.put("/a", {"_rev": rev})
    assert (await strict.ask("DELETE", f"/a?rev={rev}")).status == 200


async def test_who_writes(strict: Couch) -> None:
    await strict.put("/a", {"admin": True})
    strict.token = await strict.server.key("shop", "sync", name="phone")
    done = await strict.ask("PUT", "/b", json={"admin": True})
    assert (done.status, done.json["reason"]) == (403, "not phone")


async def test_a_design_document_that_does_not_compile(couch: Couch) -> None:
    done = await couch.ask("PUT", "/_design/d", json={"views": {"v": {"map": "function (doc) {"}}})
    assert (done.status, done.json["error"]) == (400, "compilation_error")
    assert done.json["reason"].startswith(
        "Compilation of the map function in the 'v' view failed: SyntaxError"
    )
    assert (await couch.ask("GET", "/_design/d")).status == 404


FILTERS = {
    "filters": {
        "least": "function (doc, req) { return doc.n >= req.query.least }",
        "me": "function (doc, req) { return doc.owner === req.userCtx.name }",
        "broken": "function (doc) { return doc.a.b }",
    },
    "views": {"odd": {"map": "function (doc) { if (doc.n % 2) emit(1) }"}},
}

FEEDS: list[tuple[str, list[str]]] = [
    ("filter=f/least&least=2", ["d2", "d3"]),
    ("filter=f/me", ["d1"]),
    ("filter=_view&view=f/odd", ["d1", "d3"]),
    ("filter=_design", ["_design/f"]),
]


@pytest.mark.parametrize(("address", "expected"), FEEDS)
async def test_filtered_feeds(couch: Couch, address: str, expected: list[str]) -> None:
    await couch.put("/_design/f", FILTERS)
    for n in range(4):
        await couch.put(f"/d{n}", {"n": n, "owner": "owner" if n == 1 else "other"})
    found = await couch.get(f"/_changes?{address}")
    assert [row["id"] for row in found["results"]] == expected


NO_FILTERS: list[tuple[str, int, str]] = [
    ("filter=f/none", 404, "not_found"),
    ("filter=none/x", 404, "not_found"),
    ("filter=_view&view=f/none", 404, "not_found"),
    ("filter=f/broken", 500, "TypeError"),
]


@pytest.mark.parametrize(("address", "status", "error"), NO_FILTERS)
async def test_filters_that_are_none(couch: Couch, address: str, status: int, error: str) -> None:
    await couch.put("/_design/f", FILTERS)
    await couch.put("/a", {})
    done = await couch.ask("GET", f"/_changes?{address}")
    assert (done.status, done.json["error"]) == (status, error)
