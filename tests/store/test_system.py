"""The system file: durable, refused when it is damaged or too new."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from localsrv.base.errors import StorageError, Unavailable
from localsrv.store.driver import sqlite3
from localsrv.store.system import AppRow, System


async def test_what_is_written_is_read_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    system = await System.open(path)
    await system.put_app(AppRow("shop", "Shop", "1", 1, 1))
    await system.put_app(AppRow("shop", "The shop", "2", 1, 5))
    await system.close()
    system = await System.open(path)
    assert await system.apps() == [AppRow("shop", "The shop", "2", 1, 5)]
    await system.delete_app("shop")
    assert await system.apps() == []
    await system.close()


async def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    path.write_bytes(b"no database at all, however long it may be" * 50)
    before = path.read_bytes()
    with pytest.raises(StorageError) as caught:
        await System.open(path)
    assert caught.value.code == "storage-damaged"
    assert path.read_bytes() == before


async def test_a_file_from_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    await (await System.open(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError) as caught:
        await System.open(path)
    assert caught.value.code == "storage-too-new"
    assert path.read_bytes() == before


async def test_work_whose_caller_went_away_ends_before_the_file_is_closed(tmp_path: Path) -> None:
    """Two threads in one connection would crash the process."""
    system = await System.open(tmp_path / "system.db")
    entered, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(connection: Any) -> None:
        entered.set()
        assert go_on.wait(20)
        connection.execute("SELECT count(*) FROM grants").fetchall()
        order.append("worked")

    waiting = asyncio.ensure_future(system.run(slow))
    assert await asyncio.to_thread(entered.wait, 20)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    closing = asyncio.ensure_future(system.close())
    closing.add_done_callback(lambda _: order.append("closed"))
    for _ in range(100):  # it would be closed by now if nothing held it
        await asyncio.sleep(0)
    go_on.set()
    await closing
    assert order == ["worked", "closed"]
    with pytest.raises(Unavailable):
        await system.apps()
