"""store/cache_file.py: bounded, and never a reason not to start."""

from __future__ import annotations

from pathlib import Path

import pytest

from localsrv.store.cache_file import CacheFile, Entry


async def test_entries_come_back_with_what_was_noted(tmp_path: Path) -> None:
    file = await CacheFile.open(tmp_path / "c.db", 1 << 20)
    assert await file.put("a", "k", Entry(b"\0one", {"n": 1}, variant="x"), 0)
    assert await file.put("a", "k", Entry(b"two", expires_at=10.0, variant="y"), 0)
    assert await file.put("b", "k", Entry(b"other"), 0)
    assert [e.body for e in await file.get("a", "k", 9)] == [b"\0one", b"two"]
    assert [e.body for e in await file.get("a", "k", 10)] == [b"\0one"], "the other has ended"
    assert (await file.get("a", "k", 0))[0].meta == {"n": 1}
    assert await file.delete("a", "k", ["x"]) == 1
    await file.close()
    file = await CacheFile.open(tmp_path / "c.db", 1 << 20)
    assert [e.body for e in await file.get("a", "k", 0)] == [b"two"]
    assert await file.clear("a") == 1
    assert [e.body for e in await file.get("b", "k", 0)] == [b"other"]
    await file.close()


async def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    file = await CacheFile.open(tmp_path / "c.db", 5000)
    for key in ("1", "2", "3", "4"):
        assert await file.put("s", key, Entry(bytes(1000)), 0)
    await file.get("s", "1", 0)
    assert await file.put("s", "5", Entry(bytes(1000)), 0)
    assert [k for k in "12345" if await file.get("s", k, 0)] == ["1", "3", "4", "5"]
    assert file.size <= 5000
    assert not await file.put("s", "6", Entry(bytes(5000)), 0), "larger than everything together"
    assert await file.count("s") == (4, file.size)
    await file.close()


async def test_the_file_stays_small_however_much_goes_through(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    file = await CacheFile.open(path, 1 << 20)
    for number in range(200):
        await file.put("s", str(number), Entry(bytes(50_000)), 0)
    await file.close()
    assert path.stat().st_size < 2 << 20


async def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = await CacheFile.open(tmp_path / "c.db", 1 << 20)
    await file.put("s", "k", Entry(b"1"), 0)

    def fail(entry: Entry | None) -> Entry | None:
        raise ValueError

    with pytest.raises(ValueError):
        await file.change("s", "k", 0, fail)
    changed = await file.change("s", "k", 0, lambda e: Entry(e.body + b"2" if e else b""))
    assert changed is not None and changed.body == b"12"
    await file.close()


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" + bytes(5000), b""])
async def test_a_damaged_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.db"
    path.write_bytes(content)
    file = await CacheFile.open(path, 1 << 20)
    assert await file.put("s", "k", Entry(b"1"), 0)
    await file.close()


async def test_a_file_of_a_newer_version_is_made_anew(tmp_path: Path) -> None:
    from localsrv.store.driver import connect

    path = tmp_path / "c.db"
    connection = connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    file = await CacheFile.open(path, 1 << 20)
    assert await file.put("s", "k", Entry(b"1"), 0)
    await file.close()
