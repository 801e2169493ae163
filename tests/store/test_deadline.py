"""No statement takes much longer than it may, however few steps of SQLite's own it has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from localsrv.base.errors import QueryTimeout
from localsrv.model.query import parse_query
from localsrv.store.database import Database, StoreOptions
from tests.store.conftest import collections

SLOW = "match.(.*a){12}"
"""RE2 needs some 70 ms for it on 50,000 characters, and SQLite no step at all."""


@pytest.fixture
async def texts(tmp_path: Path) -> AsyncIterator[Database]:
    """200 rows for which `SLOW` takes more than ten seconds."""
    db = await Database.open(tmp_path / "app.db", tmp_path / "blobs", StoreOptions(query_timeout_s=0.3))
    await db.define(collections(t={"fields": {"x": "text"}}))
    await db.insert("t", [{"x": "a" * 50_000 + "!"} for _ in range(200)])
    yield db
    await db.close()


async def test_patterns_stop_at_the_deadline(texts: Database) -> None:
    begun = time.monotonic()
    with pytest.raises(QueryTimeout):
        await texts.select("t", parse_query([("x", SLOW)]))
    assert time.monotonic() - begun < 5
    assert len((await texts.select("t", parse_query([("x", "match.a!$")]))).rows) == 200


async def test_a_write_stops_too_and_alone(texts: Database) -> None:
    before = texts.last_seq

    async def update(pattern: str) -> Any:
        return await texts.update("t", parse_query([("x", pattern)]), {"y": 1})

    begun = time.monotonic()
    done = await asyncio.gather(
        texts.insert("t", [{"x": "first"}]), update(SLOW), texts.delete("t", parse_query([("x", SLOW)])),
        texts.insert("t", [{"x": "last"}]), return_exceptions=True,
    )  # fmt: skip
    assert [isinstance(d, QueryTimeout) for d in done] == [False, True, True, False]
    assert time.monotonic() - begun < 8
    assert len((await texts.changes(before)).changes) == 2
    assert (await update("match.^a{100}")).affected == 200
