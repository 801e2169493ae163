"""`localsrv import` and `export` against a real server, as a person calls them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.importing.support import schema_of, tables_of
from tests.support.server import RunningServer

COMMAND = [sys.executable, "-m", "localsrv"]


def localsrv(*arguments: str, stdin: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([*COMMAND, *arguments], input=stdin, capture_output=True, timeout=100)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done


def events(*arguments: str, stdin: bytes = b"", code: int = 0) -> list[dict[str, Any]]:
    out = localsrv("import", "--json", *arguments, stdin=stdin, code=code).stdout
    return [json.loads(line) for line in out.splitlines()]


def imported(*arguments: str, stdin: bytes = b"") -> dict[str, dict[str, Any]]:
    last = events(*arguments, stdin=stdin)[-1]
    assert last["event"] == "result"
    return {c["collection"]: c for c in last["result"]["collections"]}


def summed(result: dict[str, dict[str, Any]]) -> tuple[int, int, int, int]:
    names = ("created", "updated", "unchanged", "violation_count")
    created, updated, unchanged, violations = (sum(c[n] for c in result.values()) for n in names)
    return created, updated, unchanged, violations


@pytest.mark.parametrize(("name", "rows"), [("northwind", 3310), ("chinook", 15607)])
def test_real_databases(
    name: str, rows: int, server: RunningServer, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source: Path = request.getfixturevalue(name)
    assert summed(imported(str(source), "--app", name)) == (rows, 0, 0, 0)
    assert summed(imported(str(source), "--app", name)) == (0, 0, rows, 0)
    target = tmp_path / "out.db"
    localsrv("export", "--app", name, "-o", str(target))
    assert tables_of(target) == tables_of(source)
    assert schema_of(target) == schema_of(source)


def test_pictures_are_served_as_pictures(server: RunningServer, northwind: Path) -> None:
    imported(str(northwind), "--app", "shop")
    answer = server.request("GET", "/api/v1/apps/shop/collections/categories/documents/1/attachments/Picture")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/jpeg"
    with sqlite3.connect(northwind) as connection:
        [(picture,)] = connection.execute("SELECT Picture FROM Categories WHERE CategoryID=1")
    connection.close()
    assert answer.body == picture


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "ndjson"])
def test_text_formats_come_back(kind: str, server: RunningServer, northwind: Path, tmp_path: Path) -> None:
    """Northwind written as text, imported as another app, and written again: byte for byte the same."""
    imported(str(northwind), "--app", "shop")
    first, second = (tmp_path / n / f"orders.{kind}" for n in ("1", "2"))
    for folder, app in ((first, "shop"), (second, "again")):
        folder.parent.mkdir()
        localsrv("export", "--app", app, "--collection", "orders", "-o", str(folder))
        if app == "shop":
            imported(str(first), "--app", "again", "--key", "OrderID")
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) > 100_000


def test_all_collections_as_one_json(server: RunningServer, northwind: Path, tmp_path: Path) -> None:
    imported(str(northwind), "--app", "shop")
    file = tmp_path / "shop.json"
    localsrv("export", "--app", "shop", "-o", str(file))
    assert summed(imported(str(file), "--app", "shop")) == (0, 0, 3310, 0)


def test_changed_rows_alone_are_written(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,v\n1,a\n2,b\n3,c\n")
    assert summed(imported(str(file), "--app", "x")) == (3, 0, 0, 0)
    file.write_text("id,v\n1,a\n2,B\n4,d\n")
    assert summed(imported(str(file), "--app", "x")) == (1, 1, 1, 0)
    rows = server.request("GET", "/api/v1/apps/x/collections/t/documents").json()["documents"]
    assert [(r["id"], r["v"], r["_rev"][:2]) for r in rows] == [
        (1, "a", "1-"), (2, "B", "2-"), (3, "c", "1-"), (4, "d", "1-")
    ]  # fmt: skip


def test_an_interrupted_run_is_continued(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "big.csv"
    with file.open("w") as text:
        text.write("n,v\n")
        text.writelines(f"{i},value {i}\n" for i in range(20_000))
    process = subprocess.Popen(
        [*COMMAND, "import", "--json", str(file), "--app", "x"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "progress":
            break
    process.kill()
    process.communicate()
    created, updated, unchanged, _ = summed(imported(str(file), "--app", "x"))
    assert created + unchanged == 20_000
    assert updated == 0
    assert unchanged > 0
    assert summed(imported(str(file), "--app", "x")) == (0, 0, 20_000, 0)


def test_what_was_set_since_stays(server: RunningServer, tmp_path: Path) -> None:
    """A full-text index and a further field that somebody added survive the next import."""
    file = tmp_path / "t.csv"
    file.write_text("id,name\n1,Chai\n")
    imported(str(file), "--app", "x")
    address = "/api/v1/apps/x/collections/t"
    [info] = server.request("GET", "/api/v1/apps/x/collections").json()["collections"]
    definition = info["definition"]
    definition["full_text"] = ["name"]
    definition["fields"]["more"] = "integer"
    assert server.request("PUT", address, definition).status == 200
    file.write_text("id,name,price\n1,Chai,2.50\n")
    imported(str(file), "--app", "x")
    [info] = server.request("GET", "/api/v1/apps/x/collections").json()["collections"]
    assert info["definition"]["full_text"]["weights"] == {"name": 1.0}
    assert info["definition"]["fields"] == {
        "id": "integer",
        "name": "text",
        "more": "integer",
        "price": "decimal",
    }


def test_broken_rules_are_stored_and_listed(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    connection = sqlite3.connect(file)
    connection.executescript(
        "CREATE TABLE p(i INTEGER PRIMARY KEY, boss INT REFERENCES p);"
        "CREATE TABLE c(i INTEGER PRIMARY KEY, p INT REFERENCES p);"
        "INSERT INTO p VALUES(1, 3), (2, 99), (3, 1); INSERT INTO c VALUES(1, 1), (2, 7)"
    )
    connection.close()
    for _ in range(2):
        result = imported(str(file), "--app", "x")
        found = {n: [(v["id"], v["kind"]) for v in c["violations"]] for n, c in result.items()}
        assert found == {"p": [("2", "relation")], "c": [("2", "relation")]}
        assert summed(result)[3] == 2


def test_a_dry_run_stores_nothing_and_starts_nothing(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,name\n1,Chai\n")
    out = localsrv("import", str(file), "--app", "x", "--dry-run").stdout.decode()
    assert "name" in out and "Nothing was stored" in out
    assert not (home / "runtime" / "server.json").exists()


def test_it_starts_the_server_when_there_is_none(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,name\n1,Chai\n")
    try:
        assert summed(imported(str(file), "--app", "x")) == (1, 0, 0, 0)
    finally:
        localsrv("stop")


def test_standard_input_and_output(server: RunningServer) -> None:
    text = "id,name\n1,Chai\n2,\n"
    assert summed(imported("-", "--app", "x", "--collection", "teas", stdin=text.encode())) == (2, 0, 0, 0)
    assert localsrv("export", "--app", "x", "--format", "csv").stdout.decode() == text
    assert localsrv("export", "--app", "x", "--format", "csv", "-o", "-").stdout.decode() == text


def test_files_are_not_replaced_unasked(server: RunningServer, tmp_path: Path) -> None:
    imported("-", "--app", "x", "--collection", "a", stdin=b"id\n1\n")
    target = tmp_path / "out.db"
    target.write_text("mine")
    localsrv("export", "--app", "x", "-o", str(target), code=6)
    assert target.read_text() == "mine"
    localsrv("export", "--app", "x", "-o", str(target), "--force")
    assert list(tables_of(target)) == ["a"]
    imported("-", "--app", "x", "--collection", "b", stdin=b"id\n1\n")
    folder = tmp_path / "folder"
    told = localsrv("export", "--app", "x", "--format", "csv", "-o", str(folder)).stdout.decode()
    assert f"documents of 2 collections to the folder {folder}." in " ".join(told.split()), told
    assert sorted(p.name for p in folder.iterdir()) == ["a.csv", "b.csv"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "home") == [
        "folder", "home-server.log", "out.db"
    ]  # fmt: skip


def test_documents_that_no_import_brought(server: RunningServer, tmp_path: Path) -> None:
    """Collections made by hand: `id` is a column, undeclared fields are columns, attachments a table."""
    base = "/api/v1/apps/x"
    server.request("POST", "/api/v1/apps", {"id": "x", "title": "X"})
    server.request("PUT", f"{base}/collections/notes", {"fields": {"text": "text", "n": "decimal"}})
    documents = [
        {"_id": "a", "text": "one", "n": "0.12345678901234567890", "extra": {"deep": [1]}},
        {"_id": "b", "text": None, "n": 1.5, "flag": True,
         "_attachments": {"f.txt": {"content_type": "text/plain", "data": "aGk="}}},
    ]  # fmt: skip
    sent = server.request("POST", f"{base}/collections/notes/import", documents)
    assert sent.status == 200, sent.body
    target = tmp_path / "out.db"
    localsrv("export", "--app", "x", "-o", str(target))
    connection = sqlite3.connect(target)
    assert connection.execute("SELECT id, text, n, extra, flag FROM notes ORDER BY 1").fetchall() == [
        ("a", "one", "0.12345678901234567890", '{"deep":[1]}', None),
        ("b", None, 1.5, None, 1),
    ]
    assert connection.execute("SELECT * FROM attachments_of_documents").fetchall() == [
        ("notes", "b", "f.txt", "text/plain", b"hi")
    ]
    connection.close()


ERRORS: dict[str, tuple[list[str], int, str]] = {
    "no file": (["gone.csv", "--app", "x"], 4, "file-not-found"),
    "a bad app name": (["t.csv", "--app", "X!"], 6, "bad-app-name"),
    "a bad key": (["t.csv", "--app", "x", "--key", "q"], 6, "unknown-column"),
    "a bad encoding": (["t.csv", "--app", "x", "--encoding", "q"], 6, "unknown-encoding"),
    "uneven rows": (["bad.csv", "--app", "x"], 6, "uneven-row"),
}


@pytest.mark.parametrize(("arguments", "code", "name"), ERRORS.values(), ids=ERRORS.keys())
def test_errors(arguments: list[str], code: int, name: str, server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id\n1\n")
    (tmp_path / "bad.csv").write_text("id\n1,2\n")
    file, *options = arguments
    assert events(str(tmp_path / file), *options, code=code)[-1]["error"]["code"] == name
    assert server.request("GET", "/api/v1/apps/x").status == 404


def test_a_row_larger_than_a_body(servers: Callable[..., RunningServer], home: Path, tmp_path: Path) -> None:
    servers(home, env={"LOCALSRV_MAX_BODY_MB": "1"})
    file = tmp_path / "x.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE t(i INTEGER PRIMARY KEY, b BLOB)")
    connection.execute("INSERT INTO t VALUES(1, x'00'), (2, zeroblob(2000000)), (3, x'01')")
    connection.commit()
    connection.close()
    error = events(str(file), "--app", "x", code=6)[-1]["error"]
    assert error["code"] == "too-large"
    assert "row 2" in error["message"] and "max_body_mb" in error["hint"]
