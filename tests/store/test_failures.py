"""Full disks, read-only and damaged files, files from another version: clear errors, nothing lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localsrv.base.errors import StorageError
from localsrv.model.query import parse_query
from localsrv.store.database import Database
from localsrv.store.driver import connect
from tests.store.conftest import collections
from tests.support.disks import read_only


async def test_a_full_disk_refuses_and_keeps_what_it_has(disk: Callable[[int], Path]) -> None:
    small_disk = disk(3)
    db = await Database.open(small_disk / "app.db", small_disk / "blobs")
    await db.define(collections(t={"fields": {"x": "text"}}))
    kept = (await db.insert("t", [{"x": "first"}])).ids
    with pytest.raises(StorageError) as caught:
        await db.insert("t", [{"x": "y" * 1000} for _ in range(10_000)])
    assert caught.value.code == "storage-full"
    assert db.collection("t").documents == 1

    async def endless() -> Any:
        while True:
            yield b"z" * 65536

    with pytest.raises(StorageError) as blob:
        await db.receive(endless())
    assert blob.value.code == "storage-full"
    assert not [p for p in (small_disk / "blobs").rglob("*") if p.is_file()]
    kept += (await db.insert("t", [{"x": "after"}])).ids  # room is there again, so writing goes on
    await db.close()
    db = await Database.open(small_disk / "app.db", small_disk / "blobs")
    assert [db.get_row("t", i) is not None for i in kept] == [True, True]
    await db.close()


async def test_one_write_too_large_for_the_disk_does_not_fail_its_neighbours(
    disk: Callable[[int], Path],
) -> None:
    small_disk = disk(3)
    db = await Database.open(small_disk / "app.db", small_disk / "blobs")
    await db.define(collections(t={"fields": {"x": "text"}}))
    large = [{"x": "y" * 1000} for _ in range(10_000)]
    done = await asyncio.gather(
        *(db.insert("t", [{"x": str(n)}]) for n in range(20)), db.insert("t", large),
        *(db.insert("t", [{"x": str(n)}]) for n in range(20)), return_exceptions=True,
    )  # fmt: skip
    failed = [n for n, d in enumerate(done) if isinstance(d, BaseException)]
    assert failed == [20]
    assert db.collection("t").documents == 40
    await db.close()


async def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    path.write_bytes(os.urandom(50_000))
    before = path.read_bytes()
    with pytest.raises(StorageError) as caught:
        await Database.open(path, tmp_path / "blobs")
    assert caught.value.code == "storage-damaged" and "app.db" in (caught.value.details or "")
    assert path.read_bytes() == before


async def test_damage_inside_is_reported_by_reads_and_writes(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "app.db", tmp_path / "blobs")
    await db.define(collections(t={"fields": {"x": "text"}}, well={}))
    await db.insert("t", [{"id": str(n), "x": "v" * 500} for n in range(2000)])
    root = (await db.raw_query("SELECT rootpage FROM sqlite_master WHERE name = 't'")).rows[0][0]
    await db.close()
    with (tmp_path / "app.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    db = await Database.open(tmp_path / "app.db", tmp_path / "blobs")
    for attempt in (
        db.select("t", parse_query([("x", "eq.v")])),
        db.update("t", parse_query([("id", "eq.5")]), {"x": "w"}),
        db.insert("t", [{"id": "5", "x": "again"}]),
    ):
        with pytest.raises(StorageError) as caught:
            await attempt
        assert caught.value.code == "storage-damaged"
    with pytest.raises(StorageError):
        db.get_row("t", "5")
    await db.insert("well", [{"id": "a"}])  # what is not damaged still works
    assert db.get_row("well", "a") is not None
    await db.close()


async def test_a_read_only_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "ro"
    folder.mkdir()
    db = await Database.open(folder / "app.db", folder / "blobs")
    await db.define(collections(t={}))
    await db.insert("t", [{"x": 1}])
    await db.close()
    with read_only(folder):
        with pytest.raises(StorageError) as caught:
            await Database.open(folder / "app.db", folder / "blobs")
        assert caught.value.code in ("storage-read-only", "storage-unreachable")
    db = await Database.open(folder / "app.db", folder / "blobs")
    assert db.collection("t").documents == 1
    await db.close()


async def test_a_file_from_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "app.db", tmp_path / "blobs")
    await db.close()
    connection = connect(tmp_path / "app.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = (tmp_path / "app.db").read_bytes()
    with pytest.raises(StorageError) as caught:
        await Database.open(tmp_path / "app.db", tmp_path / "blobs")
    assert caught.value.code == "storage-too-new" and "newer localsrv" in caught.value.message
    assert (tmp_path / "app.db").read_bytes() == before


async def test_a_migration_is_one_transaction_after_a_snapshot(tmp_path: Path, monkeypatch: Any) -> None:
    from localsrv.store import migrations

    folder = tmp_path / "sql" / "app"
    folder.mkdir(parents=True)
    real = migrations.resources.files("localsrv.store") / "sql" / "app"
    scripts = sorted(entry.name for entry in real.iterdir())
    for name in scripts:
        (folder / name).write_text((real / name).read_text())
    now, later = len(scripts), len(scripts) + 1
    monkeypatch.setattr(migrations.resources, "files", lambda _: tmp_path)
    migrations._scripts.cache_clear()
    try:
        db = await Database.open(tmp_path / "app.db", tmp_path / "blobs")
        await db.define(collections(t={}))
        await db.insert("t", [{"id": "a"}])
        await db.close()
        (folder / f"{later:04}-next.sql").write_text(
            "CREATE TABLE extra (x);\nINSERT INTO nowhere VALUES (1);\n"
        )
        migrations._scripts.cache_clear()
        with pytest.raises(StorageError):
            await Database.open(tmp_path / "app.db", tmp_path / "blobs")
        connection = connect(tmp_path / "app.db")
        assert connection.execute("PRAGMA user_version").fetchone() == (now,)
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone() == (
            0,
        )
        connection.close()
        saved = connect(tmp_path / f"app.before-{later}.db")
        assert saved.execute("SELECT _id FROM t").fetchall() == [("a",)]
        saved.close()
        (folder / f"{later:04}-next.sql").write_text("-- more\nCREATE TABLE extra (x);\n")
        db = await Database.open(tmp_path / "app.db", tmp_path / "blobs")
        assert db.get_row("t", "a") is not None
        assert (await db.raw_query("PRAGMA user_version")).rows == [(later,)]
        await db.close()
    finally:
        migrations._scripts.cache_clear()


async def test_raw_sql_can_only_read(tmp_path: Path) -> None:
    from localsrv.base.errors import BadRequest, QueryTimeout
    from localsrv.store.database import StoreOptions

    db = await Database.open(tmp_path / "app.db", tmp_path / "blobs", StoreOptions(query_timeout_s=0.3))
    await db.define(collections(t={}))
    await db.insert("t", [{"id": str(n)} for n in range(10)])
    for sql in (
        "DELETE FROM t", "ATTACH 'other.db' AS o", "PRAGMA journal_mode=DELETE", "VACUUM",
        "SELECT 1; SELECT 2", "SELECT load_extension('x')", "CREATE TEMP TABLE x (a)", "SELEC 1", "",
        "SELECT * FROM nowhere", "COMMIT",
    ):  # fmt: skip
        with pytest.raises(BadRequest):
            await db.raw_query(sql)
    result = await db.raw_query("SELECT _id FROM t WHERE _id > :low ORDER BY _id", {"low": "3"}, limit=4)
    assert (result.columns, result.truncated, len(result.rows)) == (["_id"], True, 4)
    with pytest.raises(QueryTimeout):
        await db.raw_query(
            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
        )
    assert not list(tmp_path.glob("other.db"))
    await db.close()
