"""Real files for the store's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from localsrv.model.schema import Collection
from localsrv.model.schema_parse import parse_collection
from localsrv.store.database import Database, StoreOptions

OpenDatabase = Callable[..., Awaitable[Database]]


def collections(**definitions: dict[str, Any]) -> dict[str, Collection]:
    """Definitions from their JSON forms."""
    return {name: parse_collection(name, value) for name, value in definitions.items()}


SHOP = {
    "categories": {"fields": {"CategoryID": "integer", "name": "text"}, "key": "CategoryID"},
    "products": {
        "fields": {
            "ProductID": "integer",
            "name": {"type": "text", "required": True},
            "CategoryID": "integer",
            "price": "decimal",
            "active": "boolean",
            "sold_at": "timestamptz",
            "tags": "json",
            "code": "text",
        },
        "key": "ProductID",
        "unique": ["code"],
        "indexes": ["price"],
        "relations": [{"fields": "CategoryID", "to": "categories"}],
        "full_text": {"name": 2.0, "code": 1.0},
    },
    "notes": {"fields": {"text": "text"}},
}


@pytest.fixture
async def open_database(tmp_path: Path) -> AsyncIterator[OpenDatabase]:
    """Opens (and reopens) one file; what is still open is closed after the test."""
    opened: list[Database] = []

    async def open_it(options: StoreOptions | None = None) -> Database:
        database = await Database.open(tmp_path / "app.db", tmp_path / "blobs", options)
        opened.append(database)
        return database

    yield open_it
    for database in opened:
        await database.close()


@pytest.fixture
async def db(open_database: OpenDatabase) -> Database:
    """An empty database."""
    return await open_database()


@pytest.fixture
async def shop(db: Database) -> Database:
    """A database with the collections of a small shop and one category."""
    await db.define(collections(**SHOP))
    await db.insert("categories", [{"CategoryID": 1, "name": "Drinks"}])
    return db
