"""Design documents' say in writes and change feeds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from localsrv.base.errors import DesignError
from localsrv.javascript.pool import JavaScript
from localsrv.services.design import ADMIN, Design, UserContext
from localsrv.services.imports import program
from localsrv.store.database import Database
from localsrv.store.editing import Edit

ANN = UserContext("ann", ("reader",))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = await Database.open(tmp_path / "app.db", tmp_path / "blobs")
    await made.create_database("items")
    yield made
    await made.close()


@pytest.fixture
async def design() -> AsyncIterator[Design]:
    javascript = JavaScript(program(), patience_s=20.0)
    yield Design(javascript)
    await javascript.close()


async def validator(database: Database, source: str, name: str = "v") -> None:
    known = database.get_document("items", f"_design/{name}")
    parent = known.rev if known and not known.deleted else None
    await database.put("items", Edit(f"_design/{name}", {"validate_doc_update": source}, parent))


async def ask(design: Design, database: Database, *edits: Edit, **more: Any) -> list[Any]:
    refused = await design.check_updates(database, "items", edits, more.pop("user", ANN), **more)
    return [None if one is None else (one.status, one.error, one.message) for one in refused]  # type: ignore[attr-defined]


SHOW = "function (doc, old, user, security) { throw {forbidden: JSON.stringify([doc, old, user, security])} }"


async def shown(design: Design, database: Database, edit: Edit, **more: Any) -> Any:
    """`[new, old, user, security]` as a function sees them."""
    (refused,) = await design.check_updates(database, "items", [edit], ANN, **more)
    assert refused is not None
    return orjson.loads(refused.message)


async def test_what_a_function_is_told(design: Design, database: Database) -> None:
    await validator(database, SHOW)
    first = await database.put("items", Edit("a", {"n": 1}))
    digest = first.removeprefix("1-")
    await database.set_setting("items", "security", {"admins": {"names": ["x"], "roles": []}})
    new, old, user, security = await shown(design, database, Edit("a", {"n": 2}, first))
    assert new == {"_id": "a", "_rev": first, "_revisions": {"start": 1, "ids": [digest]}, "n": 2}
    assert old == {"_id": "a", "_rev": first, "n": 1}
    assert user == {"db": "items", "name": "ann", "roles": ["reader"]}
    assert security == {"admins": {"names": ["x"], "roles": []}}


async def test_deletions_creations_and_revisions_made_elsewhere(design: Design, database: Database) -> None:
    await validator(database, SHOW)
    assert (await shown(design, database, Edit("new", {"n": 1})))[:2] == [{"_id": "new", "n": 1}, None]
    first = await database.put("items", Edit("a", {"n": 1}))
    new, old, *_ = await shown(design, database, Edit("a", {}, first, deleted=True))
    assert new["_deleted"] is True and old["n"] == 1
    second = await database.put("items", Edit("a", {"n": 2}, first))
    grafted = Edit("a", {"n": 9}, path=("3-aa", second, first))
    new, old, *_ = await shown(design, database, grafted, new_edits=False)
    assert (new["_rev"], new["_revisions"]["start"], len(new["_revisions"]["ids"])) == ("3-aa", 3, 3)
    assert (old["_rev"], old["n"]) == (second, 2)
    unknown = Edit("a", {}, path=("9-cc", "8-bb"))
    assert (await shown(design, database, unknown, new_edits=False))[1] is None
    gone = await database.put("items", Edit("a", {}, second, deleted=True))
    assert (await shown(design, database, Edit("a", {"n": 3}, gone)))[1]["_deleted"] is True


async def test_each_edit_for_itself(design: Design, database: Database) -> None:
    await validator(database, "doc => { if (doc.bad) throw {forbidden: doc._id} }")
    edits = [Edit("a", {"bad": True}), Edit("b", {}), Edit("c", {"bad": 1}), Edit("_design/x", {"bad": 1})]
    assert await ask(design, database, *edits) == [
        (403, "forbidden", "a"),
        None,
        (403, "forbidden", "c"),
        None,
    ]


ANSWERS: list[tuple[str, tuple[int, str, str] | None]] = [
    ("function () { }", None),
    ("function () { return false }", None),
    ("() => { throw {forbidden: 'no'} }", (403, "forbidden", "no")),
    ("() => { throw {unauthorized: 'who'} }", (401, "unauthorized", "who")),
    ("() => { throw {forbidden: {a: 1}} }", (403, "forbidden", '{"a":1}')),
    ("() => { throw {odd: 'words'} }", (500, "unknown_error", "words")),
    ("() => { throw 'text' }", (500, "unknown_error", "text")),
    ("() => { throw new TypeError('oh') }", (500, "TypeError", "oh")),
    ("() => { require('lib/none') }", (500, "invalid_require_path", "")),
    ("function () {", (500, "compilation_error", "SyntaxError")),
    ("(doc, old, u) => { if (!u.roles.includes('_admin')) throw {forbidden: 'x'} }", (403, "forbidden", "x")),
    ("function () { if (this._id !== '_design/v') throw {forbidden: 'this'} }", None),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), ANSWERS)
async def test_answers(
    design: Design, database: Database, source: str, expected: tuple[int, str, str] | None
) -> None:
    await validator(database, source)
    (found,) = await ask(design, database, Edit("a", {}))
    if expected is None:
        assert found is None
    else:
        assert found[:2] == expected[:2] and found[2].startswith(expected[2])


async def test_every_validator_has_its_say(design: Design, database: Database) -> None:
    await validator(database, "doc => { if (doc.a) throw {forbidden: 'a'} }", "one")
    await validator(database, "doc => { if (doc.b) throw {forbidden: 'b'} }", "two")
    edits = [Edit("x", {"a": 1}), Edit("y", {"b": 1}), Edit("z", {}), Edit("w", {"a": 1, "b": 1})]
    found = await ask(design, database, *edits)
    assert [one and one[2] for one in found] == ["a", "b", None, "a"]
    await validator(database, "doc => { }", "one")
    assert [one and one[2] for one in await ask(design, database, *edits)] == [None, "b", None, "b"]
    known = database.get_document("items", "_design/two")
    assert known is not None
    await database.put("items", Edit("_design/two", {}, known.rev, deleted=True))
    assert await ask(design, database, *edits) == [None] * 4


async def test_a_validator_without_end_costs_its_writers_an_error(database: Database) -> None:
    javascript = JavaScript(program(), patience_s=1.0)
    await validator(database, "doc => { if (doc.loop) while (true); if (doc.bad) throw {forbidden: 'bad'} }")
    edits = [Edit("a", {}), Edit("b", {"loop": True}), Edit("c", {"bad": True})]
    found = await ask(Design(javascript), database, *edits)
    assert found == [None, (500, "os_process_error", "OS process timed out."), (403, "forbidden", "bad")]
    await javascript.close()


async def test_nothing_is_run_where_there_is_nothing_to_run(database: Database) -> None:
    design = Design(JavaScript(["/nowhere/at/all"]))
    assert await ask(design, database, Edit("a", {}), user=ADMIN) == [None]
    await database.put("items", Edit("_design/x", {"filters": {"f": "x => x"}}))
    assert await ask(design, database, Edit("a", {}), Edit("_design/y", {})) == [None, None]
    assert await ask(design, database) == []


# ── design documents themselves ────────────────────────────────────────────────────────────────────────────

COMPILE, INVALID = "compilation_error", "invalid_design_doc"
MAP_FAILED = "Compilation of the map function in the 'v' view failed: "
REDUCE_FAILED = "Compilation of the reduce function in the 'v' view failed:"

MAP = {"map": "doc => emit(1)"}

DESIGNS: list[tuple[dict[str, Any], tuple[str, str] | None]] = [
    ({}, None),
    ({"views": {"v": MAP}}, None),
    ({"views": {"v": {**MAP, "reduce": "_sum"}}}, None),
    ({"views": {"v": {**MAP, "reduce": "_top_3"}}}, None),
    ({"views": {"v": {**MAP, "reduce": "(k, v) => 1"}}}, None),
    ({"views": {"lib": {"a": "not checked ("}}}, None),
    ({"views": {"v": {"map": "function (doc) {"}}}, (COMPILE, MAP_FAILED + "SyntaxError")),
    ({"views": {"v": {**MAP, "reduce": "nonsense("}}}, (COMPILE, REDUCE_FAILED)),
    ({"views": {"v": {"map": "'text'"}}}, (COMPILE, MAP_FAILED + "Expression does not eval")),
    ({"views": {"v": {**MAP, "reduce": "_nothing"}}}, (INVALID, "`_nothing` is not a supported reduce")),
    ({"views": {"v": {**MAP, "reduce": "_top_x"}}}, (INVALID, "invalid rank reducer")),
    ({"views": {"v": {**MAP, "reduce": "_top_101"}}}, (INVALID, "rank value must be between 1 and 100")),
    ({"views": {"v": {}}}, (INVALID, "View `v` must contain map function")),
    ({"views": {"v": {"map": 5}}}, (INVALID, "`views.v.map` field must have string type")),
    ({"views": {"v": 5}}, (INVALID, "`views.v` field must have object type")),
    ({"views": []}, (INVALID, "`views` field must have object type")),
    ({"views": {"lib": 5}}, (INVALID, "`views.lib` field must have object type")),
    ({"language": 5}, (INVALID, "`language` field must have string type")),
    ({"options": {"local_seq": 1}}, (INVALID, "`options.local_seq` field must have boolean type")),
    ({"filters": {"f": 1}}, (INVALID, "`filters.f` field must have object or")),
    ({"rewrites": {}}, (INVALID, "`rewrites` field must have string or array type")),
    ({"validate_doc_update": 1}, (INVALID, "`validate_doc_update` field must have")),
    ({"language": "query", "views": {"v": {"map": {"fields": {}}}}}, None),
    ({"language": "query", "views": {"v": MAP}}, (INVALID, "`views.v.map` field must have object type")),
    ({"language": "erlang", "views": {"v": {"map": "fun() -> ok end."}}}, None),
    ({"filters": {"f": "not compiled ("}, "validate_doc_update": "nor this ("}, None),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), DESIGNS)
async def test_design_documents_are_looked_at(
    design: Design, database: Database, fields: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    (found,) = await ask(design, database, Edit("_design/x", fields))
    if expected is None:
        assert found is None
    else:
        assert found[:2] == (400, expected[0]) and found[2].startswith(expected[1])
    assert await ask(design, database, Edit("_design/x", fields, "1-a", deleted=True)) == [None]


# ── filters ────────────────────────────────────────────────────────────────────────────────────────────────

FILTERS = {
    "filters": {
        "big": "function (doc, req) { return doc.n >= req.query.least }",
        "throws": "() => { throw {forbidden: 'no'} }",
        "broken": "function (",
    },
    "views": {"odd": {"map": "doc => { if (doc.n % 2) emit(1) }"}},
}
TEXTS = [f'{{"_id":"d{n}","n":{n}}}' for n in range(4)]


async def test_filters(design: Design, database: Database) -> None:
    await database.put("items", Edit("_design/f", FILTERS))
    request = {"query": {"least": "2"}}
    big = await design.filter_changes(database, "items", "f/big", TEXTS, request)
    assert big == [False, False, True, True]
    odd = await design.filter_changes(database, "items", "f/odd", TEXTS, by_view=True)
    assert odd == [False, True, False, True]
    assert await design.filter_changes(database, "items", "f/big", []) == []


BAD_FILTERS: list[tuple[str, bool, tuple[int, str, str]]] = [
    ("f", False, (400, "bad_request", "`filter` parameter must be of the form `designname/filtername`")),
    ("f", True, (400, "bad_request", "`view` parameter must be of the form `designname/viewname`")),
    ("none/big", False, (404, "not_found", "missing")),
    ("f/none", False, (404, "not_found", "missing json key: none")),
    ("f/none", True, (404, "not_found", "missing json key: none")),
    ("f/throws", False, (500, "forbidden", "no")),
    ("f/broken", False, (500, "compilation_error", "")),
]


@pytest.mark.parametrize(("path", "by_view", "expected"), BAD_FILTERS)
async def test_filters_that_are_none(
    design: Design, database: Database, path: str, by_view: bool, expected: tuple[int, str, str]
) -> None:
    await database.put("items", Edit("_design/f", FILTERS))
    with pytest.raises(DesignError) as failed:
        await design.filter_changes(database, "items", path, TEXTS, by_view=by_view)
    assert (failed.value.status, failed.value.error) == expected[:2]
    assert failed.value.message.startswith(expected[2])


async def test_the_same_functions_in_two_databases_share_nothing(design: Design, database: Database) -> None:
    await database.create_database("other")
    keep = {"filters": {"f": "doc => { const seen = globalThis.seen; globalThis.seen = true; return seen }"}}
    for name in ("items", "other"):
        await database.put(name, Edit("_design/f", keep))
    assert await design.filter_changes(database, "items", "f/f", TEXTS[:2]) == [False, True]
    assert await design.filter_changes(database, "other", "f/f", TEXTS[:2]) == [False, True]
