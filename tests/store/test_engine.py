"""The writer: grouped commits, savepoints, replay, and what a crash or a full disk leaves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from localsrv.base.errors import InvalidValue, QueryTimeout, StorageError, Unavailable
from localsrv.store.driver import Connection, connect, sqlite3
from localsrv.store.engine import RollbackAfter, Transaction, Writer


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    def set_up(connection: Connection) -> None:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")

    made = Writer(tmp_path / "x.db", set_up)
    await made.start()
    yield made
    await made.close()


def rows(tmp_path: Path) -> list[int]:
    connection = connect(tmp_path / "x.db", read_only=True)
    found = [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]
    connection.close()
    return found


def insert(n: int) -> Callable[[Transaction], int]:
    def run(tx: Transaction) -> int:
        tx.execute("INSERT INTO t (n) VALUES (?)", (n,))
        return n

    return run


async def held(writer: Writer) -> tuple[threading.Event, asyncio.Future[None]]:
    """Keeps the writer busy, so that what is submitted next waits and becomes one group."""
    started, go = threading.Event(), threading.Event()

    def wait(tx: Transaction) -> None:
        started.set()
        assert go.wait(10)

    future = writer.submit(wait)
    await asyncio.to_thread(started.wait)
    return go, future


async def test_waiting_writes_are_one_transaction_and_answered_after_commit(
    writer: Writer, tmp_path: Path
) -> None:
    go, first = await held(writer)
    commits: list[str] = []

    def traced(tx: Transaction) -> None:
        tx.connection.set_trace_callback(
            lambda sql: commits.append(sql) if sql in ("COMMIT", "BEGIN IMMEDIATE") else None
        )

    futures = [writer.submit(insert(n)) for n in range(50)]
    watching = writer.submit(traced)
    go.set()
    await first
    assert await asyncio.gather(*futures) == list(range(50))
    await watching
    assert rows(tmp_path) == list(range(50))
    assert commits == ["COMMIT"]  # the trace began inside the group: all 51 operations shared its commit


async def test_a_failing_operation_fails_alone(writer: Writer, tmp_path: Path) -> None:
    go, first = await held(writer)

    def half(tx: Transaction) -> None:
        tx.execute("INSERT INTO t (n) VALUES (100)")
        raise InvalidValue("no")

    outcomes = [
        writer.submit(insert(1)),
        writer.submit(half),
        writer.submit(insert(1)),
        writer.submit(insert(2)),
    ]
    go.set()
    await first
    done = await asyncio.gather(*outcomes, return_exceptions=True)
    assert done[0] == 1 and done[3] == 2
    assert isinstance(done[1], InvalidValue) and isinstance(done[2], StorageError)
    assert rows(tmp_path) == [1, 2]


async def test_a_dropped_transaction_is_replayed_one_by_one(writer: Writer, tmp_path: Path) -> None:
    """An interrupt drops the whole transaction; the neighbours of the culprit must still be written."""
    go, first = await held(writer)
    effects: list[int] = []

    def note(n: int) -> Callable[[Transaction], int]:
        def run(tx: Transaction) -> int:
            tx.execute("INSERT INTO t (n) VALUES (?)", (n,))
            tx.after_commit(lambda: effects.append(n))
            return n

        return run

    def interrupted(tx: Transaction) -> None:
        tx.connection.set_progress_handler(lambda: 1, 1)
        try:
            tx.execute(
                "WITH RECURSIVE c(n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM c WHERE n < 9000)"
                " INSERT INTO t (n) SELECT n FROM c"
            )
        finally:
            tx.connection.set_progress_handler(None, 0)

    futures = [writer.submit(note(1)), writer.submit(interrupted), writer.submit(note(2))]
    go.set()
    await first
    done = await asyncio.gather(*futures, return_exceptions=True)
    assert done[0] == 1 and done[2] == 2
    assert isinstance(done[1], QueryTimeout)
    assert rows(tmp_path) == [1, 2]
    assert effects == [1, 2]  # once each, though their functions ran twice


async def test_another_program_that_holds_the_file_is_waited_for_once(tmp_path: Path, writer: Writer) -> None:
    other = connect(tmp_path / "x.db")
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    done = await asyncio.gather(*(writer.submit(insert(n)) for n in range(30)), return_exceptions=True)
    assert {d.code for d in done if isinstance(d, StorageError)} == {"storage-busy"} and len(done) == 30
    assert time.monotonic() - began < 25  # two groups at the most, not thirty times five seconds
    other.execute("ROLLBACK")
    other.close()
    assert await writer.submit(insert(1)) == 1


async def test_rollback_after_answers_and_keeps_nothing(writer: Writer, tmp_path: Path) -> None:
    def dry(tx: Transaction) -> int:
        tx.execute("INSERT INTO t (n) VALUES (7)")
        raise RollbackAfter(42)

    assert await writer.submit(dry) == 42
    assert rows(tmp_path) == []


async def test_an_operation_that_is_alone_shares_no_transaction(writer: Writer, tmp_path: Path) -> None:
    go, first = await held(writer)
    seen: list[list[int]] = []
    futures = [
        writer.submit(insert(1)),
        writer.submit(lambda tx: seen.append(rows(tmp_path)), alone=True),
        writer.submit(insert(2)),
        writer.submit(lambda tx: seen.append(rows(tmp_path)), alone=True),
    ]
    go.set()
    await first
    await asyncio.gather(*futures)
    assert seen == [[1], [1, 2]]


async def test_close_finishes_what_waits_and_refuses_what_comes(writer: Writer, tmp_path: Path) -> None:
    futures = [writer.submit(insert(n)) for n in range(20)]
    closing = asyncio.ensure_future(writer.close())
    assert await asyncio.gather(*futures) == list(range(20))
    await closing
    with pytest.raises(Unavailable):
        await writer.submit(insert(99))
    assert rows(tmp_path) == list(range(20))


async def test_a_caller_that_goes_away_does_not_hurt_the_group(writer: Writer, tmp_path: Path) -> None:
    go, first = await held(writer)
    gone, stays = writer.submit(insert(1)), writer.submit(insert(2))
    gone.cancel()
    go.set()
    await first
    assert await stays == 2
    assert rows(tmp_path) == [1, 2]


async def test_opening_what_is_no_database_fails_clearly(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"This is not an SQLite database at all." * 100)
    writer = Writer(tmp_path / "x.db", lambda c: None)
    with pytest.raises(StorageError) as caught:
        await writer.start()
    assert caught.value.code == "storage-damaged"


def test_version_is_new_enough() -> None:
    assert sqlite3.sqlite_version_info >= (3, 51, 3)


async def test_an_error_behind_the_commit_does_not_end_the_writer(writer: Writer, tmp_path: Path) -> None:
    def broken(tx: Transaction) -> None:
        tx.execute("INSERT INTO t (n) VALUES (1)")
        tx.after_commit(lambda: [][0])

    with pytest.raises(IndexError):
        await asyncio.wait_for(writer.submit(broken), 5)
    assert await asyncio.wait_for(writer.submit(insert(2)), 5) == 2
    assert rows(tmp_path) == [1, 2]
