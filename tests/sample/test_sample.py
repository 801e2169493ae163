"""The sample app as data: what Northwind becomes, and that installing it never takes anything back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from localsrv import sample
from localsrv.base.paths import Paths
from localsrv.client import Client
from localsrv.client.starting import connect
from localsrv.model.manifest import parse_manifest
from localsrv.sample.northwind import collections, jpeg
from tests.support.server import RunningServer

NOW = "2026-01-02T03:04:05Z"
REST = "/apps/inventory/rest/v1"


@pytest.fixture
def client(server: RunningServer, home: Path) -> Iterator[Client]:
    with connect(Paths.from_environment()) as connected:
        yield connected


@pytest.fixture(scope="module")
def documents() -> dict[str, list[dict[str, Any]]]:
    return dict(collections(sample.northwind_file(), NOW))


def test_the_manifest_declares_every_field_that_the_data_has(documents: dict[str, Any]) -> None:
    manifest = parse_manifest((sample.folder() / "app.toml").read_text("utf-8"))
    assert manifest.id == sample.APP_ID
    assert set(manifest.collections) == set(documents)
    for name, rows in documents.items():
        used = {field for row in rows for field in row if not field.startswith("_")}
        assert used <= set(manifest.collections[name].field_names), name


@pytest.mark.parametrize(
    ("collection", "count"),
    [
        ("categories", 8),
        ("suppliers", 29),
        ("products", 77),
        ("customers", 93),
        ("orders", 830),
        ("order_details", 2155),
        ("movements", 72),
    ],
)
def test_nothing_is_left_out(documents: dict[str, Any], collection: str, count: int) -> None:
    assert len(documents[collection]) == count


def test_the_stock_is_the_sum_of_movements(documents: dict[str, Any]) -> None:
    booked = {m["ProductID"]: m["quantity"] for m in documents["movements"]}
    with closing(sqlite3.connect(f"{sample.northwind_file().as_uri()}?mode=ro", uri=True)) as northwind:
        for product, stock in northwind.execute("SELECT ProductID, UnitsInStock FROM Products"):
            assert booked.get(product, 0) == stock
    assert all("UnitsInStock" not in product for product in documents["products"])
    assert {m["at"] for m in documents["movements"]} == {NOW}


def test_values_that_northwind_could_not_type(documents: dict[str, Any]) -> None:
    products = {p["ProductID"]: p for p in documents["products"]}
    assert products[1]["Discontinued"] is False
    assert products[5]["Discontinued"] is True
    first = documents["orders"][0]
    assert (first["OrderID"], first["OrderDate"], first["ShippedDate"]) == (10248, "1996-07-04", "1996-07-16")
    assert any(order["ShippedDate"] is None for order in documents["orders"])


@pytest.mark.parametrize("before", [b"", b"\x15\x1c" + b"\0" * 76])
def test_a_picture_without_its_ole_header(before: bytes) -> None:
    assert jpeg(before + b"\xff\xd8\xff\xe0picture") == b"\xff\xd8\xff\xe0picture"


def test_a_picture_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="JPEG"):
        jpeg(b"BM" + b"\0" * 200)


def test_installing_again_keeps_what_a_person_changed(server: RunningServer, client: Client) -> None:
    info = sample.install(client)
    assert info["id"] == "inventory"
    assert info["has_ui"] is True
    assert server.request("PATCH", f"{REST}/products?ProductID=eq.1", {"UnitPrice": 20}).status == 204
    assert server.request("DELETE", f"{REST}/movements?ProductID=eq.2").status == 204
    sold = {"ProductID": 1, "quantity": -3, "reason": "sale"}
    assert server.request("POST", f"{REST}/movements", sold).status == 201

    sample.install(client)
    (product,) = server.request("GET", f"{REST}/products?ProductID=eq.1").json()
    assert product["UnitPrice"] == 20
    moved = server.request("GET", f"{REST}/movements?select=quantity&ProductID=in.(1,2)").json()
    assert sorted(m["quantity"] for m in moved) == [-3, 39]


def test_an_install_that_was_broken_off_goes_on(server: RunningServer, client: Client) -> None:
    client.add_app(str(sample.folder()))
    rows = dict(collections(sample.northwind_file(), NOW))
    client.import_documents("inventory", "categories", rows["categories"])
    sample.install(client)
    counts = {c["name"]: c["documents"] for c in client.app("inventory")["collections"]}
    assert counts == {name: len(found) for name, found in rows.items()}


def test_the_picture_is_the_one_in_northwind(server: RunningServer, client: Client) -> None:
    sample.install(client)
    stored = client.attachment("inventory", "categories", "8", "picture.jpg")
    with closing(sqlite3.connect(f"{sample.northwind_file().as_uri()}?mode=ro", uri=True)) as northwind:
        (picture,) = northwind.execute("SELECT Picture FROM Categories WHERE CategoryID = 8").fetchone()
    assert stored == picture


@pytest.mark.parametrize(
    ("movement", "status"),
    [
        ({"ProductID": 1, "quantity": 0, "reason": "nothing"}, 400),
        ({"ProductID": 1, "quantity": 1.5, "reason": "sale"}, 400),
        ({"ProductID": 1, "reason": "sale"}, 400),
        ({"ProductID": 1, "quantity": 1}, 400),
        ({"ProductID": 12345, "quantity": 1, "reason": "sale"}, 409),
    ],
)
def test_a_movement_must_make_sense(
    server: RunningServer, client: Client, movement: dict[str, Any], status: int
) -> None:
    sample.install(client)
    assert server.request("POST", f"{REST}/movements", movement).status == status
    assert len(server.request("GET", f"{REST}/movements?limit=1000").json()) == 72
