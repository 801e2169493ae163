"""Forgetting: only what retention allows, never a leaf, never what a merge needs."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from localsrv.base.errors import Unavailable
from localsrv.model.query import parse_query
from localsrv.store.database import Database, Edit, StoreOptions
from localsrv.store.editing import NewAttachment
from tests.store.conftest import SHOP, collections

NOW = StoreOptions(retention_s=0)


async def chunks(data: bytes) -> Any:
    yield data


async def edited(db: Database, document_id: str, times: int) -> list[str]:
    revisions = [await db.put("notes", Edit(document_id, {"text": "0"}))]
    for n in range(1, times):
        revisions.append(await db.put("notes", Edit(document_id, {"text": str(n)}, parent=revisions[-1])))
    return revisions


def body(db: Database, document_id: str, revision: str) -> Any:
    found = db.get_document("notes", document_id, revision)
    return None if found is None or found.body is None else json.loads(found.body)["text"]


async def test_history_stays_for_its_retention_time(open_database: Any) -> None:
    db = await open_database()
    await db.define(collections(**SHOP))
    revisions = await edited(db, "a", 4)
    assert (await db.compact())["bodies"] == 0
    assert [body(db, "a", r) for r in revisions] == ["0", "1", "2", "3"]


async def test_after_it_bodies_go_and_the_tree_stays(open_database: Any) -> None:
    db = await open_database(NOW)
    await db.define(collections(**SHOP))
    revisions = await edited(db, "a", 4)
    assert (await db.compact())["bodies"] == 3
    assert [body(db, "a", r) for r in revisions] == [None, None, None, "3"]
    assert await db.missing_revisions("notes", {"a": revisions}) == {}


async def test_ancestors_of_live_conflicts_and_of_peers_are_kept(open_database: Any) -> None:
    db = await open_database(NOW)
    await db.define(collections(**SHOP))
    fork = [Edit("c", {"text": "base"}, path=("1-a",))]
    fork += [Edit("c", {"text": side}, path=(f"2-{side}", "1-a")) for side in ("left", "right")]
    await db.put_many("notes", fork, new_edits=False)
    synced = await edited(db, "s", 3)
    await db.mark_synced("notes", "phone", [("s", synced[1]), ("s", synced[0])])
    assert (await db.compact())["bodies"] == 1
    assert body(db, "c", "1-a") == "base"
    assert [body(db, "s", r) for r in synced] == [None, "1", "2"]
    await db.put("notes", Edit("c", {}, parent="2-left", deleted=True))
    await db.compact()
    assert body(db, "c", "1-a") is None and body(db, "c", "2-right") == "right"


async def test_trees_are_cut_at_the_revision_limit(open_database: Any) -> None:
    db = await open_database(StoreOptions(retention_s=0, revs_limit=10))
    await db.define(collections(**SHOP))
    revisions = await edited(db, "a", 30)
    assert (await db.compact())["revisions"] == 20
    assert (await db.raw_query("SELECT count(*), sum(parent IS NULL) FROM localsrv_revisions")).rows == [
        (10, 1)
    ]
    assert body(db, "a", revisions[-1]) == "29"
    assert await db.put("notes", Edit("a", {"text": "30"}, parent=revisions[-1]))


async def test_contents_go_with_their_last_revision(open_database: Any, tmp_path: Path) -> None:
    db = await open_database(NOW)
    await db.define(collections(**SHOP))
    await db.insert("notes", [{"id": "a"}, {"id": "b"}])
    shared, own = await db.receive(chunks(b"s" * 100_000)), await db.receive(chunks(b"o" * 100_000))
    for document_id in ("a", "b"):
        await db.put_attachment("notes", document_id, "shared", "text/plain", shared)
    await db.put_attachment("notes", "a", "own", "text/plain", own)
    files = [p for p in (tmp_path / "blobs").glob("*/*") if p.is_file()]
    assert len(files) == 2
    await db.delete("notes", parse_query([("id", "eq.a")]))
    for file in files:  # the sweep leaves young files alone: their document may not be written yet
        os.utime(file, (0, 0))
    counts = await db.compact()
    assert (counts["contents"], counts["files"]) == (1, 1)
    assert db.attachment("notes", "b", "shared").path.read_bytes() == b"s" * 100_000


async def test_a_content_whose_document_never_came_is_swept(open_database: Any, tmp_path: Path) -> None:
    db = await open_database(NOW)
    blob = await db.receive(chunks(b"x" * 100_000))
    path = tmp_path / "blobs" / blob.sha256.hex()[:2] / blob.sha256.hex()[2:]
    assert path.exists() and (await db.compact())["files"] == 0
    os.utime(path, (0, 0))
    assert (await db.compact())["files"] == 1 and not path.exists()


async def test_attachments_go_with_revisions_that_a_long_path_pushes_out(open_database: Any) -> None:
    db = await open_database(StoreOptions(retention_s=0, revs_limit=5))
    await db.define(collections(**SHOP))
    blob = await db.receive(chunks(b"old"))
    first = Edit("a", {}, path=("1-a",), attachments=(NewAttachment("f", "text/plain", blob),))
    await db.put_many("notes", [first], new_edits=False)
    path = tuple(f"{n}-{n}" for n in range(9, 1, -1))
    await db.put_many("notes", [Edit("a", {}, path=(*path, "1-a"))], new_edits=False)
    assert (await db.raw_query("SELECT count(*) FROM localsrv_attachments")).rows == [(0,)]
    assert (await db.compact())["contents"] == 1


async def test_a_content_received_again_survives_a_sweep_that_saw_it_old(
    open_database: Any, tmp_path: Path
) -> None:
    """The sweep looked at the file before it came again; the removal comes after."""
    db = await open_database(NOW)
    await db.define(collections(**SHOP))
    await db.insert("notes", [{"id": "a"}])
    blob = await db.receive(chunks(b"x" * 100_000))
    path = db._file.blobs.path(blob.sha256)
    os.utime(path, (0, 0))
    listed = db._file.blobs.files()

    def files() -> Any:
        return listed

    again = await db.receive(chunks(b"x" * 100_000))
    db._file.blobs.files = files
    await db.compact()
    await db.put_attachment("notes", "a", "x", "text/plain", again)
    assert path.read_bytes() == b"x" * 100_000


async def test_a_content_that_was_swept_before_its_document_came_is_asked_for_again(
    open_database: Any,
) -> None:
    db = await open_database(NOW)
    await db.define(collections(**SHOP))
    await db.insert("notes", [{"id": "a"}])
    blob = await db.receive(chunks(b"x" * 100_000))
    path = db._file.blobs.path(blob.sha256)
    os.utime(path, (0, 0))
    await db.compact()
    assert not path.exists()
    with pytest.raises(Unavailable):
        await db.put_attachment("notes", "a", "x", "text/plain", blob)
    assert db.get_document("notes", "a").attachments == ()
    slow = await db.receive(chunks(b"x" * 100_000))
    os.utime(path, (0, 0))
    await db.put_attachment("notes", "a", "x", "text/plain", slow)
    assert path.stat().st_mtime > 0  # no sweep that began before the document came may take it


async def test_a_cancelled_upload_leaves_no_thread_writing(db: Any, monkeypatch: Any) -> None:
    """A write in a thread goes on when its caller is cancelled: its file may be closed only afterwards."""
    started, go, written = threading.Event(), threading.Event(), []
    real = os.write

    def slow(handle: int, data: Any) -> int:
        started.set()
        assert go.wait(10)
        written.append(real(handle, data))  # EBADF, or another file, when it was closed meanwhile
        return written[-1]

    monkeypatch.setattr("localsrv.store.blobs.os.write", slow)
    upload = asyncio.ensure_future(db.receive(chunks(b"x" * 100_000)))
    await asyncio.to_thread(started.wait)
    upload.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert written == [100_000]
    assert [p for p in db._file.blobs.folder.rglob("*") if p.is_file()] == []


async def test_where_changes_came_from_is_forgotten_with_them(open_database: Any) -> None:
    db = await open_database(NOW)
    await db.define(collections(**SHOP))
    for n in range(5):
        await db.import_documents("notes", [{"_id": "a", "n": n}, {"_id": f"b{n}"}])
    await db.compact()
    sources = (await db.raw_query("SELECT count(*) FROM localsrv_sources")).rows
    assert sources == [(6,)]
    assert {c.source for c in (await db.changes(0)).changes} == {"import"}


async def test_compaction_that_is_due_does_not_disturb_closing(open_database: Any) -> None:
    db = await open_database()
    await db.define(collections(**SHOP))
    db._file.upkeep._done_at = -1_000_000
    writes = [asyncio.ensure_future(db.insert("notes", [{"n": n}])) for n in range(20)]
    await asyncio.sleep(0)
    await db.close()
    await asyncio.gather(*writes)
    await asyncio.sleep(0)
    task = db._file.upkeep._task
    assert task is None or (task.done() and not task.exception())
