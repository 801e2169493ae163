"""Selectors in SQL: whatever the selector and the documents, SQL and memory choose the same."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localsrv.model.mango_index import Index
from localsrv.model.mango_order import order_key
from localsrv.model.schema import Collection
from localsrv.model.selector import parse_selector
from localsrv.store.catalog import CollectionState
from localsrv.store.driver import connect
from localsrv.store.functions import register
from localsrv.store.mango_indexes import sql_index
from localsrv.store.mango_sql import Compiler
from localsrv.store.mango_values import prefix_end, source_at, sql_literal

T = CollectionState(1, Collection("t"), frozenset())
TEXTS = ["", "a", "ab", "b", "é", "￿", "\U0001f600", "x'y", '"']
NUMBERS: list[Any] = [0, 1, -1, 1.0, 2.5, -7, 2**53 + 1, 2**53, 2**63 - 1, -(2**63), 1e300]
NUMBERS += [-1.7976931348623157e308, -1.7976931348623155e308, -1.79e308, 1.7976931348623157e308, 5e-324, -0.0]

scalars = st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), st.sampled_from(TEXTS))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "3", "_id"]), inner, max_size=3),
    ),
    max_leaves=6,
)
documents = st.dictionaries(st.sampled_from(["a", "b", "c.d", "3", "ü"]), values, max_size=4)
paths = st.sampled_from(
    ["a", "b", "a.b", "a.a", "b.3", "a.3.b", "c\\.d", "3", "ü", "a.0", "_id", "_rev", "_x"]
)


def conditions(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]), values),
        st.tuples(st.sampled_from(["$in", "$nin", "$all"]), st.lists(values, max_size=3)),
        st.tuples(st.just("$exists"), st.booleans()),
        st.tuples(
            st.just("$type"),
            st.sampled_from(["null", "boolean", "number", "string", "array", "object", "bird"]),
        ),
        st.tuples(st.just("$size"), st.integers(0, 3)),
        st.tuples(st.just("$mod"), st.tuples(st.sampled_from([1, 2, -3]), st.integers(-2, 2)).map(list)),
        st.tuples(st.just("$regex"), st.sampled_from(["^a", "b$", "", "(?i)A", "."])),
        st.tuples(st.just("$beginsWith"), st.sampled_from(TEXTS)),
        st.tuples(st.just("$not"), inner),
        st.tuples(st.sampled_from(["$elemMatch", "$allMatch", "$keyMapMatch"]), inner),
    ).map(lambda pair: {pair[0]: pair[1]})


condition = st.deferred(lambda: st.one_of(conditions(condition), selectors, values.filter(_is_plain)))
selectors: st.SearchStrategy[Any] = st.deferred(
    lambda: st.one_of(
        st.dictionaries(paths, st.one_of(conditions(condition), values.filter(_is_plain)), max_size=2),
        st.tuples(st.sampled_from(["$and", "$or", "$nor"]), st.lists(selectors.filter(bool), max_size=3)).map(
            lambda pair: {pair[0]: pair[1]}
        ),
    )
)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict)


@pytest.fixture(scope="module")
def table() -> Any:
    """A connection as the readers have it, with an empty table as a collection has it."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        connection = connect(Path(folder) / "t.db")
        register(connection)
        connection.execute("CREATE TABLE t (_id TEXT NOT NULL UNIQUE, _rev TEXT, _body TEXT NOT NULL)")
        for name in ("revisions", "attachments"):
            connection.execute(f"CREATE TABLE localsrv_{name} (collection, id, rev, state)")
        yield connection
        connection.close()


def nested(operator: str, condition: Any, times: int) -> Any:
    """A condition within an operator within an operator …"""
    for _ in range(times):
        condition = {operator: condition}
    return condition


def fill(connection: Any, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Makes these the table's documents and returns them as selectors see them."""
    connection.execute("DELETE FROM t")
    rows = [(f"a{i}", f"1-{i}", orjson.dumps(document).decode()) for i, document in enumerate(found)]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    return [{"_id": i, "_rev": r, **orjson.loads(body)} for i, r, body in rows]


def chosen(connection: Any, sql: str, parameters: dict[str, Any]) -> list[str]:
    return [i for (i,) in connection.execute(f"SELECT _id FROM t WHERE {sql} ORDER BY _id", parameters)]


@settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(found=st.lists(documents, min_size=1, max_size=8), selector=selectors)
def test_sql_and_memory_choose_the_same(table: Any, found: list[dict[str, Any]], selector: Any) -> None:
    try:
        parsed = parse_selector(selector)
    except Exception as error:
        assert getattr(error, "couch_error", None) in ("invalid_selector", "bad_arg"), error
        return
    stored = fill(table, found)
    expected = [d["_id"] for d in stored if parsed.matches(d)]
    compiler = Compiler(1)
    condition = compiler.condition(parsed.root)
    candidates = chosen(table, condition.sql, compiler.parameters)
    assert set(expected) <= set(candidates), (selector, condition.sql)
    if condition.is_exact:
        assert candidates == expected, (selector, condition.sql)
    again = parse_selector(parsed.as_json())
    assert [d["_id"] for d in stored if again.matches(d)] == expected  # the normal form is a selector itself


@settings(max_examples=200, deadline=None)
@given(found=st.lists(documents, min_size=1, max_size=8), selector=selectors)
def test_the_filter_of_a_partial_index_leaves_no_match_out(
    table: Any, found: list[dict[str, Any]], selector: Any
) -> None:
    try:
        parsed = parse_selector(selector)
    except Exception:
        return
    stored = fill(table, found)
    index = sql_index(T, Index("_design/i", "i", (("_id", "asc"),), parsed if parsed.root else None))
    assert index is not None
    table.execute(index.statement)
    where = " AND ".join(index.terms) or "1"
    indexed = [i for (i,) in table.execute(f'SELECT _id FROM t INDEXED BY "{index.name}" WHERE {where}')]
    table.execute(f'DROP INDEX "{index.name}"')
    expected = {d["_id"] for d in stored if parsed.matches(d)}
    assert expected <= set(indexed)
    if index.filter_is_exact:
        assert expected == set(indexed)


@settings(max_examples=200, deadline=None)
@given(found=st.lists(values, min_size=2, max_size=12))
def test_keys_order_as_values_do(table: Any, found: list[Any]) -> None:
    """All values but arrays among arrays, objects among objects, and numbers below -1.79e308."""
    stored = fill(table, [{"a": value} for value in found])
    source = source_at(("a",))
    assert source is not None
    rows = table.execute(f"SELECT _id FROM t ORDER BY ({source.key}), _id").fetchall()

    def place(document: dict[str, Any]) -> Any:
        key = order_key(document["a"])
        if key[0] in (5, 6):
            key = key[:1]
        elif key[0] == 3:
            key = (3, max(key[1], -1.79e308))
        return key

    by_id = {document["_id"]: document for document in stored}
    ordered = [place(by_id[i]) for (i,) in rows]
    assert ordered == sorted(ordered)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("a", "b"), ("", b""), ("a\U0010ffff", "b"), ("\ud7ff", "\ue000"), ("\U0010ffff", b""), ("az", "a{")],
)
def test_the_end_of_a_prefix(prefix: str, end: str | bytes) -> None:
    assert prefix_end(prefix) == end


@pytest.mark.parametrize("value", ["x'y", b"[1]", 5, -1.79e308, 0.1, float("-inf"), 2**63 - 1])
def test_literals_are_the_values(value: Any) -> None:
    assert sqlite3.connect(":memory:").execute(f"SELECT {sql_literal(value)}").fetchone()[0] == value


@pytest.mark.parametrize(
    "selector",
    [
        {"$or": [{"a": n} for n in range(2000)]},
        {"a": {"$in": list(range(20_000))}},
        {"$and": [{"a": {"$ne": n}} for n in range(5, 3000)]},
        {"a": {"$all": list(range(2000))}},
        {"$or": [{"a": {"$in": list(range(1000))}} for _ in range(200)]},
        {"a": nested("$elemMatch", {"$eq": 3}, 90)},
        {"a": nested("$allMatch", {"b": {"$exists": False}}, 90)},
        {"a": nested("$not", {"$gt": 2}, 90)},
        {"a": nested("$elemMatch", {"$or": [{"$eq": 3}, {"$elemMatch": {"$in": [1, 2]}}]}, 40)},
        {".".join("a" * 90): 1},
    ],
    ids=["or", "in", "and", "all", "ins", "elements", "all elements", "not", "or in elements", "path"],
)
def test_large_selectors_are_answered(table: Any, selector: dict[str, Any]) -> None:
    stored = fill(table, [{"a": 3}, {"a": [3]}, {"b": 3}])
    parsed = parse_selector(selector)
    compiler = Compiler(1)
    condition = compiler.condition(parsed.root)
    candidates = chosen(table, condition.sql, compiler.parameters)
    assert {d["_id"] for d in stored if parsed.matches(d)} <= set(candidates)
