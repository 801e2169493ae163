"""Documents: revisions, winners, conflicts, deletion, and that the table always shows the winner."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localsrv.base.errors import (
    Conflict,
    InvalidValue,
    LocalsrvError,
    NotFound,
    RelationViolation,
    SchemaViolation,
)
from localsrv.model import revisions as rev
from localsrv.model.revisions import EMPTY, Tree
from localsrv.store.database import Database, Edit
from tests.store.conftest import SHOP, collections

OpenDatabase = Any


async def body(
    db: Database, name: str, document_id: str, revision: str | None = None
) -> dict[str, Any] | None:
    found = db.get_document(name, document_id, revision)
    return None if found is None or found.body is None else json.loads(found.body)


async def test_create_edit_delete_revive(shop: Database) -> None:
    first = await shop.put("notes", Edit("a", {"text": "one"}))
    second = await shop.put("notes", Edit("a", {"text": "two"}, parent=first))
    assert first.startswith("1-") and second.startswith("2-")
    assert await body(shop, "notes", "a") == {"text": "two"}
    assert await body(shop, "notes", "a", first) == {"text": "one"}
    gone = await shop.put("notes", Edit("a", {}, parent=second, deleted=True))
    found = shop.get_document("notes", "a")
    assert found is not None and found.deleted and found.rev == gone
    assert shop.get_row("notes", "a") is None
    assert (shop.collection("notes").documents, shop.collection("notes").tombstones) == (0, 1)
    back = await shop.put("notes", Edit("a", {"text": "again"}))
    assert back.startswith("4-")
    assert (shop.collection("notes").documents, shop.collection("notes").tombstones) == (1, 0)
    assert await body(shop, "notes", "a", second) == {"text": "two"}
    assert [d.rev for d in await shop.open_revisions("notes", "a", None)] == [back]


@pytest.mark.parametrize("parent", [None, "1-abc", "stale"])
async def test_an_edit_that_extends_no_leaf_is_a_conflict(shop: Database, parent: str | None) -> None:
    first = await shop.put("notes", Edit("a", {"text": "one"}))
    await shop.put("notes", Edit("a", {"text": "two"}, parent=first))
    before = shop.last_seq
    with pytest.raises(Conflict):
        await shop.put("notes", Edit("a", {"text": "x"}, parent=first if parent == "stale" else parent))
    assert await body(shop, "notes", "a") == {"text": "two"}
    assert (await shop.changes(before)).changes == []


async def test_the_same_edit_of_the_same_parent_is_one_revision_on_two_devices(tmp_path: Path) -> None:
    devices = [await Database.open(tmp_path / f"{n}.db", tmp_path / f"blobs{n}") for n in range(2)]
    made = []
    for device in devices:
        await device.define(collections(**SHOP))
        first = await device.put("notes", Edit("a", {"text": "x", "n": 1}))
        made.append((first, await device.put("notes", Edit("a", {"n": 1, "text": "y"}, parent=first))))
    assert made[0] == made[1]
    await asyncio.gather(*(d.close() for d in devices))


async def test_conflicts_are_kept_and_the_winner_is_couchdbs(shop: Database) -> None:
    await shop.put_many("notes", [Edit("a", {"text": "base"}, path=("1-a",))], new_edits=False)
    edits = [
        Edit("a", {"text": "left"}, path=("2-aaa", "1-a")),
        Edit("a", {"text": "right"}, path=("2-bbb", "1-a")),
        Edit("a", {}, path=("3-ccc", "2-ddd", "1-a"), deleted=True),
    ]
    assert await shop.put_many("notes", edits, new_edits=False) == ["2-aaa", "2-bbb", "3-ccc"]
    assert [d.rev for d in await shop.open_revisions("notes", "a", None)] == ["2-bbb", "2-aaa", "3-ccc"]
    assert json.loads(shop.get_row("notes", "a")[0]) == {"id": "a", "text": "right"}  # type: ignore[index]
    gone = await shop.put("notes", Edit("a", {}, parent="2-bbb", deleted=True))
    assert json.loads(shop.get_row("notes", "a")[0])["text"] == "left"  # type: ignore[index]
    await shop.put("notes", Edit("a", {}, parent="2-aaa", deleted=True))
    assert shop.get_row("notes", "a") is None
    assert shop.collection("notes").tombstones == 1
    assert await body(shop, "notes", "a", "1-a") == {"text": "base"}
    assert gone in [d.rev for d in await shop.open_revisions("notes", "a", None)]


async def test_replication_is_idempotent_and_fills_gaps(shop: Database) -> None:
    late = Edit("a", {"n": 5}, path=("5-e", "4-d"))
    early = Edit("a", {"n": 3}, path=("3-c", "2-b", "1-a"))
    await shop.put_many("notes", [late], new_edits=False)
    await shop.put_many("notes", [early], new_edits=False)
    seq = shop.last_seq
    await shop.put_many("notes", [late, early], new_edits=False)
    assert shop.last_seq == seq
    assert await shop.missing_revisions("notes", {"a": ["5-e", "4-d", "9-x"], "b": ["1-q"]}) == {
        "a": (["9-x"], ["5-e", "3-c"]),
        "b": (["1-q"], []),
    }
    await shop.put_many("notes", [Edit("a", {"n": 4}, path=("4-d", "3-c"))], new_edits=False)
    assert [d.rev for d in await shop.open_revisions("notes", "a", None)] == ["5-e", "3-c"]  # 4-d was known


async def test_local_rules_bind_local_writes_and_replication_is_tolerated(shop: Database) -> None:
    bad = {"ProductID": 9, "name": None, "CategoryID": 77, "price": "a lot", "Extra": 1}
    with pytest.raises(InvalidValue):
        await shop.put("products", Edit("9", {**bad, "name": "x"}))
    with pytest.raises(SchemaViolation):
        await shop.put("products", Edit("9", {"ProductID": 9, "name": None}))
    with pytest.raises(RelationViolation):
        await shop.put("products", Edit("9", {"ProductID": 9, "name": "x", "CategoryID": 77}))
    with pytest.raises(InvalidValue):
        await shop.put("products", Edit("10", {"ProductID": 9, "name": "x"}))
    assert shop.get_document("products", "9") is None
    assert await shop.put_many("products", [Edit("9", bad, path=("1-x",))], new_edits=False) == ["1-x"]
    assert await body(shop, "products", "9") == bad
    kinds = {(v.id, v.kind) for v in await shop.violations("products")}
    assert kinds == {("9", "relation"), ("9", "required")}


async def test_columns_follow_the_winner(shop: Database) -> None:
    document = {
        "ProductID": 1, "name": "Chai", "CategoryID": 1, "price": "18.10", "active": True,
        "sold_at": "2026-03-01T10:00:00+02:00", "tags": ["hot"],
    }  # fmt: skip
    revision = await shop.put("products", Edit("1", document))
    columns = 'ProductID, name, CategoryID, price, active, sold_at, tags, code, typeof("price")'
    expected = (1, "Chai", 1, 18.1, 1, "2026-03-01T08:00:00+00:00", '["hot"]', None, "real")
    assert (await shop.raw_query(f"SELECT {columns} FROM products")).rows == [expected]
    await shop.put("products", Edit("1", {**document, "name": "Tea", "price": 3}, parent=revision))
    assert (await shop.raw_query("SELECT name, price FROM products")).rows == [("Tea", 3)]
    assert (await shop.raw_query("SELECT count(*) FROM localsrv_fts_products('tea')")).rows == [(1,)]
    assert (await shop.raw_query("SELECT count(*) FROM localsrv_fts_products('chai')")).rows == [(0,)]


@pytest.mark.parametrize(
    "document_id",
    ["", "_local", "_", "x" * 1001, "é" * 501, "a\0b", "\ud800", None, 7],
    ids=lambda i: repr(i)[:20],
)
async def test_bad_ids_are_refused_and_nothing_is_lost(shop: Database, document_id: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        await shop.put("notes", Edit(document_id, {"text": "x"}))
    assert caught.value.code == "invalid-id"
    assert shop.collection("notes").documents == 0


async def test_put_many_fails_each_for_itself(shop: Database) -> None:
    done = await shop.put_many(
        "notes", [Edit("a", {"text": "1"}), Edit("", {}), Edit("a", {"text": "2"}), Edit("b", {})]
    )
    assert [isinstance(d, LocalsrvError) for d in done] == [False, True, True, False]
    assert shop.collection("notes").documents == 2
    assert (await shop.raw_query("SELECT count(*) FROM notes")).rows == [(2,)]


async def test_deep_and_wide_trees(open_database: OpenDatabase) -> None:
    db = await open_database()
    await db.define(collections(**SHOP))
    deep = tuple(f"{n}-{n:05x}" for n in range(10_000, 0, -1))
    await db.put_many("notes", [Edit("deep", {"n": 1}, path=deep)], new_edits=False)
    assert (await db.raw_query("SELECT count(*) FROM localsrv_revisions")).rows == [(1000,)]
    wide = [Edit("wide", {"n": n}, path=(f"2-{n:05x}", "1-a")) for n in range(300)]
    await db.put_many("notes", wide, new_edits=False)
    leaves = await db.open_revisions("notes", "wide", None)
    assert len(leaves) == 300 and leaves[0].rev == "2-0012b"
    assert json.loads(db.get_row("notes", "wide")[0])["n"] == 299


def test_any_order_of_revisions_gives_the_same_document() -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        asyncio.run(_converges(seed))

    run()


async def _converges(seed: int) -> None:
    chance = random.Random(seed)
    nodes: list[tuple[str, ...]] = []
    deleted: dict[str, bool] = {}
    for i in range(chance.randint(2, 12)):
        parent = chance.choice([(), *nodes])
        revision = f"{len(parent) + 1}-{chance.choice('abc')}{i}"
        nodes.append((revision, *parent))
        deleted[revision] = chance.random() < 0.3
    tree: Tree = EMPTY
    for path in nodes:
        tree = rev.merge(tree, rev.path_tree(path, deleted=deleted[path[0]]))
    expected = rev.winner(tree)
    with tempfile.TemporaryDirectory() as folder:
        for n in range(2):
            chance.shuffle(nodes)
            db = await Database.open(Path(folder) / f"{n}.db", Path(folder) / "blobs")
            await db.define(collections(**SHOP))
            for path in [*nodes, *nodes[:3]]:
                known = chance.randint(1, len(path))  # peers send the whole path or part of it
                edit = Edit("d", {"at": path[0]}, path=path[:known] if n else path, deleted=deleted[path[0]])
                await db.put_many("notes", [edit], new_edits=False)
            found = db.get_document("notes", "d")
            leaves = {d.rev for d in await db.open_revisions("notes", "d", None)}
            row = db.get_row("notes", "d")
            await db.close()
            assert (found is not None and found.rev == expected) or n == 1
            assert n == 1 or leaves == set(rev.leaves(tree))
            assert (row is None) == found.deleted  # type: ignore[union-attr]
            assert row is None or (row[1] == found.rev and json.loads(row[0])["at"] == found.rev)  # type: ignore[union-attr]


async def test_attachments_belong_to_revisions(shop: Database) -> None:
    async def chunks(*parts: bytes) -> Any:
        for part in parts:
            yield part

    await shop.insert("notes", [{"id": "a", "text": "x"}])
    small = await shop.receive(chunks(b"hello"))
    large = await shop.receive(chunks(*[b"0123456789abcdef" * 1024] * 20))
    one = await shop.put_attachment("notes", "a", "hi.txt", "text/plain", small)
    two = await shop.put_attachment("notes", "a", "big.bin", "application/octet-stream", large, if_match=one)
    found = shop.attachment("notes", "a", "hi.txt")
    assert found is not None and found.data == b"hello" and found.info.length == 5 and found.path is None
    big = shop.attachment("notes", "a", "big.bin")
    assert big is not None and big.data is None and big.path is not None
    assert big.path.read_bytes() == b"0123456789abcdef" * 1024 * 20
    assert shop.attachment("notes", "a", "big.bin", one) is None
    with pytest.raises(Conflict):
        await shop.put_attachment("notes", "a", "x", "text/plain", small, if_match=one)
    from localsrv.model.query import parse_query

    await shop.update("notes", parse_query([("id", "eq.a")]), {"text": "y"})
    assert {a.name for a in shop.get_document("notes", "a").attachments} == {"hi.txt", "big.bin"}  # type: ignore[union-attr]
    await shop.delete_attachment("notes", "a", "hi.txt")
    assert shop.attachment("notes", "a", "hi.txt") is None
    assert shop.attachment("notes", "a", "hi.txt", two) is not None
    with pytest.raises(NotFound):
        await shop.delete_attachment("notes", "a", "hi.txt")
