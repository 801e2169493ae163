"""Forgetting: only what retention allows, never a leaf, never what a merge needs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from localsrv.model.query import parse_query
from localsrv.store.database import Database, Edit, StoreOptions
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
