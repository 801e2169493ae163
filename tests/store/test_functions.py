"""The SQL functions, called from SQL."""

from __future__ import annotations

from typing import Any

import pytest

from localsrv.base.errors import InvalidValue
from localsrv.model.patterns import MAX_PATTERN, compiled
from localsrv.store.driver import sqlite3
from localsrv.store.functions import compiled_like, contains, register


@pytest.fixture(scope="module")
def db() -> Any:
    connection = sqlite3.connect(":memory:")
    register(connection)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("localsrv_like('a%', 'abc')", 1),
        ("localsrv_like('A%', 'abc')", 0),
        ("localsrv_like('a_c', 'a😀c')", 1),
        ("localsrv_like('a_c', 'a\nc')", 1),
        ("localsrv_like('a\\%', 'a%')", 1),
        ("localsrv_like('a\\%', 'ab')", 0),
        ("localsrv_like('(a.*)', '(a.*)')", 1),
        ("localsrv_like('b', 'abc')", 0),
        ("localsrv_like('5%', 55)", 1),
        ("localsrv_like('a', NULL)", None),
        ("localsrv_ilike('ГОРОД%', 'Городок')", 1),
        ("localsrv_ilike('%ß%', 'STRASSE')", 0),
        ("localsrv_match('^a.c$', 'abc')", 1),
        ("localsrv_match('B', 'abc')", 0),
        ("localsrv_imatch('B', 'abc')", 1),
        ("localsrv_match('x', NULL)", None),
        ("localsrv_cs('[1,2,{\"a\":[3]}]', '[{\"a\":[3]}]')", 1),
        ('localsrv_cs(\'{"a":{"b":1,"c":2}}\', \'{"a":{"b":1}}\')', 1),
        ("localsrv_cs('[1,2]', '1')", 1),
        ("localsrv_cs('[[1]]', '[1]')", 0),
        ("localsrv_cs('[true]', '[1]')", 0),
        ("localsrv_cs('[null]', '[null]')", 1),
        ("localsrv_cd('[1]', '[1,2]')", 1),
        ("localsrv_ov('[1,2]', '[2,3]')", 1),
        ("localsrv_ov('[1]', '[2]')", 0),
        ("localsrv_cs(NULL, '[1]')", None),
        ("localsrv_cast('integer', '\"2.5\"')", "3"),
        ("localsrv_cast('integer', '-2.5')", "-3"),
        ("localsrv_cast('integer', '\"x\"')", None),
        ("localsrv_cast('text', '1.10')", '"1.10"'),
        ("localsrv_cast('decimal', '\"1.10\"')", "1.10"),
        ("localsrv_cast('decimal', '\"NaN\"')", None),
        ("localsrv_cast('boolean', '\"yes\"')", "true"),
        ("localsrv_cast('timestamptz', '\"2024-01-02T10:00:00+02:00\"')", '"2024-01-02T08:00:00+00:00"'),
        ("localsrv_cast('date', '[1]')", None),
        ("localsrv_cast('text', 'null')", None),
        ("localsrv_cast('text', NULL)", None),
    ],
)
def test_functions(db: Any, sql: str, expected: Any) -> None:
    assert db.execute(f"SELECT {sql}").fetchone() == (expected,)


def test_hostile_patterns_take_linear_time(db: Any) -> None:
    text = "a" * 100_000
    assert db.execute("SELECT localsrv_match('(a+)+$', ? || 'b')", (text,)).fetchone() == (0,)
    assert db.execute("SELECT localsrv_like(?, ?)", ("%a" * 60 + "b", text)).fetchone() == (0,)


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"\1", "a{2000}", "x" * (MAX_PATTERN + 1), "a**"])
def test_broken_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        compiled(pattern, False)
    assert caught.value.code == "invalid-regex"


def test_a_like_pattern_may_not_end_escaped() -> None:
    with pytest.raises(InvalidValue) as caught:
        compiled_like("a\\", False)
    assert caught.value.code == "invalid-pattern"


def test_everything_contains_itself() -> None:
    for value in (1, "x", None, True, [], {}, [1, [2]], {"a": {"b": [None]}}):
        assert contains(value, value)
