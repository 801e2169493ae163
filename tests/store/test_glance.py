"""Which queries are answered on the event loop: those that an index alone answers, and small ones only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localsrv.store import functions, glance
from localsrv.store.driver import Connection, connect
from localsrv.store.glance import Glances
from localsrv.store.readers import Reader


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Connection]:
    """A file with 1,000 rows, 10 in each of 100 groups, and one large group."""
    connection = connect(tmp_path / "app.db")
    connection.execute("CREATE TABLE t (_row INTEGER PRIMARY KEY, _id TEXT UNIQUE, g INTEGER, price REAL)")
    connection.execute("CREATE INDEX by_group ON t (g)")
    rows = [(f"d{n}", n // 10 if n < 1000 else 1000, n / 7) for n in range(1000 + glance.MAX_ROWS + 1)]
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t (_id, g, price) VALUES (?, ?, ?)", rows)
    connection.execute("COMMIT")
    yield connection
    connection.close()


@pytest.fixture
def glances(file: Connection, tmp_path: Path) -> Iterator[Glances]:
    reader = Reader(tmp_path / "app.db", functions.register)
    yield Glances(reader)
    reader.connection.close()


CASES = [
    ("SELECT _id FROM t WHERE g = ? LIMIT 1000", 5, 10),
    ("SELECT _id FROM t WHERE g = ? AND price > 1", 3, 10),
    ("SELECT _id FROM t WHERE _id = ?", "d7", 1),
    ("SELECT _id FROM t WHERE g = ?", 5000, 0),
    ("SELECT _id FROM t WHERE price = ?", 1.0, None),
    ("SELECT _id FROM t WHERE g > ?", 98, None),
    ("SELECT _id FROM t WHERE g = ? ORDER BY price", 5, None),
    ("SELECT _id FROM t WHERE g = ? AND localsrv_match('d', _id)", 5, None),
    ("SELECT _id FROM t WHERE g = ? OR price = 1", 5, None),
    ("SELECT nonsense FROM t WHERE g = ?", 5, None),
]


@pytest.mark.parametrize(("sql", "value", "count"), CASES)
def test_what_is_answered_at_once(glances: Glances, sql: str, value: float | str, count: int | None) -> None:
    found = glances.rows(sql, (value,))
    assert (None if found is None else len(found)) == count


def test_a_query_that_gave_too_many_rows_is_left_to_the_readers(glances: Glances) -> None:
    sql = "SELECT _id FROM t WHERE g = ?"
    assert len(glances.rows(sql, (5,)) or []) == 10
    assert glances.rows(sql, (1000,)) is None
    assert glances.rows(sql, (5,)) is None


def test_a_query_that_took_too_long_is_left_to_the_readers(
    glances: Glances, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    sql = f"SELECT ({endless}) FROM t WHERE g = ?"
    monkeypatch.setattr(glances, "_looks_quick", lambda *_: True)
    assert glances.rows(sql, (5,)) is None
    assert glances.rows("SELECT _id FROM t WHERE g = ?", (5,)) is not None


def test_another_index_is_another_plan(glances: Glances, file: Connection) -> None:
    sql = "SELECT _id FROM t WHERE g = ?"
    assert glances.rows(sql, (5,)) is not None
    file.execute("DROP INDEX by_group")
    glances.forget()
    assert glances.rows(sql, (5,)) is None
