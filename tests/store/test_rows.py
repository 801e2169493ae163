"""The data face's writes: identity, upsert, rules, locks, all or nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localsrv.base.errors import (
    BadRequest,
    Conflict,
    InvalidValue,
    LocalsrvError,
    NotFound,
    PreconditionFailed,
    RelationViolation,
    SchemaViolation,
    UniqueViolation,
)
from localsrv.model.query import parse_query
from localsrv.store.database import Database, Edit, InsertOptions, UpdateOptions
from tests.store.conftest import collections

ALL = parse_query([])


def where(**filters: str) -> Any:
    return parse_query(list(filters.items()))


async def rows(db: Database, name: str = "products", **filters: str) -> list[dict[str, Any]]:
    return [json.loads(r) for r in (await db.select(name, where(**filters))).rows]


async def test_rows_without_a_key_get_an_id_that_sorts_by_time(shop: Database) -> None:
    ids = (await shop.insert("notes", [{"text": str(n)} for n in range(200)])).ids
    assert ids == sorted(ids) and len(set(ids)) == 200
    assert all(i[14] == "7" and i[19] in "89ab" and len(i) == 36 for i in ids)
    mine = await shop.insert("notes", [{"id": "mine", "text": "x"}], InsertOptions(returning=ALL))
    assert [json.loads(r) for r in mine.rows] == [{"id": "mine", "text": "x"}]
    assert "id" not in json.loads(
        (await shop.raw_query("SELECT _body FROM notes WHERE _id = 'mine'")).rows[0][0]
    )


async def test_a_key_is_the_identity(shop: Database) -> None:
    await shop.define(
        collections(lines={"fields": {"o": "integer", "p": "text", "q": "integer"}, "key": ["o", "p"]})
    )
    await shop.insert("lines", [{"o": 1, "p": "a", "q": 5}])
    assert json.loads(shop.get_row("lines", '[1,"a"]')[0]) == {"o": 1, "p": "a", "q": 5}  # type: ignore[index]
    with pytest.raises(Conflict) as caught:
        await shop.insert("lines", [{"o": 2, "p": "b"}, {"o": 1, "p": "a"}])
    assert caught.value.code == "document-exists"
    assert shop.collection("lines").documents == 1
    with pytest.raises(SchemaViolation):
        await shop.insert("lines", [{"o": 1}])
    with pytest.raises(InvalidValue) as keyed:
        await shop.update("lines", where(o="eq.1"), {"p": "z"})
    assert keyed.value.code == "key-immutable"


async def test_upsert_merges_and_says_what_happened(shop: Database) -> None:
    merge = InsertOptions(resolution="merge", returning=ALL)
    first = await shop.insert("products", [{"ProductID": 1, "name": "Chai", "price": 18}], merge)
    assert (first.created, first.affected) == (1, 1)
    both = await shop.insert(
        "products", [{"ProductID": 1, "name": "Chai", "price": 20}, {"ProductID": 2, "name": "Chang"}], merge
    )
    assert (both.created, both.affected) == (1, 2)
    assert [(r["ProductID"], r["price"]) for r in map(json.loads, both.rows)] == [(1, 20), (2, None)]
    seq = shop.last_seq
    await shop.insert("products", [{"ProductID": 1, "name": "Chai", "price": 20}], merge)
    assert shop.last_seq == seq  # nothing changed, so no revision
    ignored = await shop.insert(
        "products", [{"ProductID": 1, "name": "No"}, {"ProductID": 3, "name": "New"}],
        InsertOptions(resolution="ignore", returning=ALL),
    )  # fmt: skip
    assert [json.loads(r)["ProductID"] for r in ignored.rows] == [3]
    assert (await rows(shop, ProductID="eq.1"))[0]["name"] == "Chai"


async def test_upsert_on_a_unique_field(shop: Database) -> None:
    await shop.insert("products", [{"ProductID": 1, "name": "Chai", "code": "C1"}])
    options = InsertOptions(resolution="merge", on_conflict=("code",))
    with pytest.raises(InvalidValue):  # it would change the key of the row it meets
        await shop.insert("products", [{"ProductID": 9, "name": "Tea", "code": "C1"}], options)
    await shop.insert("products", [{"ProductID": 1, "name": "Tea", "code": "C1"}], options)
    assert [r["name"] for r in await rows(shop)] == ["Tea"]
    with pytest.raises(BadRequest) as caught:
        await shop.insert("products", [{"ProductID": 1, "name": "x"}], InsertOptions("merge", ("name",)))
    assert caught.value.code == "no-such-unique"


async def test_a_bulk_insert_happens_whole_or_not_at_all(shop: Database) -> None:
    good = [{"ProductID": n, "name": f"p{n}", "CategoryID": 1} for n in range(1, 500)]
    for bad, error in [
        ({"ProductID": 7, "name": "twice"}, Conflict),
        ({"ProductID": 600, "name": "x", "CategoryID": 99}, RelationViolation),
        ({"ProductID": 600}, SchemaViolation),
        ({"ProductID": "six", "name": "x"}, InvalidValue),
        ({"ProductID": 600, "name": "x", "NAME": "y"}, InvalidValue),
    ]:
        seq = shop.last_seq
        with pytest.raises(error):
            await shop.insert("products", [*good, bad])
        assert (shop.collection("products").documents, (await shop.changes(seq)).changes) == (0, [])
        assert (await shop.raw_query("SELECT count(*) FROM products")).rows == [(0,)]
    assert (await shop.insert("products", good)).created == 499
    assert (await shop.raw_query("SELECT count(*) FROM localsrv_products_fts('p17*')")).rows == [(11,)]


async def test_unique_fields_hold_against_two_writers_at_once(shop: Database) -> None:
    done = await asyncio.gather(
        *(shop.insert("products", [{"ProductID": n, "name": "x", "code": "same"}]) for n in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(d, UniqueViolation) for d in done) == 19
    assert len(await rows(shop)) == 1
    await shop.insert(
        "products", [{"ProductID": 50, "name": "x", "code": None}, {"ProductID": 51, "name": "y"}]
    )
    with pytest.raises(UniqueViolation):
        await shop.update("products", where(ProductID="eq.50"), {"code": "same"})


async def test_relations_bind_both_ends(shop: Database) -> None:
    await shop.insert("products", [{"ProductID": 1, "name": "Chai", "CategoryID": 1}])
    with pytest.raises(RelationViolation):
        await shop.delete("categories", where(CategoryID="eq.1"))
    with pytest.raises(RelationViolation):
        await shop.update("products", where(ProductID="eq.1"), {"CategoryID": 2})
    await shop.delete("products", where(ProductID="eq.1"))
    assert (await shop.delete("categories", where(CategoryID="eq.1"))).affected == 1


@pytest.mark.parametrize("on_delete", ["cascade", "set-null"])
async def test_on_delete(db: Database, on_delete: str) -> None:
    await db.define(
        collections(
            parents={"fields": {"name": "text"}},
            children={
                "fields": {"parent": "text"},
                "relations": [{"fields": "parent", "to": "parents", "on_delete": on_delete}],
            },
        )
    )
    await db.insert("parents", [{"id": "p"}, {"id": "q"}])
    await db.insert(
        "children", [{"id": "a", "parent": "p"}, {"id": "b", "parent": "q"}, {"id": "c", "parent": "p"}]
    )
    await db.delete("parents", where(id="eq.p"))
    left = {r["id"]: r["parent"] for r in await rows(db, "children")}
    assert left == ({"b": "q"} if on_delete == "cascade" else {"a": None, "b": "q", "c": None})


async def test_a_relation_to_itself_may_arrive_in_any_order(db: Database) -> None:
    staff = {
        "fields": {"n": "integer", "boss": "integer"},
        "key": "n",
        "relations": [{"fields": "boss", "to": "staff"}],
    }
    await db.define(collections(staff=staff))
    await db.insert("staff", [{"n": 1, "boss": 2}, {"n": 2, "boss": None}])
    with pytest.raises(RelationViolation):
        await db.delete("staff", where(n="eq.2"))
    assert (await db.delete("staff", ALL)).affected == 2  # together they leave nobody behind


async def test_locks(shop: Database) -> None:
    await shop.insert("products", [{"ProductID": 1, "name": "Chai"}])
    _, revision = shop.get_row("products", "1")  # type: ignore[misc]
    one = where(ProductID="eq.1")
    for attempt in (
        shop.update("products", one, {"name": "x"}, UpdateOptions(if_match="1-other")),
        shop.update("products", one, {"name": "x", "_rev": "1-other"}),
        shop.delete("products", one, UpdateOptions(if_match="1-other")),
        shop.insert("products", [{"ProductID": 1, "name": "x", "_rev": "1-other"}], InsertOptions("merge")),
    ):
        with pytest.raises(PreconditionFailed):
            await attempt
    done = await asyncio.gather(
        *(
            shop.update("products", one, {"name": f"n{n}"}, UpdateOptions(if_match=revision))
            for n in range(5)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(d, PreconditionFailed) for d in done) == 4
    assert shop.get_row("products", "1")[1].startswith("2-")  # type: ignore[index]


async def test_patch_keeps_what_it_does_not_name(shop: Database) -> None:
    await shop.import_documents(
        "products", [{"ProductID": 1, "name": None, "sold_at": "last spring", "x": 1}]
    )
    await shop.update("products", where(ProductID="eq.1"), {"price": 5, "x": None})
    assert (await rows(shop))[0] | {"name": None, "sold_at": "last spring", "price": 5, "x": None} == (
        await rows(shop)
    )[0]
    seq = shop.last_seq
    result = await shop.update(
        "products", where(ProductID="eq.1"), {"price": 5}, UpdateOptions(returning=ALL)
    )
    assert (shop.last_seq, result.affected, len(result.rows)) == (seq, 1, 1)


async def test_max_affected_and_rollback(shop: Database) -> None:
    await shop.insert("notes", [{"text": str(n)} for n in range(5)])
    with pytest.raises(BadRequest):
        await shop.delete("notes", ALL, UpdateOptions(max_affected=4))
    dry = await shop.delete("notes", ALL, UpdateOptions(rollback=True, returning=ALL))
    assert (len(dry.rows), dry.affected, shop.collection("notes").documents) == (5, 5, 5)
    await shop.insert("notes", [{"id": "new"}], InsertOptions(rollback=True))
    assert shop.get_row("notes", "new") is None and shop.collection("notes").documents == 5


async def test_types_are_fitted_or_refused(shop: Database) -> None:
    await shop.insert("products", [{"ProductID": "7", "name": 5, "price": "1.50", "active": "yes"}])
    assert (await rows(shop))[0] | {"ProductID": 7, "name": "5", "price": "1.50", "active": True} == (
        await rows(shop)
    )[0]
    for field, value in [
        ("ProductID", 1.5), ("ProductID", True), ("name", {"a": 1}), ("price", "NaN"),
        ("price", "1,5"), ("active", "maybe"), ("active", 1), ("sold_at", "tomorrow"), ("sold_at", 5),
    ]:  # fmt: skip
        with pytest.raises(InvalidValue) as caught:
            await shop.insert("products", [{"ProductID": 8, "name": "x", field: value}])
        assert field in (caught.value.details or "")
    with pytest.raises(InvalidValue) as large:
        await shop.insert("products", [{"ProductID": 2**63, "name": "x"}])
    assert large.value.code == "out-of-range"


async def test_schema_strictness_and_defaults(db: Database) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}}
    fields = {
        "age": "integer",
        "kind": {"default": "person"},
        "at": {"type": "timestamptz", "default": {"call": "now"}},
    }
    await db.define(collections(people={"fields": fields, "schema": schema, "strict": True}))
    result = await db.insert("people", [{"age": 5}], InsertOptions(returning=ALL))
    row = json.loads(result.rows[0])
    assert row["kind"] == "person" and row["at"].endswith("Z")
    with pytest.raises(SchemaViolation) as caught:
        await db.insert("people", [{"age": -1}])
    assert "-1 is less than the minimum of 0" in caught.value.message and caught.value.details == "At /age."
    with pytest.raises(SchemaViolation):
        await db.insert("people", [{"age": 1, "height": 2}])
    with pytest.raises(SchemaViolation):
        await db.update("people", ALL, {"age": -5})


@pytest.mark.parametrize(
    "name", ['a"b', "with space", "x'; DROP TABLE notes; --", "é.ü", "a.b", "$x", "[0]", "select"]
)
async def test_awkward_field_names(db: Database, name: str) -> None:
    await db.define(collections(t={"fields": {name: "text"}, "indexes": [name], "full_text": [name]}, u={}))
    for collection in ("t", "u"):
        await db.insert(collection, [{"id": "1", name: "value"}])
        assert await rows(db, collection) == [{"id": "1", name: "value"}]
        quoted_name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        found = await db.select(collection, parse_query([(quoted_name, "eq.value"), ("select", quoted_name)]))
        assert [json.loads(r) for r in found.rows] == [{name: "value"}]
        await db.update(collection, ALL, {name: "other"})
        assert (await rows(db, collection))[0][name] == "other"


async def test_unknown_names(shop: Database) -> None:
    with pytest.raises(NotFound) as caught:
        await shop.insert("product", [{}])
    assert caught.value.hint == "Did you mean `products`?"
    with pytest.raises(LocalsrvError) as column:
        await shop.select("products", where(nmae="eq.x"))
    assert column.value.code == "unknown-column" and "name" in (column.value.hint or "")
    await shop.insert("notes", [{"text": "a", "seen": 1}])
    assert len(await rows(shop, "notes", seen="eq.1")) == 1  # ever seen, so it may be named


async def test_import_is_tolerant_and_repeatable(shop: Database) -> None:
    documents = [
        {
            "ProductID": 1,
            "name": "a",
            "code": "same",
            "_attachments": {"p": {"content_type": "image/png", "data": "AAEC"}},
        },
        {"ProductID": 2, "name": "b", "code": "same", "CategoryID": 5},
        {"ProductID": 3},
    ]
    first = await shop.import_documents("products", documents)
    assert (first.created, first.updated, first.unchanged) == (3, 0, 0)
    assert {(v.id, v.kind) for v in first.violations} == {
        ("1", "unique"), ("2", "unique"), ("3", "required"),
    } or first.violation_count >= 3  # fmt: skip
    assert {(v.id, v.kind) for v in await shop.violations("products")} == {
        ("1", "unique"), ("2", "unique"), ("2", "relation"), ("3", "required"),
    }  # fmt: skip
    seq = shop.last_seq
    again = await shop.import_documents("products", documents)
    assert (again.created, again.updated, again.unchanged, shop.last_seq) == (0, 0, 3, seq)
    changed = await shop.import_documents("products", [{**documents[0], "name": "z"}])
    assert (changed.updated, shop.get_document("products", "1").attachments[0].revpos) == (1, 1)  # type: ignore[union-attr]
    assert [c.source for c in (await shop.changes(0, ["products"])).changes] == ["import"] * 3
    with pytest.raises(LocalsrvError):
        await shop.import_documents("products", [{"ProductID": 8, "name": "ok"}, {"name": "no key"}])
    assert shop.get_row("products", "8") is None


async def test_names_that_differ_by_case_meet_within_and_between_requests(shop: Database) -> None:
    with pytest.raises(InvalidValue):
        await shop.insert("notes", [{"Extra": 1}, {"extra": 2}])
    with pytest.raises(InvalidValue):
        await shop.update("notes", ALL, {"Extra": 1, "extra": 2})
    done = await asyncio.gather(
        shop.insert("notes", [{"Note": 1}]), shop.insert("notes", [{"note": 2}]), return_exceptions=True
    )
    assert [type(d) for d in done] == [type(done[0]), InvalidValue]
    await shop.insert("notes", [{"extra": 1}])  # the refused request left no name behind


async def test_cascades_are_deep_and_go_in_circles(db: Database) -> None:
    up = {"fields": "up", "on_delete": "cascade"}
    await db.define(
        collections(
            chain={"fields": {"up": "text"}, "relations": [{**up, "to": "chain"}]},
            left={"fields": {"up": "text"}, "relations": [{**up, "to": "right"}]},
            right={"fields": {"up": "text"}, "relations": [{**up, "to": "left"}]},
        )
    )
    await db.insert("chain", [{"id": "0"}, *({"id": str(n), "up": str(n - 1)} for n in range(1, 1500))])
    await db.delete("chain", parse_query([("id", "eq.0")]))
    assert (db.collection("chain").documents, db.collection("chain").tombstones) == (0, 1500)
    await db.insert("chain", [{"id": "a"}, {"id": "b", "up": "a"}])
    await db.update("chain", parse_query([("id", "eq.a")]), {"up": "b"})
    await db.delete("chain", parse_query([("id", "eq.b")]))
    await db.insert("left", [{"id": "l"}])
    await db.insert("right", [{"id": "r", "up": "l"}])
    await db.update("left", parse_query([("id", "eq.l")]), {"up": "r"})
    await db.delete("left", parse_query([("id", "eq.l")]))
    assert [db.collection(n).documents for n in ("chain", "left", "right")] == [0, 0, 0]


async def test_relations_compare_columns_not_spellings(db: Database) -> None:
    await db.define(
        collections(
            days={"fields": {"at": "timestamptz", "n": "decimal"}, "unique": ["at", "n"]},
            notes={
                "fields": {"day": "timestamptz", "n": "decimal"},
                "relations": [
                    {"fields": "day", "to": "days", "to_fields": "at", "on_delete": "set-null"},
                    {"fields": "n", "to": "days", "to_fields": "n", "name": "by_n", "on_delete": "cascade"},
                ],
            },
        )
    )
    await db.insert("days", [{"id": "d", "at": "2026-01-01T00:00:00Z", "n": "1.0"}])
    await db.insert("notes", [{"id": "a", "day": "2026-01-01T01:00:00+01:00"}, {"id": "b", "n": 1}])
    with pytest.raises(RelationViolation):
        await db.insert("notes", [{"day": "2026-01-02T00:00:00Z"}])
    with pytest.raises(RelationViolation):
        await db.update("days", parse_query([("id", "eq.d")]), {"at": "2026-01-02T00:00:00Z"})
    await db.update("days", parse_query([("id", "eq.d")]), {"at": "2026-01-01T02:00:00+02:00"})
    with pytest.raises(UniqueViolation):
        await db.insert("days", [{"at": "2026-01-01T00:00:00+00:00"}])
    await db.delete("days", parse_query([("id", "eq.d")]))
    assert json.loads(db.get_row("notes", "a")[0])["day"] is None  # type: ignore[index]
    assert db.get_row("notes", "b") is None


async def test_a_replicated_document_whose_id_is_not_its_key_can_be_mended(shop: Database) -> None:
    edits = [
        Edit("x", {"ProductID": 9, "name": "odd"}, path=("1-x",)),
        Edit("7", {"name": "keyless"}, path=("1-y",)),
    ]
    await shop.put_many("products", edits, new_edits=False)
    await shop.update("products", parse_query([("name", "eq.odd")]), {"price": 5})
    await shop.update("products", parse_query([("name", "eq.keyless")]), {"price": 5})
    with pytest.raises(InvalidValue):
        await shop.update("products", parse_query([("name", "eq.odd")]), {"ProductID": 10})
    await shop.update("products", parse_query([("name", "eq.keyless")]), {"ProductID": 7})
    assert json.loads(shop.get_row("products", "7")[0])["ProductID"] == 7  # type: ignore[index]


async def test_an_upsert_is_checked_as_the_whole_it_becomes(db: Database) -> None:
    schema = {"not": {"required": ["a", "b"]}}
    await db.define(collections(t={"fields": {"a": "text", "b": "text"}, "schema": schema}))
    await db.insert("t", [{"id": "x", "a": "1"}])
    with pytest.raises(SchemaViolation):
        await db.insert("t", [{"id": "x", "b": "1"}], InsertOptions(resolution="merge"))
    assert json.loads(db.get_row("t", "x")[0]) == {"id": "x", "a": "1", "b": None}  # type: ignore[index]
