"""The system file: durable, refused when it is damaged or too new."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from localsrv.base.errors import StorageError, Unavailable
from localsrv.model.scopes import Grant
from localsrv.store.driver import sqlite3
from localsrv.store.system import AppRow, System

GRANT = Grant("g1", "page", "shop", frozenset({"b:read", "a:read"}), "http://a.example", 10, 20, None)


async def test_what_is_written_is_read_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    system = await System.open(path)
    await system.put_app(AppRow("shop", "Shop", "1", 1, 1))
    await system.put_app(AppRow("shop", "The shop", "2", 1, 5))
    await system.add_grant(b"x" * 32, GRANT)
    await system.add_grant(b"y" * 32, Grant("g2", "all", "*", frozenset({"admin"})))
    await system.touch_grants({"g1": 15, "unknown": 1})
    await system.close()
    system = await System.open(path)
    assert await system.apps() == [AppRow("shop", "The shop", "2", 1, 5)]
    grants = dict(await system.grants())
    assert grants[b"x" * 32] == GRANT.used(15)
    await system.delete_app("shop")
    assert await system.apps() == []
    assert [g.id for _, g in await system.grants()] == ["g2"]
    await system.delete_grants(["g2", "unknown"])
    assert await system.grants() == []
    await system.close()


async def test_ordinary_tools_read_it(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    system = await System.open(path)
    await system.add_grant(b"x" * 32, GRANT)
    await system.close()
    connection = sqlite3.connect(path)
    row = connection.execute("SELECT scopes, token_sha256 FROM grants").fetchone()
    assert row == ('["a:read","b:read"]', b"x" * 32)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_a_failed_change_changes_nothing(tmp_path: Path) -> None:
    system = await System.open(tmp_path / "system.db")
    await system.add_grant(b"x" * 32, GRANT)
    with pytest.raises(StorageError):
        await system.add_grant(b"x" * 32, Grant("g2", "same token", "*", frozenset()))
    with pytest.raises(StorageError):
        await system.add_grant(b"short", Grant("g3", "no digest", "*", frozenset()))
    assert [g.id for _, g in await system.grants()] == ["g1"]
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
        await system.grants()
