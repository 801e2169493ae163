"""Histories of many revisions at once."""

from __future__ import annotations

from pathlib import Path

from localsrv.store.database import Database
from localsrv.store.editing import Edit


async def test_paths(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "app.db", tmp_path / "blobs")
    await db.create_database("notes")
    once = await db.put("notes", Edit("once", {"n": 1}))
    path = [await db.put("notes", Edit("often", {"n": 0}))]
    for n in range(1, 5):
        path.insert(0, await db.put("notes", Edit("often", {"n": n}, path[0])))
    grafts = [
        Edit("twins", {}, path=("3-c", "2-b", "1-a")),
        Edit("twins", {}, path=("2-x", "1-a")),
        Edit("cut", {}, path=("9-i", "8-h")),
        Edit("_design/app", {}, path=("2-q", "1-p")),
    ]
    assert all(isinstance(done, str) for done in await db.put_many("notes", grafts, new_edits=False))
    asked = [
        ("often", path[0]),
        ("twins", "2-x"),
        ("once", once),
        ("twins", "3-c"),
        ("cut", "9-i"),
        ("_design/app", "2-q"),
        ("nobody", "2-x"),
        ("often", path[2]),
    ]
    assert await db.paths("notes", asked) == [
        tuple(path),
        ("2-x", "1-a"),
        (once,),
        ("3-c", "2-b", "1-a"),
        ("9-i", "8-h"),
        ("2-q", "1-p"),
        ("2-x",),
        tuple(path[2:]),
    ]
    await db.close()
