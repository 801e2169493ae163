"""Readers: a deadline for each, no writing, and none that waits for another."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from localsrv.base.errors import QueryTimeout, StorageError, Unavailable
from localsrv.store.driver import Connection, connect
from localsrv.store.readers import Reader, Readers


def test_readers_have_a_deadline_and_cannot_write(tmp_path: Path) -> None:
    connection = connect(tmp_path / "x.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (n)")
    reader = Reader(tmp_path / "x.db", lambda c: None)
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
    began = time.monotonic()
    with pytest.raises(QueryTimeout):
        reader.run(lambda c: c.execute(endless).fetchone(), 0.2)
    assert time.monotonic() - began < 5
    assert reader.run(lambda c: c.execute("SELECT 1").fetchone(), 5) == (1,)
    with pytest.raises(StorageError):
        reader.run(lambda c: c.execute("INSERT INTO t VALUES (1)"), 5)
    reader.connection.close()
    connection.close()


async def test_one_slow_query_does_not_hold_up_the_others(tmp_path: Path) -> None:
    connection = connect(tmp_path / "x.db")
    connection.execute("PRAGMA journal_mode=WAL")
    readers = Readers(tmp_path / "x.db", lambda c: None, threads=2)
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"

    def slow(c: Connection) -> object:
        return c.execute(endless).fetchone()

    running = asyncio.ensure_future(readers.run(slow, 1.0))
    for _ in range(20):
        assert await readers.run(lambda c: c.execute("SELECT 1").fetchone(), 5) == (1,)
    assert not running.done()
    with pytest.raises(QueryTimeout):
        await running
    await readers.close()
    connection.close()


async def test_closing_finishes_what_was_asked(tmp_path: Path) -> None:
    connection = connect(tmp_path / "x.db")
    connection.execute("PRAGMA journal_mode=WAL")
    readers = Readers(tmp_path / "x.db", lambda c: None, threads=2)
    asked = [
        asyncio.ensure_future(readers.run(lambda c: c.execute("SELECT 1").fetchone(), 5)) for _ in range(9)
    ]
    await asyncio.sleep(0)  # all are queued now
    await readers.close()
    assert await asyncio.gather(*asked) == [(1,)] * 9
    with pytest.raises(Unavailable):
        await readers.run(lambda c: None, 1)
    connection.close()
