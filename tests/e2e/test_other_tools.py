"""SQLite tools see sane typed columns in an app's file while the server runs, and disturb nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run
from tests.support.server import RunningServer, start_server
from tests.support.waiting import wait_until

TYPES = {
    "ProductID": "INTEGER",
    "ProductName": "TEXT",
    "SupplierID": "INTEGER",
    "CategoryID": "INTEGER",
    "QuantityPerUnit": "TEXT",
    "UnitPrice": "NUMERIC",
    "UnitsInStock": "INTEGER",
}

CHAI = {
    "ProductID": 1,
    "ProductName": "Chai",
    "SupplierID": 1,
    "UnitPrice": 18,
    "QuantityPerUnit": "10 boxes x 20 bags",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, northwind: Path) -> Iterator[RunningServer]:
    """A running server with Northwind in the app `shop`."""
    server = start_server(tmp_path_factory.mktemp("tools") / "home")
    done = run(server.home, "import", str(northwind), "--app", "shop", seconds=300)
    assert done.code == 0, done.err
    yield server
    added = {"ProductName": "after the tools", "ProductID": 1000, "Discontinued": "0"}
    answer = server.request("POST", "/apps/shop/rest/v1/products", added)
    assert answer.status == 201, answer.body
    assert server.stop() == 0, server.output()


@pytest.fixture
def file(shop: RunningServer) -> Path:
    return shop.home / "data" / "apps" / "shop" / "app.db"


def printed(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(shop: RunningServer) -> dict[str, int]:
    listed = shop.request("GET", "/api/v1/apps/shop/collections").json()["collections"]
    return {one["name"]: one["documents"] for one in listed}


def assert_typed(types: dict[str, str]) -> None:
    """The columns of `products`: the store's own first, then the declared ones in their order."""
    assert list(types)[:5] == ["_row", "_id", "_rev", "_seq", "_body"]
    assert {name: types[name] for name in TYPES} == TYPES


# ── sqlite3 ────────────────────────────────────────────────────────────────────────────────────────────────


def sqlite3(file: Path, *commands: str) -> str:
    if shutil.which("sqlite3") is None:
        pytest.skip("sqlite3 is not installed")
    return printed("sqlite3", "-readonly", str(file), *commands)


def test_sqlite3(shop: RunningServer, file: Path) -> None:
    names = {row["name"] for row in json.loads(sqlite3(file, ".mode json", "PRAGMA table_list"))}
    assert documents(shop).keys() <= names
    columns = json.loads(sqlite3(file, ".mode json", "PRAGMA table_info(products)"))
    assert_typed({column["name"]: column["type"] for column in columns})
    wanted = ", ".join(CHAI)
    rows = json.loads(sqlite3(file, ".mode json", f"SELECT {wanted} FROM products WHERE ProductID = 1"))
    assert rows == [CHAI]
    kinds = sqlite3(
        file, "SELECT DISTINCT typeof(ProductID), typeof(ProductName), typeof(_body) FROM products"
    )
    assert kinds == "integer|text|text\n"
    assert (
        sqlite3(file, "SELECT count(*) FROM products WHERE _body ->> 'ProductName' = ProductName") == "77\n"
    )
    for name, count in documents(shop).items():
        assert sqlite3(file, f'SELECT count(*) FROM "{name}"') == f"{count}\n"
    join = "SELECT CategoryName FROM products JOIN categories USING (CategoryID) WHERE ProductName = 'Chai'"
    assert sqlite3(file, join) == "Beverages\n"
    assert sqlite3(file, "PRAGMA integrity_check") == "ok\n"


def test_what_sqlite3_sees_is_what_was_just_written(shop: RunningServer, file: Path) -> None:
    path = "/apps/shop/rest/v1/products?ProductID=eq.2"
    for stock in (5, 6):
        assert shop.request("PATCH", path, {"UnitsInStock": stock}).status == 204
        assert sqlite3(file, "SELECT UnitsInStock FROM products WHERE ProductID = 2") == f"{stock}\n"


# ── sqlite-utils ───────────────────────────────────────────────────────────────────────────────────────────


def sqlite_utils(*arguments: str) -> str:
    return printed(sys.executable, "-m", "sqlite_utils", *arguments)


def test_sqlite_utils(shop: RunningServer, file: Path) -> None:
    tables = {t["table"]: t for t in json.loads(sqlite_utils("tables", str(file), "--counts", "--columns"))}
    for name, count in documents(shop).items():
        assert tables[name]["count"] == count, name
    assert list(TYPES) == [c for c in tables["products"]["columns"] if c in TYPES]
    schema = sqlite_utils("schema", str(file), "products")
    for name, kind in TYPES.items():
        assert f'"{name}" {kind}' in schema, schema
    rows = json.loads(sqlite_utils("rows", str(file), "products", "--where", "ProductID = 1", *(
        part for name in CHAI for part in ("-c", name)
    )))  # fmt: skip
    assert rows == [CHAI]
    assert "products" in sqlite_utils("schema", str(file))


# ── Datasette ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def datasette(shop: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Datasette that serves the file."""
    log = tmp_path_factory.mktemp("datasette") / "log"
    file = shop.home / "data" / "apps" / "shop" / "app.db"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "datasette", "serve", str(file), "--host", "127.0.0.1", "--port", "0"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def address() -> str | None:
        assert process.poll() is None, log.read_text()
        lines = [line for line in log.read_text().splitlines() if "running on http://" in line]
        return lines[0].partition("running on ")[2].split()[0] if lines else None

    yield wait_until(address, what="Datasette's address", seconds=60)
    process.terminate()
    process.wait(20)
    assert "Traceback" not in log.read_text()


def asked(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"{address}{path}", timeout=60) as answer:
        return json.load(answer)


def test_datasette(shop: RunningServer, datasette: str) -> None:
    tables = {table["name"]: table for table in asked(datasette, "/app.json")["tables"]}
    for name, count in documents(shop).items():
        assert tables[name]["count"] == count, name
    wanted = "&".join(f"_col={name}" for name in CHAI)
    found = asked(datasette, f"/app/products.json?ProductID=1&_shape=array&{wanted}")
    assert [{name: row[name] for name in CHAI} for row in found] == [CHAI]
    facets = asked(datasette, "/app/products.json?_facet=CategoryID&_extra=facet_results&_size=0")
    assert "CategoryID" in facets["facet_results"]
    page = urllib.request.urlopen(f"{datasette}/app/products", timeout=60).read().decode()
    assert "Chai" in page and "malformed" not in page


def test_the_data_is_well_after_all_of_them(shop: RunningServer, file: Path) -> None:
    assert documents(shop)["products"] == 77
    answer = shop.request("POST", "/api/v1/apps/shop/query", {"sql": "PRAGMA quick_check"})
    assert answer.json()["rows"] == [["ok"]]
    assert not file.with_name("app.db-journal").exists(), "a tool changed the file's mode"
