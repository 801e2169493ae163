"""Northwind's tables as the documents of the sample's collections.

Field names stay as Northwind has them. Three things change, since the collections declare more than the
old file could: dates lose their empty time of day, `Discontinued` is a boolean, and `UnitsInStock` is no
field any more but the first movement of its product (a counter in a document would lose one of two
simultaneous sales).
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

TABLES = {
    "categories": "Categories",
    "suppliers": "Suppliers",
    "products": "Products",
    "customers": "Customers",
    "orders": "Orders",
    "order_details": "Order Details",
}
"""Collection → table, in an order in which every relation's target comes first."""

_DATES = ("OrderDate", "RequiredDate", "ShippedDate")
_OLE_HEADER = 78
"""Older copies of Northwind put an OLE header of 78 bytes before each picture."""


def collections(file: Path, now: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each collection's id with its documents, ready for the import route.

    `file` is the Northwind database; `now` is the RFC 3339 time that the opening stock is booked at.
    """
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        for collection, table in TABLES.items():
            rows = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - names from TABLES alone
            yield collection, [_document(collection, dict(row)) for row in rows]
        stock = connection.execute("SELECT ProductID, UnitsInStock FROM Products WHERE UnitsInStock <> 0")
        yield "movements", [_opening(row["ProductID"], row["UnitsInStock"], now) for row in stock]


def _document(collection: str, row: dict[str, Any]) -> dict[str, Any]:
    if collection == "categories":
        data = base64.b64encode(jpeg(row.pop("Picture"))).decode("ascii")
        row["_attachments"] = {"picture.jpg": {"content_type": "image/jpeg", "data": data}}
    elif collection == "products":
        del row["UnitsInStock"]
        row["Discontinued"] = row["Discontinued"] == "1"
    elif collection == "orders":
        row.update({name: row[name] and row[name][:10] for name in _DATES})
    return row


def _opening(product: int, quantity: int, now: str) -> dict[str, Any]:
    return {
        "_id": f"opening-{product}",
        "ProductID": product,
        "quantity": quantity,
        "reason": "opening",
        "at": now,
    }


def jpeg(picture: bytes) -> bytes:
    """The picture without an OLE header, should it have one.

    Raises:
        ValueError: it is no JPEG.
    """
    for start in (0, _OLE_HEADER):
        if picture[start : start + 3] == b"\xff\xd8\xff":
            return picture[start:]
    raise ValueError("a category's picture is no JPEG")
