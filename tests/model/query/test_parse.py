"""The grammar: what a query string means, where a wrong one is wrong, and that nothing else ever happens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from localsrv.base.errors import LocalsrvError, QuerySyntaxError
from localsrv.model.query import (
    Embed,
    Filter,
    Group,
    Item,
    Operator,
    Order,
    Path,
    Quantifier,
    Select,
    Shape,
    parse_query,
)
from localsrv.model.query.parse import MAX_LENGTH

P = Path
O = Operator  # noqa: E741


def only_filter(name: str, value: str) -> tuple[Any, Any]:
    select = parse_query([(name, value)])
    (found,) = select.shape.where
    assert isinstance(found, Filter)
    return found, select.values[found.value]


@pytest.mark.parametrize(
    ("name", "value", "expected", "literal"),
    [
        ("a", "eq.1", Filter(P("a"), O.EQ, 0), "1"),
        ("a", "not.eq.", Filter(P("a"), O.EQ, 0, True), ""),
        ("a", 'eq."x".y', Filter(P("a"), O.EQ, 0), '"x".y'),
        ("a b-c", "gte.x,y)", Filter(P("a b-c"), O.GTE, 0), "x,y)"),
        ('"a.b"', "lt.1", Filter(P("a.b"), O.LT, 0), "1"),
        ("ünïcode😀", "eq.1", Filter(P("ünïcode😀"), O.EQ, 0), "1"),
        ("a->b->>c", "eq.1", Filter(P("a", ("b", "c"), True), O.EQ, 0), "1"),
        ("a->0->-1", "eq.1", Filter(P("a", (0, -1)), O.EQ, 0), "1"),
        ('a->>"x.y->z"', "eq.1", Filter(P("a", ("x.y->z",), True), O.EQ, 0), "1"),
        ("a->0x", "eq.1", Filter(P("a", ("0x",)), O.EQ, 0), "1"),
        ("a", 'in.(1,"b,\\"c\\")",)', Filter(P("a"), O.IN, 0), ("1", 'b,"c")', "")),
        ("a", "in.()", Filter(P("a"), O.IN, 0), ()),
        ("a", "is.NULL", Filter(P("a"), O.IS, 0, argument="null"), "null"),
        ("a", "like.*x*", Filter(P("a"), O.LIKE, 0), "%x%"),
        ("a", "ilike.*a*b*c*", Filter(P("a"), O.ILIKE, 0, is_simple_pattern=False), "%a%b%c%"),
        (
            "a",
            "like(any).{x*,y}",
            Filter(P("a"), O.LIKE, 0, quantifier=Quantifier.ANY, is_simple_pattern=False),
            ("x%", "y"),
        ),
        ("a", "eq(all).{1}", Filter(P("a"), O.EQ, 0, quantifier=Quantifier.ALL), ("1",)),
        ("a", "wfts(english).x y", Filter(P("a"), O.WFTS, 0, argument="english"), "x y"),
        ("a", 'cs.{"k":[1]}', Filter(P("a"), O.CS, 0), '{"k":[1]}'),
    ],
)
def test_filters(name: str, value: str, expected: Filter, literal: Any) -> None:
    assert only_filter(name, value) == (expected, literal)


def test_trees_keep_their_nesting() -> None:
    select = parse_query([("or", '(a.eq.1, not.and(b.not.gt."2,3",c.in.(x,y)),d.cs.{1,2})'), ("e", "eq.9")])
    assert select.values == ("1", "2,3", ("x", "y"), "{1,2}", "9")
    assert select.shape.where == (
        Group(
            "or",
            (
                Filter(P("a"), O.EQ, 0),
                Group("and", (Filter(P("b"), O.GT, 1, True), Filter(P("c"), O.IN, 2)), True),
                Filter(P("d"), O.CS, 3),
            ),
        ),
        Filter(P("e"), O.EQ, 4),
    )


def test_selection() -> None:
    shape = parse_query(
        [("select", 'id, n:name,x:"a b"::int8,d->e->>0::text,*,count(),p:price.sum()::int')]
    ).shape
    assert shape.items == (
        Item(P("id")),
        Item(P("name"), "n"),
        Item(P("a b"), "x", "int8"),
        Item(P("d", ("e", 0), True), None, "text"),
        Item(None),
        Item(None, None, None, "count"),
        Item(P("price"), "p", None, "sum", "int"),
    )
    assert [item.name for item in shape.items] == ["id", "n", "x", "e", "*", "count", "p"]
    assert parse_query([("select", "*")]).shape.is_star
    assert parse_query([]).shape.is_star


def test_embeddings_have_their_own_filters_and_pages() -> None:
    query = [
        ("select", "a,c:rel!fk!inner(x,...deep(*))"),
        ("c.x", "eq.1"),
        ("c.deep.or", "(y.eq.2,z.eq.3)"),
        ("c.order", "x.desc"),
        ("c.limit", "5"),
        ("c.deep.offset", "2"),
    ]
    select = parse_query(query)
    deep_where = (Group("or", (Filter(P("y"), O.EQ, 1), Filter(P("z"), O.EQ, 2))),)
    deep = Embed("deep", Shape((Item(None),), (), deep_where), spread=True, offset=2)
    shape = Shape((Item(P("x")),), (deep,), (Filter(P("x"), O.EQ, 0),), (Order(P("x"), True),))
    assert select.shape.embeds == (Embed("rel", shape, "c", ("fk",), True, limit=5),)
    assert select.values == ("1", "2", "3")


def test_order_limit_and_offset() -> None:
    select = parse_query(
        [("order", "a,b.desc,c.asc.nullsfirst,d->>e.nullslast,r(x).desc"), ("limit", "3"), ("offset", "9")]
    )
    assert select.shape.order == (
        Order(P("a")),
        Order(P("b"), True),
        Order(P("c"), False, True),
        Order(P("d", ("e",), True), False, False),
        Order(P("x"), True, None, "r"),
    )
    assert (select.limit, select.offset) == (3, 9)


def test_queries_of_one_shape_share_it() -> None:
    first = parse_query([("a", "eq.1"), ("b", "not.gt.2"), ("order", "a"), ("limit", "1")])
    second = parse_query([("a", "eq.x"), ("b", "not.gt.y"), ("order", "a"), ("limit", "2")])
    assert first.shape is second.shape
    assert (first.values, second.values) == (("1", "2"), ("x", "y"))
    assert (first.limit, second.limit) == (1, 2)
    assert parse_query([("a", "is.null")]).shape != parse_query([("a", "is.true")]).shape


@pytest.mark.parametrize(
    ("name", "value", "position", "expecting"),
    [
        ("a", "1", 0, "operator"),
        ("a", "eqx.1", 0, "operator"),
        ("a", "eq", 0, "operator"),
        ("a", "in(any).(1)", 3, "`(any)`"),
        ("a", "in.1", 3, "`(`"),
        ("a", "in.(1", 5, "`)`"),
        ("a", "in.(1)x", 6, "the end"),
        ("a", 'in.("1', 4, "closing"),
        ("a", "is.x", 3, "null"),
        ("a", "like(any).x", 10, "`{`"),
        ("", "eq.1", 0, "a column name"),
        ("a->", "eq.1", 3, "a key"),
        ("a->>b->c", "eq.1", 5, "no arrow"),
        ("a.b->c.d", "eq.1", 6, "the end"),
        ("or", "a.eq.1", 0, "`(`"),
        ("or", "()", 1, "a column name"),
        ("or", "(a.eq.1", 7, "`)`"),
        ("or", "(a)", 2, "`.`"),
        ("or", "(a.cs.{1)", 6, "closing"),
        ("or", "(a.eq.1)x", 8, "the end"),
        ("select", "a,,b", 2, "a column name"),
        ("select", "a,", 2, "a column name"),
        ("select", "a(b", 3, "`)`"),
        ("select", "a::", 3, "a type"),
        ("select", "a.median()", 2, "count()"),
        ("select", "x:*", 2, "a column name"),
        ("order", "a.up", 2, "`asc`"),
        ("order", "a.desc.desc", 7, "`asc`"),
        ("limit", "many", 0, "a whole number"),
        ("columns", "a,", 2, "a column name"),
    ],
)
def test_errors_say_where_and_what(name: str, value: str, position: int, expecting: str) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse_query([(name, value)])
    assert caught.value.position == position
    assert caught.value.details is not None and expecting in caught.value.details


@pytest.mark.parametrize("depth", [101, 1000, 20_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    for name, value in (
        ("or", "(" + "and(" * depth + "a.eq.1" + ")" * depth + ")"),
        ("select", "a(" * depth + "b" + ")" * depth),
        ("or", "(" * depth),
    ):
        with pytest.raises(QuerySyntaxError):
            parse_query([(name, value[: MAX_LENGTH - 10])])


def test_long_parameters_are_refused() -> None:
    with pytest.raises(QuerySyntaxError):
        parse_query([("a", "eq." + "x" * MAX_LENGTH)])


_TOKENS = (
    "select order limit offset columns and or not.or not. eq. in.( like(any).{ is.null a rel. -> ->> 0 ( )"
    ' " \\ : :: ! inner ... * -1 count() sum() é 😀 desc fts(x). cs. [ ] nullsfirst'
)
_WORDS = st.sampled_from([*_TOKENS.split(), " ", "\0"])
_TEXT = st.one_of(st.text(max_size=30), st.lists(_WORDS, max_size=14).map("".join))


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.tuples(_TEXT, _TEXT), max_size=4))
@example([("a", "eq."), ("select", "a")])
def test_no_text_ever_raises_anything_but_our_own_error(pairs: list[tuple[str, str]]) -> None:
    try:
        first = parse_query(pairs)
    except LocalsrvError as error:
        assert error.status in (400, 416)
        if isinstance(error, QuerySyntaxError):
            assert error.position >= 0
    else:
        assert isinstance(first, Select)
        assert parse_query(pairs) == first  # from the cache
        slots = sorted(f.value for f in first.filters())
        assert all(slot < len(first.values) for slot in slots)
