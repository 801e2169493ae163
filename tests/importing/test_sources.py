"""What a file is found to be, and files of other people's programs in every state they are met in."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localsrv.base.errors import BadRequest, Conflict, LocalsrvError, NotFound
from localsrv.importing.documents import documents
from localsrv.importing.driver import sqlite3
from localsrv.importing.mapping import plan_import
from localsrv.importing.naming import collection_id
from localsrv.importing.plans import Choices
from localsrv.importing.sources import Options, format_of, open_source, spooled
from tests.importing.support import Held, plan

FORMATS = {
    "sqlite whatever its name": (b"SQLite format 3\0....", "x.csv", "sqlite"),
    "json by content": (b'[{"a":1}]', "x.txt", "json"),
    "lines by content": (b'{"a":1}\n{"a":2}\n', "x.json", "ndjson"),
    "csv that begins with a bracket": (b"[a],b\n1,2\n", "x.csv", "csv"),
    "tsv by name": (b"a\tb\n", "x.tsv", "tsv"),
    "csv otherwise": (b"a,b\n", "upload", "csv"),
}


@pytest.mark.parametrize(("head", "name", "kind"), FORMATS.values(), ids=FORMATS.keys())
def test_formats(head: bytes, name: str, kind: str) -> None:
    assert format_of(head, name) == kind


REFUSED = {
    "encrypted": (os.urandom(64) + b"\0", "x.db", "not-a-database"),
    "a spreadsheet": (b"PK\x03\x04....", "x.xlsx", "unknown-format"),
    "compressed": (b"\x1f\x8b....", "x.csv.gz", "unknown-format"),
    "binary": (b"\x00\x01\x02\x03", "x.bin", "unknown-format"),
    "nothing": (b"", "x.db", "empty-file"),
}


@pytest.mark.parametrize(("content", "name", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_other_files(content: bytes, name: str, code: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(BadRequest) as caught:
        plan(file)
    assert caught.value.code == code


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        plan(tmp_path / "gone.csv")
    with pytest.raises(BadRequest, match="is a folder"):
        plan(tmp_path)


def made(file: Path, sql: str) -> sqlite3.Connection:
    """By the same SQLite library: two of them in one process do not see each other's locks."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.executescript(sql)
    return connection


def test_a_file_that_another_program_writes_to(tmp_path: Path) -> None:
    """WAL mode, in use: one state is read, the writer is not held up, nothing is left behind."""
    file = tmp_path / "live.db"
    writer = made(file, "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1),(2)")
    with open_source(file, Options()) as source:
        first = plan_import(source, Choices())
        writer.execute("INSERT INTO t VALUES(3)")
        assert first.tables[0].rows == len(list(documents(source, first.tables[0]))) == 2
    assert plan(file).tables[0].rows == 3
    writer.close()


def test_a_wal_file_without_its_program(tmp_path: Path) -> None:
    file = tmp_path / "wal.db"
    made(file, "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1)").close()
    assert plan(file).tables[0].rows == 1
    assert [p.name for p in tmp_path.iterdir()] == ["wal.db"]


def test_a_wal_file_that_changes_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "wal.db"
    made(file, "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1)").close()
    with open_source(file, Options()) as source:
        first = plan_import(source, Choices())
        made(file, "INSERT INTO t VALUES(2)").close()
        with pytest.raises(LocalsrvError) as caught:
            list(documents(source, first.tables[0]))
    assert caught.value.code == "source-changed"


def test_a_journal_file_does_not_lock_its_program_out(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    writer = made(file, "CREATE TABLE t(a); INSERT INTO t VALUES(1)")
    with open_source(file, Options()) as source:
        writer.execute("PRAGMA busy_timeout=0")
        writer.execute("INSERT INTO t VALUES(2)")
        assert plan_import(source, Choices()).tables[0].rows == 1
    writer.close()


def test_a_locked_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localsrv.importing.sqlite_open.BUSY_SECONDS", 0.1)
    file = tmp_path / "locked.db"
    writer = made(file, "CREATE TABLE t(a); BEGIN EXCLUSIVE; INSERT INTO t VALUES(1)")
    with pytest.raises(LocalsrvError) as caught:
        plan(file)
    assert caught.value.code == "storage-locked"
    writer.close()


def test_a_file_left_by_a_crash(tmp_path: Path) -> None:
    """Its journal is played back on a copy: the half-done transaction is not imported, the file stays."""
    file, crashed = tmp_path / "live.db", tmp_path / "crashed.db"
    writer = made(file, "PRAGMA cache_size=1; CREATE TABLE t(a, b); INSERT INTO t VALUES('kept', '')")
    writer.execute("BEGIN")
    writer.executemany("INSERT INTO t VALUES('lost', ?)", [("x" * 3000,)] * 200)
    crashed.write_bytes(file.read_bytes())
    journal = tmp_path / "live.db-journal"
    (tmp_path / "crashed.db-journal").write_bytes(journal.read_bytes())
    writer.close()
    before = crashed.read_bytes()
    held = Held(crashed)
    assert [b["a"] for b in held.bodies["t"].values()] == ["kept"]
    assert crashed.read_bytes() == before
    assert (tmp_path / "crashed.db-journal").exists()


@pytest.mark.parametrize("place", ["a page", "the schema", "the end"])
def test_a_damaged_file(place: str, chinook: Path, tmp_path: Path) -> None:
    file = tmp_path / "damaged.db"
    content = bytearray(chinook.read_bytes())
    if place == "a page":
        content[40 * 4096 : 60 * 4096] = b"\xa5" * (20 * 4096)
    elif place == "the schema":
        content[100:4096] = b"\x00" * 3996
    else:
        del content[len(content) // 2 :]
    file.write_bytes(content)
    with pytest.raises(LocalsrvError) as caught:
        Held(file)
    assert caught.value.code == "storage-damaged"
    assert "recover" in (caught.value.hint or "")


@pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: folders cannot be made read-only")
def test_a_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "disc"
    folder.mkdir()
    file = folder / "x.db"
    made(file, "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1)").close()
    folder.chmod(0o500)
    try:
        assert plan(file).tables[0].rows == 1
    finally:
        folder.chmod(0o700)


def test_what_is_not_imported_is_said(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    made(
        file,
        "CREATE TABLE t(a); CREATE VIEW v AS SELECT * FROM t; CREATE VIRTUAL TABLE f USING fts5(x);"
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END; CREATE INDEX p ON t(a) WHERE a > 1",
    ).close()
    found = plan(file)
    assert list(found.collections) == ["t"]
    text = "\n".join(found.notices)
    for named in ("`v`", "`f`", "`f_content`", "`tr`", "`p`"):
        assert named in text


NAMES = {
    "Order Details": "order_details",
    "2024": "t_2024",
    "Größe": "gr__e",
    "_x": "t__x",
    "localsrv_x": "t_localsrv_x",
    "表": "t__",
    "A" * 100: "a" * 63,
}


@pytest.mark.parametrize(("table", "name"), NAMES.items())
def test_names(table: str, name: str) -> None:
    assert collection_id(table) == name


def test_names_that_collide(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    made(file, 'CREATE TABLE "a b"(x); CREATE TABLE "a-b"(x); CREATE TABLE c(x)').close()
    with pytest.raises(Conflict, match="`a b` and `a-b`"):
        plan(file)
    renamed = plan(file, choices=Choices(renamed={"a-b": "other"}))
    assert set(renamed.collections) == {"a_b", "other", "c"}
    with pytest.raises(BadRequest, match="no table `q`"):
        plan(file, choices=Choices(renamed={"q": "other"}))
    only = plan(file, choices=Choices(renamed={"a-b": "other"}, only=("c", "other")))
    assert set(only.collections) == {"other", "c"}


def test_standard_input_is_kept_in_a_file() -> None:
    with spooled(io.BytesIO(b"a,b\n1,2\n")) as path, open_source(path, Options(table="x")) as source:
        assert plan_import(source, Choices()).tables[0].rows == 1
    assert not path.exists()


_MEASURED = """
import resource, sys
from pathlib import Path
from localsrv.importing.documents import batches, documents
from localsrv.importing.mapping import plan_import
from localsrv.importing.plans import Choices
from localsrv.importing.sources import Options, open_source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_source(Path(sys.argv[1]), Options()) as source:
    plan = plan_import(source, Choices())
    sent = sum(b.documents for b in batches(documents(source, plan.tables[0])))
print(sent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: it has no getrusage")
@pytest.mark.parametrize("kind", ["db", "csv", "json"])
def test_memory_is_bounded(kind: str, tmp_path: Path) -> None:
    """100,000 rows of about 33 MB go through in a fraction of that."""
    file = tmp_path / f"big.{kind}"
    rows = ((i, f"name {i}", "x" * 300) for i in range(100_000))
    if kind == "db":
        connection = made(file, "CREATE TABLE t(a, b, c)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES(?, ?, ?)", rows)
        connection.execute("COMMIT")
        connection.close()
    elif kind == "csv":
        with file.open("w") as text:
            text.write("a,b,c\n")
            text.writelines(f"{a},{b},{c}\n" for a, b, c in rows)
    else:
        with file.open("w") as text:
            text.write("[" + ",".join(f'{{"a":{a},"b":"{b}","c":"{c}"}}' for a, b, c in rows) + "]")
    grown = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(file)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert grown[0] == "100000"
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    assert int(grown[1]) * unit < 16 << 20
