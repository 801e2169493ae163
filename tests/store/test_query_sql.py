"""Queries compiled and run against real tables in the store's layout."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localsrv.base.errors import LocalsrvError
from localsrv.model.query import Operator, parse_query
from localsrv.model.schema import FieldType
from localsrv.store.driver import quoted, sqlite3
from localsrv.store.functions import register
from localsrv.store.query_sql import (
    compile_count,
    compile_rows,
    compile_select,
    compile_targets,
    compile_where,
    finish_row,
)
from localsrv.store.query_table import TableInfo

F = FieldType
FIELDS = {
    "num": F.INTEGER,
    "name": F.TEXT,
    "price": F.DECIMAL,
    "ratio": F.NUMBER,
    "on": F.BOOLEAN,
    "day": F.DATE,
    "at": F.TIMESTAMPTZ,
    "tags": F.JSON,
    'we"ird, (na.me)': F.TEXT,
}
SQL_TYPE = {F.INTEGER: "INTEGER", F.DECIMAL: "NUMERIC", F.NUMBER: "REAL", F.BOOLEAN: "BOOLEAN"}
DOCUMENTS: list[dict[str, Any]] = [
    {
        "num": 1,
        "name": "Chai",
        "price": "18.00",
        "ratio": 0.5,
        "on": True,
        "day": "2024-01-02",
        "at": "2024-01-02T10:00:00+00:00",
        "tags": ["a", "b c"],
        'we"ird, (na.me)': "x",
        "free": 5,
    },
    {
        "num": 2,
        "name": "Chang*",
        "price": 19,
        "on": False,
        "day": "2024-02-01",
        "tags": {"k": {"deep": [1, 2]}},
        "free": "5",
        "extra": {"a.b": {'q"q': [{"n": 1}, {"n": 2.50}]}, "t": True},
    },
    {"num": 3, "name": "Über 100%", "price": "100.50", "on": None, "free": 7, "extra": {"a.b": None}},
    {"num": 4, "name": "über_all", "free": "text", "tags": [1, 2, 3]},
    {"num": 5, "name": None, "price": "9.99", "free": True},
]


def column_value(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


@pytest.fixture
def db() -> Any:
    connection = sqlite3.connect(":memory:")
    register(connection)
    columns = ", ".join(f"{quoted(n)} {SQL_TYPE.get(t, 'TEXT')}" for n, t in FIELDS.items())
    connection.execute(
        "CREATE TABLE goods(_row INTEGER PRIMARY KEY, _id TEXT NOT NULL UNIQUE, _rev TEXT NOT NULL,"
        f" _seq INTEGER NOT NULL, _body TEXT NOT NULL, {columns})"
    )
    marks = ", ".join("?" * (4 + len(FIELDS)))
    for i, d in enumerate(DOCUMENTS):
        connection.execute(
            f"INSERT INTO goods (_id, _rev, _seq, _body, {', '.join(map(quoted, FIELDS))}) VALUES ({marks})",
            (
                f"id{i + 1}",
                f"1-{i}",
                i,
                json.dumps(d, ensure_ascii=False),
                *(column_value(d.get(n)) for n in FIELDS),
            ),
        )
    names = f"name, {quoted(chr(119) + 'e' + chr(34) + 'ird, (na.me)')}"
    connection.execute(
        f"CREATE VIRTUAL TABLE localsrv_goods_fts USING fts5({names}, content=goods, content_rowid=_row,"
        " tokenize='unicode61 remove_diacritics 2')"
    )
    connection.execute("INSERT INTO localsrv_goods_fts(localsrv_goods_fts) VALUES ('rebuild')")
    yield connection
    connection.close()


TABLE = TableInfo(
    name="goods",
    identity=("id",),
    fields=FIELDS,
    known_fields=frozenset([*FIELDS, "free", "extra"]),
    full_text={"name": 2.0, 'we"ird, (na.me)': 1.0},
)


def run(db: Any, query: str, table: TableInfo = TABLE) -> list[dict[str, Any]]:
    statement = compile_select(parse_query(parse_qsl(query, keep_blank_values=True)), table)
    return [json.loads(statement.finish(row)) for row in db.execute(statement.sql, statement.params)]


FILTERS = [
    ("num=eq.2", [2]),
    ("num=neq.2", [1, 3, 4, 5]),
    ("num=gt.3", [4, 5]),
    ("num=gte.4", [4, 5]),
    ("num=lt.2", [1]),
    ("num=lte.1", [1]),
    ("num=not.eq.2", [1, 3, 4, 5]),
    ("num=in.(1,3,99)", [1, 3]),
    ("num=in.()", []),
    ("num=not.in.(1,3)", [2, 4, 5]),
    ("id=eq.id4", [4]),
    ("id=in.(id1,id2)", [1, 2]),
    ("_rev=eq.1-0", [1]),
    ("name=eq.Chai", [1]),
    ("name=is.null", [5]),
    ("name=not.is.null", [1, 2, 3, 4]),
    ("name=is.not_null", [1, 2, 3, 4]),
    ("name=isdistinct.Chai", [2, 3, 4, 5]),
    ("price=isdistinct.19.0", [1, 3, 4, 5]),
    ("price=eq.18", [1]),
    ("price=gt.18.5", [2, 3]),
    ("price=lt.10.0", [5]),
    ("price=in.(9.990,19)", [2, 5]),
    ("ratio=eq.5e-1", [1]),
    ("ratio=gt.NaN", []),
    ("on=is.true", [1]),
    ("on=eq.f", [2]),
    ("on=is.unknown", [3, 4, 5]),
    ("on=in.(true,no)", [1, 2]),
    ("day=gte.2024-01-15", [2]),
    ("day=eq.2024-01-02T00:00:00", [1]),
    ("at=eq.2024-01-02T12:00:00%2B02:00", [1]),
    ("at=gt.2024-01-02T10:00:00Z", []),
    ("name=like.Ch*", [1, 2]),
    ("name=like.ch*", []),
    ("name=ilike.ch*", [1, 2]),
    ("name=like.*a_", [1]),
    ("name=like.*\\**", [3]),
    ("name=like.Chang%5C*", []),
    ("name=like.Chang_", [2]),
    ("name=like.*100%5C%25", [3]),
    ("name=like.Über*", [3]),
    ("name=ilike.ÜBER*", [3, 4]),
    ("name=ilike.%25b%25e%25r%25a%25l%25", [4]),
    ("name=not.like.Ch*", [3, 4]),
    ("name=like.[C]*", []),
    ("name=like(any).{Chai,*_all}", [1, 4]),
    ("name=ilike(all).{*b*,*r*}", [3, 4]),
    ("name=not.like(any).{Ch*}", [3, 4]),
    ("num=gt(all).{1,2}", [3, 4, 5]),
    ("num=eq(any).{1,2}", [1, 2]),
    ("num=lt(any).{1,3}", [1, 2]),
    ("name=match.^Ch", [1, 2]),
    ("name=imatch.^ÜB", [3, 4]),
    ("name=match.(a|b)%2B$", []),
    ("free=eq.5", [1, 2]),
    ("free=gt.5", [3]),
    ("free=gte.text", [4, 5]),
    ("free=eq.true", [5]),
    ("free=is.true", [5]),
    ("free=in.(5,7)", [1, 2, 3]),
    ("free=neq.5", [3, 4, 5]),
    ("free=isdistinct.5", [3, 4, 5]),
    ("extra=is.null", [1, 4, 5]),
    ("free=like.te*", [4]),
    ('extra->"a.b"->"q\\"q"->0->n=eq.1', [2]),
    ('extra->"a.b"->"q\\"q"->-1->>n=eq.2.5', [2]),
    ('extra->"a.b"->"q\\"q"->1->n=gt.2', [2]),
    ("extra->>t=eq.true", [2]),
    ("extra->t=is.true", [2]),
    ("extra->nothing=is.null", [1, 2, 3, 4, 5]),
    ("tags->k->deep->>1=eq.2", [2]),
    ("tags->>0=eq.a", [1]),
    ("tags=cs.{a}", [1]),
    ('tags=cs.{"b c",a}', [1]),
    ('tags=cs.["a"]', [1]),
    ("tags=cs.{1,3}", [4]),
    ('tags=cs.{"k":{"deep":[2]}}', [2]),
    ("tags=ov.{a,zzz}", [1]),
    ("tags=cd.{a,b c,d}", [1]),
    ("tags=cs.{}", [1, 2, 4]),
    ('tags->k=cs.{"deep":[1]}', [2]),
    ("tags=not.cs.{a}", [2, 4]),
    ('"we\\"ird, (na.me)"=eq.x', [1]),
    ("name=plfts.chai", [1]),
    ("_text=wfts.über -all", [3]),
    ("_text=fts.!chai", [2, 3, 4, 5]),
    ("name=fts.!chai", [2, 3, 4]),
    ("_text=fts.ch:* %26 !chang", [1]),
    ("name=fts.chai | (über %26 !all)", [1, 3]),
    ("_text=phfts.über 100", [3]),
    ("_text=plfts.%26 (", []),
    ('_text=wfts."über all" or chai', [1, 4]),
    ("_text=wfts(english).uber", [3, 4]),
    ("name=not.plfts.chai", [2, 3, 4, 5]),
    ('"we\\"ird, (na.me)"=fts.x', [1]),
    ("_text=fts.'über' <-> 'all'", [4]),
    ("_text=fts.über <2> all", [4]),
    ("or=(num.eq.1,name.is.null)", [1, 5]),
    ("or=(num.eq.1,and(num.gt.1,num.lt.4))", [1, 2, 3]),
    ("not.or=(num.eq.1,num.eq.2)", [3, 4, 5]),
    ("and=(num.gt.1,not.and(num.gt.2,num.lt.5))", [2, 5]),
    ('or=(name.eq."Chai",name.like.*all,num.in.(2,"9"))', [1, 2, 4]),
    ("or=(tags.cs.{a},tags.cs.[1])", [1, 4]),
    ("num=gt.1&num=lt.3", [2]),
    ("or=(_text.plfts.chai,num.eq.5)", [1, 5]),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS, ids=[q for q, _ in FILTERS])
def test_filters_choose_rows(db: Any, query: str, expected: list[int]) -> None:
    assert [row["num"] for row in run(db, f"{query}&order=num")] == expected
    select = parse_query(parse_qsl(query, keep_blank_values=True))
    count = compile_count(select, TABLE)
    assert db.execute(count.sql, count.params).fetchone() == (len(expected),)
    where = compile_where(select, TABLE)
    found = db.execute(
        f"SELECT ?, num FROM goods WHERE ({where.sql}) AND ? = 8 ORDER BY num", (7, *where.params, 8)
    )
    assert found.fetchall() == [(7, num) for num in expected]
    targets = compile_targets(select, TABLE)
    assert sorted(i for _, i, _, _ in db.execute(targets.sql, targets.params)) == [f"id{n}" for n in expected]


def test_long_queries_stay_within_sqlites_limits(db: Any) -> None:
    many = ",".join(f"num.eq.{n}" for n in range(5000))
    assert len(run(db, f"or=({many})")) == 5
    assert len(run(db, "&".join(["num=lt.9"] * 1500))) == 5
    nested = "and(num.lt.9," * 98 + "num.gt.0" + ")" * 98
    assert len(run(db, f"or=({nested})")) == 5
    assert len(run(db, "select=" + ",".join(f"c{n}:num" for n in range(500)) + "&limit=1")[0]) == 500
    assert len(run(db, "order=" + ",".join(["num"] * 500))) == 5
    words = " ".join(f"w{n}" for n in range(700))
    assert run(db, f"_text=plfts.{words}") == []
    assert run(db, "num=in.(" + ",".join(map(str, range(100, 9000))) + ")") == []


_LITERALS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "1",
            "-0",
            "1e999",
            "NaN",
            "true",
            "{a,b}",
            '{"a":1}',
            "[1]",
            "2024-01-01",
            "*a*",
            "%%%%_\\\\",
            "(a|",
        ]
    ),
    st.lists(
        st.sampled_from(["a", "&", "|", "!", "(", ")", "<->", "<2>", ":*", "'", '"', "or", "-", " "])
    ).map("".join),
)
_COLUMNS = st.sampled_from(
    [
        *map(json.dumps, FIELDS),
        "id",
        "_rev",
        "free",
        "extra",
        "extra->a",
        'tags->0->>"é.\\""',
        "id->a",
        "_text",
        "none",
    ]
)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    _COLUMNS,
    st.sampled_from(list(Operator)),
    _LITERALS,
    st.sampled_from(["", "(any)", "(all)"]),
    st.booleans(),
)
def test_every_operator_takes_or_refuses_every_literal(
    db: Any, column: str, operator: Operator, literal: str, quantifier: str, negated: bool
) -> None:
    if quantifier:
        literal = "{" + json.dumps(literal) + "}"
    elif operator is Operator.IN:
        literal = "(" + json.dumps(literal, ensure_ascii=False) + ")"
    value = f"{'not.' if negated else ''}{operator}{quantifier}.{literal}"
    try:
        select = parse_query([(column, value), ("order", "_rank" if "fts" in value else column)])
        statement, count = compile_select(select, TABLE), compile_count(select, TABLE)
    except LocalsrvError as error:
        assert error.status == 400
    else:
        rows = [json.loads(statement.finish(r)) for r in db.execute(statement.sql, statement.params)]
        assert db.execute(count.sql, count.params).fetchone() == (len(rows),)


def test_a_cached_shape_binds_new_literals(db: Any) -> None:
    assert [r["num"] for r in run(db, "num=eq.1&name=like.Ch*")] == [1]
    assert [r["num"] for r in run(db, "num=eq.2&name=like.Ch*")] == [2]
    assert [r["num"] for r in run(db, "name=is.null")] == [5]
    assert [r["num"] for r in run(db, "name=is.not_null&limit=1")] == [1]
    assert [r["num"] for r in run(db, "_text=wfts.chai")] == [1]
    assert [r["num"] for r in run(db, "_text=wfts.-chai&limit=1")] == [2]


ORDERS = [
    ("order=num.desc", [5, 4, 3, 2, 1]),
    ("order=name", [1, 2, 3, 4, 5]),
    ("order=name.desc", [5, 4, 3, 2, 1]),
    ("order=name.asc.nullsfirst&limit=2", [5, 1]),
    ("order=name.nullslast,num", [1, 2, 3, 4, 5]),
    ("order=price.desc.nullslast", [3, 2, 1, 5, 4]),
    ("order=free.desc,num", [5, 4, 2, 3, 1]),
    ("order=id.desc&limit=2&offset=1", [4, 3]),
    ("order=extra->>t,num&limit=1", [2]),
    ("_text=wfts.chai or über&order=_rank,num&limit=1", [1]),
    ("limit=0", []),
    ("order=num&offset=4", [5]),
]


@pytest.mark.parametrize(("query", "expected"), ORDERS)
def test_order_and_pages(db: Any, query: str, expected: list[int]) -> None:
    assert [row["num"] for row in run(db, query)] == expected


SELECTS = [
    ("select=num,name", {"num": 1, "name": "Chai"}),
    ("select=id,n:num,_rev", {"id": "id1", "n": 1, "_rev": "1-0"}),
    ("select=price,ratio,on,tags", {"price": "18.00", "ratio": 0.5, "on": True, "tags": ["a", "b c"]}),
    (
        "select=num::text,free::text,on::int,ratio::integer,price::float,price::numeric,day::timestamp",
        {"num": "1", "free": "5", "on": 1, "ratio": 1, "price": 18.0, "day": "2024-01-02T00:00:00"},
    ),
    ("select=tags->0,t:tags->>1,tags->9", {"tags": None, "t": "b c"}),
    ("select=extra->x,missing:extra->>y", {"x": None, "missing": None}),
    ('select="we\\"ird, (na.me)",id::json', {'we"ird, (na.me)': "x", "id": "id1"}),
    ("select=name::int", {"name": None}),
]


@pytest.mark.parametrize(("query", "expected"), SELECTS)
def test_returned_columns(db: Any, query: str, expected: dict[str, Any]) -> None:
    (row,) = run(db, query + "&num=eq.1")
    if query.startswith("select=num::text"):
        assert row.pop("price") in (18.0, 18)
        expected = {k: v for k, v in expected.items() if k != "price"}
    assert row == expected


def test_star_fills_absent_fields_and_keeps_the_text(db: Any) -> None:
    (row,) = run(db, "num=eq.5")
    assert list(row)[:3] == ["id", "num", "name"]
    assert row == {"id": "id5", **dict.fromkeys(FIELDS), **DOCUMENTS[4]}
    (both,) = run(db, "num=eq.5&select=*,_rev,twice:num")
    assert both == {**row, "_rev": "1-4", "twice": 5}
    keyed = TableInfo(
        name="goods", identity=("num",), fields={"num": F.INTEGER}, known_fields=frozenset(["num"])
    )
    assert finish_row(keyed, "1", '{"num":1,"x":1.10}') == '{"num":1,"x":1.10}'
    free = TableInfo(name="goods", identity=("id",), fields={}, known_fields=frozenset())
    assert finish_row(free, 'q"', "{}") == '{"id":"q\\""}'
    assert finish_row(free, "a", '{"x":1.10}') == '{"id":"a","x":1.10}'
    assert finish_row(free, "a", '{"id":"other","x":1}') == '{"id":"a","x":1}'


def test_rows_by_id_keep_their_order(db: Any) -> None:
    statement = compile_rows(parse_query([("select", "num"), ("num", "eq.1")]), TABLE, ["id3", "id1", "none"])
    rows = [json.loads(statement.finish(r)) for r in db.execute(statement.sql, statement.params)]
    assert rows == [{"num": 3}, {"num": 1}]


ERRORS = [
    ("nam=eq.1", "unknown-column"),
    ("select=nam", "unknown-column"),
    ("order=nam", "unknown-column"),
    ("nam->x=eq.1", "unknown-column"),
    ("select=nam->>x", "unknown-column"),
    ("select=name::frog", "unknown-type"),
    ("num=eq.x", "invalid-literal"),
    ("num=in.(1,x)", "invalid-literal"),
    ("num=eq.1.5", "invalid-literal"),
    ("num=eq.99999999999999999999", "out-of-range"),
    ("on=eq.maybe", "invalid-literal"),
    ("day=eq.2024-13-01", "invalid-datetime"),
    ("at=eq.noon", "invalid-datetime"),
    ("price=eq.1,5", "invalid-literal"),
    ("tags=cs.{a", "invalid-literal"),
    ("name=match.(", "invalid-regex"),
    ("name=imatch.(%3F=x)", "invalid-regex"),
    ("name=like.a%5C", "invalid-pattern"),
    ("num=fts.x", "no-full-text-index"),
    ("nam=fts.x", "unknown-column"),
    ("_text=fts.a b", "invalid-text-query"),
    ("_text=fts.(((", "invalid-text-query"),
    ("order=_rank", "no-full-text-filter"),
    ("select=rel(*)", "unknown-relation"),
    ("select=num.sum()", "aggregates-disabled"),
]


@pytest.mark.parametrize(("query", "code"), ERRORS)
def test_errors_have_codes(query: str, code: str) -> None:
    with pytest.raises(LocalsrvError) as caught:
        compile_select(parse_query(parse_qsl(query, keep_blank_values=True)), TABLE)
    assert caught.value.code == code


def test_the_nearest_column_is_hinted() -> None:
    with pytest.raises(LocalsrvError) as caught:
        compile_select(parse_query([("prize", "eq.1")]), TABLE)
    assert caught.value.message == "column goods.prize does not exist"
    assert caught.value.hint == 'Perhaps you meant to reference the column "goods.price".'


@pytest.mark.parametrize(
    "payload", ["'; DROP TABLE goods; --", '"); DELETE FROM goods; --', "\\", "{}", "?", "\0"]
)
def test_no_value_of_a_client_reaches_the_sql(db: Any, payload: str) -> None:
    escaped = '"' + payload.replace("\\", "\\\\").replace('"', '\\"') + '"'
    pairs = [
        ("name", f"eq.{payload}"),
        ("name", f"in.({escaped})"),
        ("select", f"{escaped}:name,extra->{escaped}"),
    ]
    statement = compile_select(parse_query(pairs), TABLE)
    assert payload.strip("?{}\\") == "" or payload not in statement.sql
    assert db.execute(statement.sql, statement.params).fetchall() == []
    assert db.execute("SELECT count(*) FROM goods").fetchone() == (5,)


def test_indexes_serve_filters_and_orders(db: Any) -> None:
    for name in ("num", "name", "price"):
        db.execute(f"CREATE INDEX ix_{name} ON goods({name})")

    def plan(query: str) -> str:
        statement = compile_select(parse_query(parse_qsl(query)), TABLE)
        return " ".join(r[3] for r in db.execute("EXPLAIN QUERY PLAN " + statement.sql, statement.params))

    for query, index in [
        ("num=eq.1", "ix_num"), ("num=in.(1,2)", "ix_num"), ("price=gte.1&price=lt.3", "ix_price"),
        ("name=like.Ch*", "ix_name"), ("order=num&limit=3", "ix_num"), ("order=name.desc&limit=3", "ix_name"),
    ]:  # fmt: skip
        assert index in plan(query), (query, plan(query))
