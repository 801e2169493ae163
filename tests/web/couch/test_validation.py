"""`validate_doc_update` has its say in every way of writing, and what it refuses is not stored."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.couch import Couch, related

REASON = "Documents have a title."
FUNCTION = (
    "function (doc, old, user, security) {"
    "  if (doc._deleted) { if (old && old.locked) throw({forbidden: 'It is locked.'}); return; }"
    f"  if (!doc.title) throw({{forbidden: '{REASON}'}});"
    "  if (doc.title === 'secret') throw({unauthorized: 'Sign in first.'});"
    "}"
)


@pytest.fixture
async def checked(couch: Couch) -> Couch:
    """The database with a validating design document, and a document `d` with an attachment."""
    await couch.put("/_design/check", {"validate_doc_update": FUNCTION})
    data = base64.b64encode(b"x").decode()
    await couch.put("/d", {"title": "d", "locked": True, "_attachments": {"a": {"data": data}}})
    return couch


FORBIDDEN = (403, {"error": "forbidden", "reason": REASON})
INLINE = {"a": {"data": base64.b64encode(b"y" * 10).decode()}}

WRITES: list[tuple[str, str, str, dict[str, Any], tuple[int, dict[str, str]]]] = [
    ("PUT", "PUT", "/new", {"json": {}}, FORBIDDEN),
    ("POST", "POST", "", {"json": {"_id": "new"}}, FORBIDDEN),
    ("PUT unauthorized", "PUT", "/new", {"json": {"title": "secret"}},
     (401, {"error": "unauthorized", "reason": "Sign in first."})),
    ("PUT with attachment", "PUT", "/new", {"json": {"_attachments": INLINE}}, FORBIDDEN),
    ("PUT of multipart", "PUT", "/new", related({"_attachments": {"a": {"follows": True}}}, b"x"), FORBIDDEN),
    ("PUT of a replicated one", "PUT", "/new?new_edits=false", {"json": {"_rev": "1-a"}}, FORBIDDEN),
    ("DELETE", "DELETE", "/d?rev={rev}", {}, (403, {"error": "forbidden", "reason": "It is locked."})),
    ("an attachment of nothing", "PUT", "/new/a", {"data": b"x"}, FORBIDDEN),
    ("batch", "PUT", "/new?batch=ok", {"json": {}}, FORBIDDEN),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "options", "expected"), [w[1:] for w in WRITES], ids=[w[0] for w in WRITES]
)
async def test_refused_writes_store_nothing(
    checked: Couch, method: str, path: str, options: dict[str, Any], expected: tuple[int, dict[str, str]]
) -> None:
    rev = (await checked.get("/d"))["_rev"]
    before = checked.stored()
    answer = await checked.ask(method, path.format(rev=rev), **options)
    assert (answer.status, answer.json) == expected
    assert checked.stored() == before


async def test_what_is_allowed_is_written(checked: Couch) -> None:
    rev = (await checked.get("/d"))["_rev"]
    assert (await checked.ask("PUT", f"/d/b?rev={rev}", data=b"x")).status == 201
    assert (await checked.ask("COPY", "/d", headers={"Destination": "e"})).status == 201
    assert (await checked.ask("PUT", "/f", json={"title": "f"})).status == 201


async def test_of_many_documents_each_is_judged(checked: Couch) -> None:
    docs = [{"_id": "1", "title": "one"}, {"_id": "2"}, {"_id": "3", "title": "three"}]
    answer = await checked.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert [row.get("error") for row in answer.json] == [None, "forbidden", None]
    assert answer.json[1] == {"id": "2", "error": "forbidden", "reason": REASON}
    assert [(await checked.ask("GET", f"/{n}")).status for n in (1, 2, 3)] == [200, 404, 200]
    grafts = [{"_id": "4", "_rev": "1-a", "title": "x"}, {"_id": "5", "_rev": "1-a"}]
    answer = await checked.ask("POST", "/_bulk_docs", json={"docs": grafts, "new_edits": False})
    assert [(row["id"], row["error"]) for row in answer.json] == [("5", "forbidden")]
    assert [(await checked.ask("GET", f"/{n}")).status for n in (4, 5)] == [200, 404]
