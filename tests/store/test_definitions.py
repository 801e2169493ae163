"""Definitions: created, changed with the data staying, refused whole."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from localsrv.base.errors import ConfigError, NotFound, RelationViolation
from localsrv.model.query import parse_query
from localsrv.model.schema import MAX_FIELDS
from localsrv.model.schema_json import as_json
from localsrv.model.schema_parse import parse_collection
from localsrv.store.database import Database, Edit, InsertOptions
from tests.store.conftest import SHOP, collections


async def columns(db: Database, table: str) -> dict[str, str]:
    found = (await db.raw_query("SELECT name, type FROM pragma_table_info(?)", [table])).rows
    return {name: kind for name, kind in found if not name.startswith("_")}


async def test_columns_are_typed_as_declared(shop: Database) -> None:
    assert await columns(shop, "products") == {
        "ProductID": "INTEGER", "name": "TEXT", "CategoryID": "INTEGER", "price": "NUMERIC",
        "active": "BOOLEAN", "sold_at": "TEXT", "tags": "TEXT", "code": "TEXT",
    }  # fmt: skip


async def test_adding_removing_and_retyping_fields_keeps_the_data(db: Database) -> None:
    await db.define(
        collections(t={"fields": {"a": "text", "b": "text", "n": "text"}, "full_text": ["a", "n"]})
    )
    rows = [{"id": f"{i:04}", "a": f"word{i}", "b": "gone", "n": str(i), "extra": i} for i in range(2500)]
    await db.insert("t", rows)
    new = {
        "fields": {"a": "text", "n": "integer", "extra": "integer"},
        "indexes": ["extra"],
        "full_text": ["a"],
    }
    texts = await db.define(collections(t=new))
    assert texts == [
        "t: removed field b", "t: changed type of field n", "t: added field extra", "t: indexes updated",
        "t: full-text index rebuilt",
    ]  # fmt: skip
    assert await columns(db, "t") == {"a": "TEXT", "n": "INTEGER", "extra": "INTEGER"}
    found = (await db.raw_query("SELECT count(*), sum(extra), sum(n), max(typeof(n)) FROM t")).rows
    assert found == [(2500, 3123750, 3123750, "integer")]
    assert json.loads(db.get_row("t", "0007")[0]) == {
        "id": "0007",
        "a": "word7",
        "b": "gone",
        "n": "7",
        "extra": 7,
    }  # type: ignore[index]
    assert len((await db.select("t", parse_query([("b", "eq.gone")]))).rows) == 2500
    assert (await db.raw_query("SELECT count(*) FROM localsrv_t_fts('word7')")).rows == [(1,)]
    plan = (await db.raw_query("EXPLAIN QUERY PLAN SELECT * FROM t WHERE extra = 5")).rows
    assert "USING INDEX ix:t:extra" in plan[0][3]
    await db.insert("t", [{"a": "after", "n": 5, "extra": 1}])
    assert (await db.raw_query("SELECT count(*) FROM localsrv_t_fts('after')")).rows == [(1,)]


async def test_definitions_survive_reopening(open_database: Any) -> None:
    db = await open_database()
    await db.define(collections(**SHOP))
    await db.insert("notes", [{"text": "a", "undeclared": 1}])
    wanted = {name: as_json(state.definition) for name, state in db.collections.items()}
    epoch, seq = db.epoch, db.last_seq
    await db.close()
    again = await open_database()
    assert {name: as_json(state.definition) for name, state in again.collections.items()} == wanted
    assert (again.epoch, again.last_seq, again.collection("notes").documents) == (epoch, seq, 1)
    assert "undeclared" in again.collection("notes").known_fields
    assert wanted["products"]["relations"][0]["to_fields"] == ["CategoryID"]
    assert await again.define(collections(**SHOP)) == []


async def test_defining_the_same_again_changes_nothing(shop: Database) -> None:
    assert await shop.define(collections(**SHOP)) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"products": {**SHOP["products"], "key": "code"}}, "key"),
        ({"a": {"fields": {"x": "text"}, "relations": [{"fields": "x", "to": "nowhere"}]}}, "nowhere"),
        ({"a": {"fields": {"rank": "text"}, "full_text": ["rank"]}}, "rank"),
        ({"a": {"schema": {"type": "no such type"}}}, "Schema"),
        ({"a": {"schema": {"$ref": "https://example.com/x.json"}}}, "Schema"),
    ],
)
async def test_a_bad_definition_is_refused_whole(shop: Database, change: dict[str, Any], word: str) -> None:
    await shop.insert("products", [{"ProductID": 1, "name": "x"}])
    before = {name: as_json(s.definition) for name, s in shop.collections.items()}
    with pytest.raises(ConfigError) as caught:
        await shop.define(collections(good={"fields": {"x": "text"}}, **change))
    assert word in caught.value.message
    assert {name: as_json(s.definition) for name, s in shop.collections.items()} == before
    tables = (await shop.raw_query("SELECT count(*) FROM sqlite_master WHERE name IN ('good', 'a')")).rows
    assert tables == [(0,)]


def test_required_relations_may_not_form_a_cycle() -> None:
    from localsrv.model.schema_relations import resolve_relations

    def one(to: str, required: bool) -> dict[str, Any]:
        field = {"type": "text", "required": required}
        return {"fields": {"x": field}, "relations": [{"fields": "x", "to": to}]}

    with pytest.raises(ConfigError, match="form a cycle"):
        resolve_relations(collections(a=one("b", True), b=one("c", True), c=one("a", True)))
    resolve_relations(collections(a=one("b", True), b=one("c", False), c=one("a", True)))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"feilds": {}}, "fields"),
        ({"fields": {"a": "texte"}}, "text"),
        ({"fields": {"a": "text", "A": "text"}}, "case"),
        ({"fields": {"_a": "text"}}, "_a"),
        ({"fields": {"a": "text"}, "key": "b"}, "b"),
        ({"fields": {"id": "text"}}, "id"),
        ({"fields": {"a": {"type": "text", "requird": True}}}, "required"),
        ({"indexes": "a"}, "list"),
        ({"conflicts": "latest"}, 'conflicts = { latest = "changed_at" }'),
        ({"conflicts": "megre"}, '"keep", "merge"'),
        ({"conflicts": ["merge"]}, "unknown policy"),
        ({"conflicts": {"latest": "a", "b": 1}}, "unknown policy"),
        ({"conflicts": {"latest": 5}}, "must name the field"),
        ({"conflicts": {"latest": "a"}}, "not declared"),
        ({"conflicts": {"latest": "a"}, "fields": {"a": "text"}}, "timestamptz"),
        ({"conflict": "latest"}, "latest"),
        ({"relations": [{"to": "x"}]}, "fields"),
        ({"full_text": {"a": -1}}, "weight"),
        ({"fields": {"a": "text"}, "full_text": {"a": float("inf")}}, "weight"),
        ({"title": 5}, "text"),
        ({"source": "x"}, "object"),
        ({"fields": {f"f{n}": "text" for n in range(MAX_FIELDS + 1)}}, str(MAX_FIELDS)),
        ({"fields": {"a": {"type": "integer", "default": "x"}}}, "default"),
        ({"fields": {"a": {"type": "text", "default": [1]}}}, "default"),
        ({"fields": {"a": {"type": "date", "default": date(2024, 1, 2)}}}, "written as texts"),
        ({"fields": {"a": {"type": "json", "default": [date(2024, 1, 2)]}}}, "default"),
        ({"fields": {"a": {"type": "number", "default": float("inf")}}}, "default"),
    ],
)
def test_a_definition_error_names_place_and_remedy(value: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_collection("things", value)
    assert "collections.things" in (caught.value.details or "")
    assert place in caught.value.message + (caught.value.hint or "")


def test_definitions_round_trip_through_json() -> None:
    for name, value in SHOP.items():
        parsed = parse_collection(name, value)
        assert parse_collection(name, as_json(parsed)) == parsed


async def test_drop_forgets_everything_but_the_sequence(shop: Database) -> None:
    with pytest.raises(ConfigError):
        await shop.drop("categories")
    await shop.insert("products", [{"ProductID": 1, "name": "x"}])
    seq = shop.last_seq
    await shop.drop("products")
    with pytest.raises(NotFound):
        shop.collection("products")
    left = (await shop.raw_query("SELECT name FROM sqlite_master WHERE name LIKE '%products%'")).rows
    assert left == []
    await shop.define(collections(products=SHOP["products"]))
    await shop.insert("products", [{"ProductID": 2, "name": "y"}])
    assert shop.last_seq > seq


async def test_other_tools_read_the_file_while_we_hold_it(shop: Database, tmp_path: Path) -> None:
    await shop.insert("products", [{"ProductID": 1, "name": "Chai", "price": "18.5", "active": False}])
    other = sqlite3.connect(f"file:{tmp_path / 'app.db'}?mode=ro", uri=True)
    query = "SELECT ProductID, name, price, active, typeof(price) FROM products"
    assert other.execute(query).fetchall() == [(1, "Chai", 18.5, 0, "real")]
    other.close()
    printed = subprocess.run(
        ["sqlite3", str(tmp_path / "app.db"), "SELECT name FROM products"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout == "Chai\n"


async def test_collections_named_as_parts_of_another_ones_search_index(db: Database) -> None:
    """FTS5 makes tables of its own beside an index: `…_data`, `…_idx`, `…_docsize`, `…_config`."""
    searched = {"fields": {"a": "text"}, "full_text": ["a"]}
    await db.define(collections(user=searched, user_config={"fields": {"a": "text"}}))
    await db.insert("user", [{"a": "word"}])
    await db.define(collections(user_data=searched, user_config=searched, user_idx={}))
    await db.insert("user_config", [{"a": "word"}])
    await db.drop("user_idx")
    await db.drop("user_data")
    for name in ("user", "user_config"):
        assert len((await db.select(name, parse_query([("a", "fts.word")]))).rows) == 1


async def test_identity_may_be_named_in_unique_and_relations_but_not_searched(db: Database) -> None:
    relation = {"fields": "id", "to": "people"}
    await db.define(
        collections(
            people={"fields": {"x": "text"}, "unique": [["id", "x"]]},
            badges={"fields": {}, "relations": [relation]},
        )
    )
    await db.insert("people", [{"id": "ann", "x": "1"}])
    await db.insert("badges", [{"id": "ann"}])
    with pytest.raises(RelationViolation):
        await db.insert("badges", [{"id": "bob"}])
    with pytest.raises(RelationViolation):
        await db.delete("people", parse_query([("id", "eq.ann")]))
    merge = InsertOptions(resolution="merge", on_conflict=("id", "x"))
    assert (await db.insert("people", [{"id": "ann", "x": "1", "y": 2}], merge)).created == 0
    with pytest.raises(ConfigError):
        parse_collection("t", {"full_text": ["id"]})


async def test_nothing_of_a_dropped_collection_stays(shop: Database) -> None:
    revision = await shop.put("notes", Edit("a", {"x": 1}))
    await shop.mark_synced("notes", "phone", [("a", revision)])
    number = shop.collection("notes").number
    await shop.drop("notes")
    for table in ("fields", "tombstones", "revisions", "attachments", "synced"):
        sql = f"SELECT count(*) FROM localsrv_{table} WHERE collection = ?"
        assert (await shop.raw_query(sql, [number])).rows == [(0,)], table


@pytest.mark.parametrize(
    ("given", "policy", "field", "written"),
    [
        ({}, "keep", None, None),
        ({"conflicts": "keep"}, "keep", None, None),
        ({"conflicts": "merge"}, "merge", None, "merge"),
        ({"conflicts": {"latest": "at"}}, "latest", "at", {"latest": "at"}),
        # as it was written at first
        ({"conflict": "merge"}, "merge", None, "merge"),
        ({"conflict": "latest", "latest_field": "at"}, "latest", "at", {"latest": "at"}),
        ({"latest_field": "at"}, "keep", None, None),
    ],
)
def test_what_becomes_of_conflicts(
    given: dict[str, Any], policy: str, field: str | None, written: Any
) -> None:
    found = parse_collection("things", {"fields": {"at": "timestamptz"}, **given})
    assert (found.conflict, found.latest_field) == (policy, field)
    assert as_json(found).get("conflicts") == written
    assert parse_collection("things", as_json(found)) == found
