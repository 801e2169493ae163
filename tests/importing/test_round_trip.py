"""SQLite files survive import and export: every value, its storage class, and the schema."""

# ruff: noqa: E501 - a table of SQL, one case a line

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# The driver that export writes with: SQLite's versions differ in whether `CAST(x'3000' AS TEXT)` is a number.
from localsrv.importing.driver import sqlite3
from tests.importing.support import Held, quoted, schema_of, tables_of


def round_trip(source: Path, folder: Path) -> tuple[Held, Path, list[str]]:
    held = Held(source)
    target = folder / "exported.db"
    target.unlink(missing_ok=True)
    exported = held.to_sqlite(target)
    return held, target, exported.notices


@pytest.mark.parametrize("name", ["northwind", "chinook"])
def test_real_databases(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source: Path = request.getfixturevalue(name)
    _, target, notices = round_trip(source, tmp_path)
    assert notices == []
    assert tables_of(target) == tables_of(source)
    assert schema_of(target) == schema_of(source)
    connection = sqlite3.connect(target)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_sequences_of_autoincrement(northwind: Path, tmp_path: Path) -> None:
    _, target, _ = round_trip(northwind, tmp_path)
    query = "SELECT name, seq FROM sqlite_sequence ORDER BY 1"
    with sqlite3.connect(northwind) as before, sqlite3.connect(target) as after:
        assert after.execute(query).fetchall() == before.execute(query).fetchall()
    before.close()
    after.close()


DIRTY = {
    "text in an integer column": "CREATE TABLE t(a INTEGER); INSERT INTO t VALUES(1),('x'),(1.5),(NULL),(x'00ff'),('')",
    "text that looks like numbers": "CREATE TABLE t(a TEXT, b); INSERT INTO t VALUES('007','1e3'),('1.50','0x10'),(1,1.0)",
    "integers and floats": "CREATE TABLE t(a, b REAL); INSERT INTO t VALUES(1,1),(1.0,1.5),(9007199254740993,1e300)",
    "the largest integers": "CREATE TABLE t(a); INSERT INTO t VALUES(9223372036854775807),(-9223372036854775808)",
    "infinity": "CREATE TABLE t(a REAL, b); INSERT INTO t VALUES(9e999,-9e999),(1,'Infinity'),(0.1,'inf')",
    "broken UTF-8": "CREATE TABLE t(a TEXT); INSERT INTO t VALUES(CAST(x'ff41' AS TEXT)),('fine'),(CAST(x'eda080' AS TEXT))",
    "NUL in text": "CREATE TABLE t(a TEXT); INSERT INTO t VALUES('a'||char(0)||'b'),(char(0)),('')",
    "blobs and none": "CREATE TABLE t(i INTEGER PRIMARY KEY, a BLOB); INSERT INTO t VALUES(1,x''),(2,NULL),(3,x'ffd8ffe0'),(4,'text'),(5,5)",
    "equal rows": "CREATE TABLE t(a, b); INSERT INTO t VALUES(1,2),(1,2),(1,2),(NULL,NULL),(NULL,NULL)",
    "a key with NULLs": "CREATE TABLE t(a TEXT PRIMARY KEY, b); INSERT INTO t VALUES(NULL,1),(NULL,1),('k',2)",
    "a key of bytes": "CREATE TABLE t(a BLOB PRIMARY KEY, b); INSERT INTO t VALUES(x'01',1),(x'02',2)",
    "a key of floats": "CREATE TABLE t(a REAL PRIMARY KEY, b); INSERT INTO t VALUES(0.5,1),(1,2)",
    "a key of mixed kinds": "CREATE TABLE t(a PRIMARY KEY, b); INSERT INTO t VALUES(1,1),('1',2),(1.5,3)",
    "keys no id may be": "CREATE TABLE t(a TEXT PRIMARY KEY); INSERT INTO t VALUES(''),('_x'),('ok')",
    "a long key": "CREATE TABLE t(a TEXT PRIMARY KEY); INSERT INTO t VALUES(hex(zeroblob(2000))),('ok')",
    "odd names": """CREATE TABLE "weird ""table"" -- x"("" INTEGER, "_id" TEXT, "_x" TEXT, "x" TEXT, "a ""b'c" TEXT, "SELECT");
        INSERT INTO "weird ""table"" -- x" VALUES(1,'2','3','4','5','6')""",
    "names by case": 'CREATE TABLE t("ä" TEXT, "Ä" TEXT, id TEXT, id_2 TEXT); INSERT INTO t VALUES(1,2,3,4),(5,6,3,8)',
    "strict": "CREATE TABLE t(a INT, b ANY, c REAL, d TEXT, e BLOB) STRICT; INSERT INTO t VALUES(1,'1',2,'x',x'00'),(NULL,1,NULL,NULL,NULL)",
    "without rowid": "CREATE TABLE t(a TEXT, b INT, c, PRIMARY KEY(b, a)) WITHOUT ROWID; INSERT INTO t VALUES('x',1,2),('y',1,3)",
    "generated columns": "CREATE TABLE t(a INT, b AS (a*2), c TEXT AS (a||'!') STORED); INSERT INTO t(a) VALUES(1),(2)",
    "a check that fails": """PRAGMA ignore_check_constraints=1; CREATE TABLE t(a CHECK(a>0)); INSERT INTO t VALUES(-1)""",
    "booleans": "CREATE TABLE t(a BOOLEAN, b BOOLEAN); INSERT INTO t VALUES(0,0),(1,2),(NULL,'true')",
    "dates": "CREATE TABLE t(a DATE, b DATETIME, c DATE, d TIME); INSERT INTO t VALUES('2024-02-29','2024-02-29 23:59',0,'10:00:00'),('2024-01-01','2024-01-01T10:00:00.5','no','10:00')",
    "decimals": "CREATE TABLE t(a DECIMAL(10,2), b NUMERIC, c MONEY); INSERT INTO t VALUES(12.50,1e15,'x'),(0.1,123456789012345678,-0.01)",
    "defaults and collations": "CREATE TABLE t(a TEXT COLLATE NOCASE DEFAULT 'x''y' UNIQUE, b INT DEFAULT (1+1), c DEFAULT CURRENT_TIMESTAMP); INSERT INTO t DEFAULT VALUES",
    "nothing in it": "CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b BLOB, c); CREATE INDEX i ON t(b DESC, c)",
    "partial and expression indexes": "CREATE TABLE t(a, b); CREATE UNIQUE INDEX i ON t(a) WHERE b; CREATE INDEX j ON t(lower(a)); INSERT INTO t VALUES(1,0),(1,0)",
    "a circle of tables": """CREATE TABLE a(i INTEGER PRIMARY KEY, b INT NOT NULL REFERENCES b); CREATE TABLE b(i INTEGER PRIMARY KEY, a INT NOT NULL REFERENCES a);
        INSERT INTO a VALUES(1,1); INSERT INTO b VALUES(1,1)""",
    "a circle of keys": """CREATE TABLE a(i INTEGER PRIMARY KEY REFERENCES b); CREATE TABLE b(i INTEGER PRIMARY KEY REFERENCES a);
        INSERT INTO a VALUES(1); INSERT INTO b VALUES(1)""",
    "foreign keys that lead nowhere": "CREATE TABLE t(a REFERENCES gone(x), b REFERENCES t(c), c); INSERT INTO t VALUES(1,2,3)",
    "a foreign key to a unique column": "CREATE TABLE p(i INTEGER PRIMARY KEY, Code TEXT UNIQUE); CREATE TABLE c(code TEXT REFERENCES P(cOdE) ON DELETE CASCADE); INSERT INTO p VALUES(1,'x'); INSERT INTO c VALUES('x')",
    "a table from a query": "CREATE TABLE s(a); INSERT INTO s VALUES(1); CREATE TABLE t AS SELECT a, a+0.5 b, 'x' c FROM s",
    "UTF-16": "PRAGMA encoding='UTF-16'; CREATE TABLE t(a TEXT); INSERT INTO t VALUES('żółw'),('😀'),(char(0xd800))",
}  # fmt: skip


@pytest.mark.parametrize("sql", DIRTY.values(), ids=DIRTY.keys())
def test_dirty_files(sql: str, tmp_path: Path) -> None:
    source = tmp_path / "dirty.db"
    connection = sqlite3.connect(source)
    connection.executescript(sql)
    connection.close()
    before = source.read_bytes()
    _, target, _ = round_trip(source, tmp_path)
    assert tables_of(target) == tables_of(source)
    assert schema_of(target) == schema_of(source)
    assert source.read_bytes() == before, "the source was changed"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dirty.db", "exported.db"], (
        "something was left behind"
    )


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 5),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["", "1", "1.0", "01", "2024-01-01", "true", "null", "\0", "_a", "1e5", "Infinity"]),
    st.binary(max_size=20),
    st.binary(max_size=6).map(lambda b: ("text", b)),
)
TYPES = st.sampled_from(
    [
        "",
        "INTEGER",
        "TEXT",
        "REAL",
        "NUMERIC",
        "BLOB",
        "DATE",
        "DATETIME",
        "BOOLEAN",
        "DECIMAL(10,2)",
        "JSON",
        "UUID",
    ]
)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=0, max_size=8)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[tuple[str, str]], str, list[list[Any]]]:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique_by=lambda n: n.lower()))
    columns = [(name, draw(TYPES)) for name in names]
    key = draw(st.sampled_from(["", "one", "two"]))
    rows = draw(st.lists(st.lists(VALUES, min_size=len(names), max_size=len(names)), max_size=8))
    return columns, key, rows


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables())
def test_any_table_survives(
    table: tuple[list[tuple[str, str]], str, list[list[Any]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    columns, key, rows = table
    folder = tmp_path_factory.mktemp("any")
    source = folder / "any.db"
    connection = sqlite3.connect(source)
    parts = [f"{quoted(n)} {t}" for n, t in columns]
    if key:
        parts.append(f"PRIMARY KEY ({', '.join(quoted(n) for n, _ in columns[: 1 if key == 'one' else 2])})")
    connection.execute(f"CREATE TABLE t({', '.join(parts)})")
    for row in rows:
        marks = ", ".join("CAST(? AS TEXT)" if isinstance(v, tuple) else "?" for v in row)
        values = [v[1] if isinstance(v, tuple) else v for v in row]
        try:
            connection.execute(f"INSERT OR IGNORE INTO t VALUES({marks})", values)
        except sqlite3.IntegrityError:
            continue  # a text for an INTEGER PRIMARY KEY
        except UnicodeEncodeError:
            continue
    connection.commit()
    connection.close()
    _, target, notices = round_trip(source, folder)
    assert tables_of(target) == tables_of(source)
    assert schema_of(target) == schema_of(source)
    assert notices == []
