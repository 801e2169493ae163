"""Mango in a file: which SQL index serves a query, when indexes come and go, and what results are."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localsrv.model.mango_errors import MangoError
from localsrv.model.mango_index import Index, parse_definition, with_index
from localsrv.model.mango_order import order_key
from localsrv.model.mango_request import parse_find
from localsrv.model.selector import parse_selector
from localsrv.model.selector_match import exists_at, value_at
from localsrv.model.selector_parse import parse_field
from localsrv.store import mango, mango_query
from localsrv.store.database import Database
from localsrv.store.editing import Edit
from localsrv.store.mango import Search
from tests.store.conftest import OpenDatabase
from tests.store.test_mango_sql import selectors, values


@pytest.fixture
async def docs(db: Database) -> Database:
    """A database with 40 documents in `docs`."""
    await db.create_database("docs")
    for i in range(40):
        body = {"a": i, "b": i % 3, "tags": ["x", i % 4], "deep": {"n": i // 10}, "odd.name": i % 2}
        await db.put("docs", Edit(f"d{i:02}", body))
    return db


async def define(db: Database, *fields: str, where: Any = None, name: str = "") -> str:
    """Stores the design document of an index, as replication would, and returns its id."""
    definition = {"fields": list(fields)} | ({"partial_filter_selector": where} if where else {})
    parsed, partial_filter = parse_definition(definition)
    name = name or "-".join(fields)
    index = Index(f"_design/{name}", name, parsed, partial_filter)
    await db.put("docs", Edit(index.ddoc or "", with_index(None, index, definition)))
    return index.ddoc or ""


async def search(db: Database, **query: Any) -> tuple[list[str], Search]:
    """The ids of a query's results, and how it was answered."""
    found = await db.mango.find("docs", parse_find(query))
    ids = [one.document.id for one in found.first]
    async for page in found.rest():
        ids += [one.document.id for one in page]
    return ids, found


async def plan_of(db: Database, found: Search) -> list[str]:
    """SQLite's own plan for a query's first statement."""
    sql, parameters = next(found.statements())
    rows = await db.read(lambda c: c.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall())
    return [row[3] for row in rows]


async def sql_indexes(db: Database) -> set[str]:
    """The names of the file's SQL indexes for Mango."""
    rows = await db.read(
        lambda c: c.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall()
    )
    return {name for (name,) in rows if name.startswith("mango:")}


def elsewhere(db: Database, *statements: str) -> list[Any]:
    """Runs SQL on the file in another process, with the SQLite of the standard library; the last one's rows.

    Two SQLite libraries in one process would take each other's locks away.
    """
    program = (
        "import json, sqlite3, sys\nconnection = sqlite3.connect(sys.argv[1])\n"
        "for statement in sys.argv[2:]:\n    rows = connection.execute(statement).fetchall()\n"
        "connection.commit()\nconnection.close()\nprint(json.dumps(rows))"
    )
    command = [sys.executable, "-c", program, str(db.path), *statements]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    found: list[Any] = orjson.loads(done.stdout)
    return found


BY_ID = "SEARCH docs USING INDEX sqlite_autoindex_docs_1 (_id"


@pytest.mark.parametrize(
    ("fields", "query", "ids", "plan"),
    [
        (["a"], {"selector": {"a": 7}}, ["d07"], "SEARCH docs USING INDEX {} (<expr>=?)"),
        (["a"], {"selector": {"a": {"$gt": 37}}}, ["d38", "d39"], "SEARCH docs USING INDEX {} (<expr>>?)"),
        (
            ["a"],
            {"selector": {"a": {"$gte": 5, "$lt": 7}}, "sort": [{"a": "desc"}]},
            ["d06", "d05"],
            "SEARCH docs USING INDEX {} (<expr>>? AND <expr><?)",
        ),
        (
            ["b", "a"],
            {"selector": {"b": 1, "a": {"$lt": 9}}},
            ["d01", "d04", "d07"],
            "SEARCH docs USING INDEX {} (<expr>=? AND <expr><?)",
        ),
        (
            ["b", "a"],
            {"selector": {"b": 1, "a": {"$lt": 9}}, "sort": [{"a": "desc"}]},
            ["d07", "d04", "d01"],
            "SEARCH docs USING INDEX {} (<expr>=? AND <expr><?)",
        ),
        (
            ["deep.n", "_id"],
            {"selector": {"deep": {"n": 2}, "_id": {"$gt": "d27"}}},
            ["d28", "d29"],
            "SEARCH docs USING INDEX {} (<expr>=? AND _id>?)",
        ),
        (
            ["odd\\.name", "a"],
            {"selector": {"odd\\.name": 1, "a": {"$gt": 35}}, "sort": ["odd\\.name", "a"]},
            ["d37", "d39"],
            "SEARCH docs USING INDEX {} (<expr>=? AND <expr>>?)",
        ),
        (
            ["a"],
            {"selector": {"a": {"$gt": 37}}, "fields": ["a", "_id"]},
            ["d38", "d39"],
            "SEARCH docs USING COVERING INDEX {} (<expr>>?)",
        ),
        ([], {"selector": {"_id": {"$beginsWith": "d3"}, "b": 0}}, ["d30", "d33", "d36", "d39"],
         BY_ID + ">? AND _id<?)"),
        ([], {"selector": {"_id": "d05"}}, ["d05"], BY_ID + "=?)"),
    ],
)  # fmt: skip
async def test_the_sql_index_is_used(
    docs: Database, fields: list[str], query: dict[str, Any], ids: list[str], plan: str
) -> None:
    if fields:
        await define(docs, *fields)
    found, how = await search(docs, **query)
    assert found == ids
    [line] = await plan_of(docs, how)  # one line: nothing is sorted
    [name] = await sql_indexes(docs) or {"-"}
    if "fields" in query:
        assert line.replace("USING INDEX", "USING COVERING INDEX") == plan.format(name)
    else:
        assert plan.format(name) in line


async def test_a_bookmark_is_a_place_in_the_index(docs: Database) -> None:
    await define(docs, "b", "a")
    query = {"selector": {"b": {"$gte": 0}, "a": {"$gte": 0}}, "sort": ["b", "a"], "limit": 5}
    _, how = await search(docs, **query)
    _, how = await search(docs, **query, bookmark=how.bookmark)
    plans = []
    for sql, parameters in how.statements():
        rows = await docs.read(
            lambda c, s=sql, p=parameters: c.execute(f"EXPLAIN QUERY PLAN {s}", p).fetchall()
        )
        plans.append([row[3].partition("(")[2] for row in rows])
    assert plans == [
        ["<expr>=? AND <expr>=? AND _id>?)"],
        ["<expr>=? AND <expr>>?)"],
        ["<expr>>?)"],
    ]


# ── when indexes come and go ───────────────────────────────────────────────────────────────────────────────


async def test_an_index_is_built_before_the_first_query_and_found_again(
    docs: Database, open_database: OpenDatabase
) -> None:
    await define(docs, "a")
    assert await sql_indexes(docs) == set()
    unbuilt, how = await search(docs, selector={"a": {"$lt": 3}}, sort=["a"], update=False)
    assert unbuilt == ["d00", "d01", "d02"] and await sql_indexes(docs) == set()
    assert how.plan.index is not None and how.plan.index.name == "a"
    built, _ = await search(docs, selector={"a": {"$lt": 3}}, sort=["a"])
    [name] = await sql_indexes(docs)
    assert built == unbuilt
    await docs.close()
    again = await open_database()
    assert (await search(again, selector={"a": {"$lt": 3}}, sort=[{"a": "desc"}]))[0] == unbuilt[::-1]
    assert await sql_indexes(again) == {name}


async def test_equal_definitions_share_an_sql_index_until_the_last_goes(docs: Database) -> None:
    one, two = await define(docs, "a", name="one"), await define(docs, "a", name="two")
    await docs.mango.build_indexes("docs")
    assert len(await sql_indexes(docs)) == 1
    for ddoc, left in ((one, 1), (two, 0)):
        stored = docs.get_document("docs", ddoc)
        assert stored is not None
        if ddoc == one:
            await docs.put("docs", Edit(ddoc, {}, stored.rev, deleted=True))
        else:  # as a replicator deletes it
            path = ("2-" + "f" * 32, stored.rev)
            await docs.put_many("docs", [Edit(ddoc, {}, deleted=True, path=path)], new_edits=False)
        assert len(await sql_indexes(docs)) == left
    with pytest.raises(MangoError):
        await search(docs, selector={"a": 1}, sort=["a"])


async def test_a_changed_definition_is_another_index(docs: Database) -> None:
    ddoc = await define(docs, "a", name="one")
    await search(docs, selector={"a": 1}, sort=["a"])
    before = await sql_indexes(docs)
    stored = docs.get_document("docs", ddoc)
    assert stored is not None and stored.body is not None
    body = orjson.loads(stored.body)
    body["views"]["one"]["map"]["fields"] = {"b": "asc"}
    await docs.put("docs", Edit(ddoc, body, stored.rev))
    assert (await search(docs, selector={"b": 2}, sort=["b"], limit=2))[0] == ["d02", "d05"]
    assert len(await sql_indexes(docs)) == 1 and await sql_indexes(docs) != before


@pytest.mark.parametrize(
    "body",
    [
        {"language": "query", "views": {"v": {"map": "function (doc) {}"}}},
        {"language": "query", "views": {"v": {"map": {"fields": {}}}}},
        {"language": "query", "views": {"v": {"map": {"fields": {"a": "up"}}}}},
        {"language": "query", "views": {"v": {"map": {"fields": {"a": "asc"}, "selector": {"$no": 1}}}}},
        {"language": "query", "views": {"v": 5}},
        {"language": "query", "views": []},
        {"language": "query", "indexes": {"v": {"index": {}}}},
        {"language": "javascript", "views": {"v": {"map": {"fields": {"a": "asc"}}}}},
    ],
    ids=lambda body: orjson.dumps(body).decode()[:70],
)
async def test_what_is_no_definition_is_passed_over(docs: Database, body: dict[str, Any]) -> None:
    await docs.put("docs", Edit("_design/odd", body))
    assert await docs.mango.indexes("docs") == ()
    assert (await search(docs, selector={"a": 1}))[0] == ["d01"]


async def test_an_index_that_another_tool_dropped_is_built_again(docs: Database) -> None:
    await define(docs, "a")
    await search(docs, selector={"a": 1})
    [name] = await sql_indexes(docs)
    elsewhere(docs, f'DROP INDEX "{name}"')
    assert (await search(docs, selector={"a": {"$gte": 38}}, sort=["a"]))[0] == ["d38", "d39"]
    assert await sql_indexes(docs) == {name}


async def test_other_tools_write_indexed_documents(docs: Database) -> None:
    """The index is made of functions that every SQLite has."""
    await define(docs, "a", "deep.n", where={"b": {"$in": [0, 1]}, "tags": {"$size": 2}})
    await docs.mango.build_indexes("docs")
    assert len(await sql_indexes(docs)) == 1
    change = "UPDATE docs SET _body = json_set(_body, '$.a', -5) WHERE _id = 'd03'"
    assert elsewhere(docs, change, "PRAGMA integrity_check") == [["ok"]]
    query = {"selector": {"a": {"$lt": 3}, "deep.n": {"$exists": True}}, "use_index": "a-deep.n"}
    assert (await search(docs, **query))[0] == ["d03", "d00", "d01"]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"b": 0}, ["d36", "d39"]),
        ({"tags": {"$elemMatch": {"$eq": 1}}}, ["d37"]),
        ({"deep": {"$eq": {"n": 3}}, "a": {"$gt": 38}}, ["d39"]),
        ({"_id": {"$regex": "7$"}}, ["d37"]),
        ({"nothing": 1}, []),
        ({"_id": 5}, []),
        ({"_id": {"$gt": {}}, "a": 38}, ["d38"]),
        ({"_id": {"$lte": []}}, []),
        ({"$or": [{"a": 37}, {"_id": "d39"}]}, ["d37", "d39"]),
        ({"_attachments": {"$exists": True}}, []),
    ],
    ids=lambda value: orjson.dumps(value).decode(),
)
@pytest.mark.parametrize("update", [True, False])
async def test_a_partial_index_holds_what_its_filter_says(
    docs: Database, where: dict[str, Any], ids: list[str], update: bool
) -> None:
    await define(docs, "a", where=where)
    query = {"selector": {"a": {"$gte": 35}}, "use_index": "a", "update": update}
    found, how = await search(docs, **query)
    assert found == ids
    assert how.plan.index is not None and how.plan.index.name == "a"
    assert len(await sql_indexes(docs)) == update


ORDERED = [None, False, True, -42, 0, 42, "", "foo", [], [0], [0, 1], ["foo"], {}, {"a": 2}, {"a": "b"}]


@pytest.mark.parametrize("most", [1000, 3])
async def test_an_index_with_few_arrays_is_in_order_though_no_sort_was_asked_for(
    docs: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """With many it is in that of their texts, since each page would have to sort them all."""
    monkeypatch.setattr(mango_query, "MOST_SORTED", most)
    ids = [f"x{place:02}" for place in (7, 2, 9, 4, 0, 11, 13, 1, 12, 3, 10, 5, 14, 8, 6)]
    for place, value in zip(ids, (ORDERED[int(i[1:])] for i in ids), strict=True):
        await docs.put("docs", Edit(place, {"odd": value, "kind": 1}))
    await define(docs, "odd")
    await define(docs, "kind", "odd", name="both")
    expected = sorted(ids)
    by_text = sorted(ids[:], key=lambda i: (i if int(i[1:]) < 8 else "y", orjson.dumps(ORDERED[int(i[1:])])))
    for selector in ({"odd": {"$gte": None}}, {"kind": 1, "odd": {"$exists": True}}):
        found, _ = await search(docs, selector=selector, limit=100)
        assert found == (expected if most == 1000 else by_text), selector
        seen: list[str] = []
        bookmark = None
        while True:
            page, how = await search(docs, selector=selector, limit=2, bookmark=bookmark)
            if not page:
                break
            seen, bookmark = seen + page, how.bookmark
            # How the pages are ordered does not change on the way.
            await docs.put("docs", Edit(f"z{most}-{len(selector)}-{len(seen)}", {"odd": None, "kind": 2}))
            monkeypatch.setattr(mango_query, "MOST_SORTED", 0)
        assert [i for i in seen if i[0] == "x"] == found
        monkeypatch.setattr(mango_query, "MOST_SORTED", most)


async def test_fields_that_sql_cannot_say(docs: Database) -> None:
    await docs.put("docs", Edit("q", {'a"b': 1, "grid": [[1, 2], [3, 4]], "a": 99}))
    await define(docs, 'a"b', name="quote")
    await define(docs, "grid.1.0", name="grid")
    assert (await search(docs, selector={'a"b': {"$gt": 0}}))[0] == ["q"]
    assert (await search(docs, selector={"grid.1.0": 3}))[0] == ["q"]
    assert (await search(docs, selector={'a"b': {"$exists": False}, "a": 7}))[0] == ["d07"]
    assert await sql_indexes(docs) == set()
    with pytest.raises(MangoError, match="cannot be sorted by here") as refused:
        await search(docs, selector={'a"b': {"$gt": 0}}, sort=['a"b'])
    assert refused.value.couch_error == "no_usable_index"


# ── results ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", [1, 7, 1000])
async def test_pages_make_one_result(docs: Database, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(mango, "PAGE_ROWS", page)
    await define(docs, "b", "a")
    query = {"selector": {"b": {"$lte": 1}, "a": {"$exists": True}}, "sort": [{"b": "desc"}, {"a": "desc"}]}
    expected = [f"d{i:02}" for b in (1, 0) for i in range(39, -1, -1) if i % 3 == b]
    for skip, limit in ((0, 100), (3, 100), (10, 5), (0, 0), (100, 5)):
        found, how = await search(docs, **query, skip=skip, limit=limit, execution_stats=True)
        assert found == expected[skip : skip + limit]
        looked_at = min(len(expected), skip + limit + 1) if limit else 0
        assert how.statistics()["total_keys_examined"] == looked_at
    large, _ = await search(docs, selector={"a": {"$gte": 0}, "odd\\.name": 1}, limit=1000)
    assert large == [f"d{i:02}" for i in range(1, 40, 2)]


@pytest.mark.parametrize(("first", "further"), [(1, 1), (3, 5), (1000, 1000)])
async def test_a_search_is_parted(
    docs: Database, monkeypatch: pytest.MonkeyPatch, first: int, further: int
) -> None:
    """So that it ends, however many rows it looks at; all that it looks at is counted."""
    monkeypatch.setattr(mango, "FIRST_CHUNK", first)
    monkeypatch.setattr(mango, "CHUNK", further)
    await define(docs, "b", "a")
    odd = {"odd\\.name": 1}
    by_id = [f"d{i:02}" for i in range(1, 40, 2)]
    by_b = sorted(by_id, key=lambda i: (int(i[1:]) % 3, i))
    design = 1  # the index's own document is among `_all_docs`
    for selector, expected, every, before in (
        (odd, by_id, 40 + design, design),
        ({**odd, "b": {"$gte": 0}, "a": {"$gte": 0}}, by_b, 40, 0),
    ):
        for skip, limit in ((0, 100), (2, 3), (30, 5)):
            found, how = await search(docs, selector=selector, skip=skip, limit=limit)
            assert found == expected[skip : skip + limit]
            if len(found) == limit:
                last = (
                    [f"d{i:02}" for i in range(40)]
                    if selector is odd
                    else sorted((f"d{i:02}" for i in range(40)), key=lambda i: (int(i[1:]) % 3, i))
                )
                assert how.examined == last.index(found[-1]) + 1 + before
            else:
                assert how.examined == every
    found, how = await search(docs, selector=odd, limit=4)
    further_on, _ = await search(docs, selector=odd, limit=4, bookmark=how.bookmark)
    assert found + further_on == by_id[:8]


async def test_a_page_ends_after_many_bytes(docs: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mango, "PAGE_BYTES", 200)
    found = await docs.mango.find("docs", parse_find({"selector": {}, "limit": 30}))
    assert 1 < len(found.first) < 6 and not found.is_complete
    assert (await search(docs, selector={}, limit=30))[0] == [f"d{i:02}" for i in range(30)]


async def test_many_queries_while_indexes_are_built(docs: Database) -> None:
    for field in ("a", "b", "deep.n"):
        await define(docs, field)
    queries = [{"selector": {field: 1}, "sort": [field]} for field in ("a", "b", "deep.n")] * 5
    results = await asyncio.gather(*(search(docs, **query) for query in queries))
    assert [len(ids) for ids, _ in results] == [1, 13, 10] * 5
    assert len(await sql_indexes(docs)) == 3


async def test_a_query_has_a_deadline(open_database: OpenDatabase) -> None:
    from localsrv.base.errors import QueryTimeout
    from localsrv.store.database import StoreOptions

    db = await open_database(StoreOptions(query_timeout_s=0.0))
    await db.create_database("docs")
    await db.put_many("docs", [Edit(f"{i}", {"t": "a" * 50}) for i in range(20_000)])
    with pytest.raises(QueryTimeout):
        await search(db, selector={"t": {"$regex": "b$"}})


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(
    found=st.lists(st.fixed_dictionaries({}, optional={"a": values, "b": values}), min_size=1, max_size=12),
    selector=selectors,
    sort=st.sampled_from([[], ["a"], ["a", "b"], ["_id"]]),
    descending=st.booleans(),
    limit=st.integers(1, 5),
    chunk=st.sampled_from([1, 3, 1000]),
)
def test_any_query_is_answered_as_memory_answers_it(
    tmp_path_factory: pytest.TempPathFactory,
    found: list[dict[str, Any]],
    selector: Any,
    sort: list[str],
    descending: bool,
    limit: int,
    chunk: int,
) -> None:
    folder = tmp_path_factory.mktemp("mango")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mango, "FIRST_CHUNK", chunk)
        patch.setattr(mango, "CHUNK", chunk)
        asyncio.run(_compare(folder, found, selector, sort, descending, limit))


async def _compare(
    folder: Path, found: list[dict[str, Any]], selector: Any, sort: list[str], descending: bool, limit: int
) -> None:
    try:
        parse_selector(selector)
    except MangoError:
        return
    wanted = {"$and": [{name: {"$exists": True}} for name in sort] + ([selector] if selector else [])}
    if not wanted["$and"]:
        wanted = {}
    db = await Database.open(folder / "app.db", folder / "blobs")
    try:
        await db.create_database("docs")
        revisions = [await db.put("docs", Edit(f"{i}", body)) for i, body in enumerate(found)]
        if sort and sort != ["_id"]:
            await define(db, *sort)
        documents = [
            {"_id": f"{i}", "_rev": r, **b} for i, (b, r) in enumerate(zip(found, revisions, strict=True))
        ]
        expected = [d for d in documents if parse_selector(wanted).matches(d)]
        paths = [parse_field(name) for name in sort]
        expected.sort(
            key=lambda d: (*(_place(value_at(d, path)) for path in paths), d["_id"]), reverse=descending
        )
        assert all(exists_at(d, path) for d in expected for path in paths)
        direction = "desc" if descending and sort else "asc"
        if not sort:
            expected.sort(key=lambda d: d["_id"])
        query = {"selector": wanted, "sort": [{name: direction} for name in sort], "limit": limit}
        seen: list[str] = []
        bookmark = None
        while True:
            ids, how = await search(db, **query, bookmark=bookmark)
            if not ids:
                break
            seen, bookmark = seen + ids, how.bookmark
        assert seen == [d["_id"] for d in expected], (wanted, sort)
    finally:
        await db.close()


def _place(value: Any) -> Any:
    """A value's place; numbers below -1.79e308 share one."""
    key = order_key(value)
    return (3, max(key[1], -1.79e308)) if key[0] == 3 and not math.isnan(key[1]) else key
