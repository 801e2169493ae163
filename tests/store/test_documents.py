"""Documents: revisions, winners, conflicts, deletion, and that the table always shows the winner."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import threading
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
from localsrv.model.query import parse_query
from localsrv.model.revisions import EMPTY, Tree
from localsrv.store.database import Database, Edit, InsertOptions, StoreOptions
from localsrv.store.editing import NewAttachment
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
    assert [d.rev for d in await shop.open_revisions("notes", "a", None)] == ["5-e"]  # 4-d joined both


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
    assert (await shop.raw_query("SELECT count(*) FROM localsrv_products_fts('tea')")).rows == [(1,)]
    assert (await shop.raw_query("SELECT count(*) FROM localsrv_products_fts('chai')")).rows == [(0,)]


@pytest.mark.parametrize(
    "document_id",
    ["", "_local", "_", "x" * 8001, "é" * 4001, "a\0b", "\ud800", None, 7],
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
    await shop.update("notes", parse_query([("id", "eq.a")]), {"text": "y"})
    assert {a.name for a in shop.get_document("notes", "a").attachments} == {"hi.txt", "big.bin"}  # type: ignore[union-attr]
    await shop.delete_attachment("notes", "a", "hi.txt")
    assert shop.attachment("notes", "a", "hi.txt") is None
    assert shop.attachment("notes", "a", "hi.txt", two) is not None
    with pytest.raises(NotFound):
        await shop.delete_attachment("notes", "a", "hi.txt")


async def together(db: Database, *submitted: Any) -> list[Any]:
    """Runs writes as one group: they are submitted while the writer is busy."""
    go = threading.Event()
    first = db._file.writer.submit(lambda tx: go.wait(10))
    tasks = [asyncio.ensure_future(one) for one in submitted]
    await asyncio.sleep(0)
    go.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_document_deleted_and_created_again_in_one_group_lives_once(shop: Database) -> None:
    first = await shop.put("notes", Edit("a", {"text": "one"}))
    gone, back = await together(
        shop,
        shop.put("notes", Edit("a", {}, parent=first, deleted=True)),
        shop.put("notes", Edit("a", {"text": "two"})),
    )
    assert gone.startswith("2-") and back.startswith("3-")
    state = shop.collection("notes")
    assert (state.documents, state.tombstones) == (1, 0)
    assert (await shop.raw_query("SELECT count(*) FROM localsrv_tombstones")).rows == [(0,)]
    edits = [Edit("a", {}, parent=back, deleted=True), Edit("a", {"text": "three"})]
    done = await shop.put_many("notes", edits)
    assert [str(d)[0] for d in done] == ["4", "5"]
    assert len((await shop.changes(0, ["notes"])).changes) == 1


async def test_an_update_in_the_group_of_the_first_attachment_keeps_it(shop: Database) -> None:
    async def chunks() -> Any:
        yield b"hello"

    await shop.insert("notes", [{"id": "a", "text": "x"}])
    blob = await shop.receive(chunks())
    await together(
        shop,
        shop.put_attachment("notes", "a", "hi.txt", "text/plain", blob),
        shop.update("notes", parse_query([("id", "eq.a")]), {"text": "y"}),
    )
    found = shop.get_document("notes", "a")
    assert found is not None and json.loads(found.body or "") == {"text": "y"}
    assert [a.name for a in found.attachments] == ["hi.txt"]


async def test_an_attachment_comes_in_the_generation_of_its_revision(shop: Database) -> None:
    first = await shop.put("notes", Edit("a", {}))
    await shop.put("notes", Edit("a", {}, parent=first, deleted=True))
    new = NewAttachment("f", "text/plain", shop._file.blobs.store(b"x"))
    assert (await shop.put("notes", Edit("a", {}, attachments=(new,)))).startswith("3-")
    assert shop.get_document("notes", "a").attachments[0].revpos == 3  # type: ignore[union-attr]


async def test_a_later_longer_path_joins_what_was_apart(shop: Database) -> None:
    await shop.put_many("notes", [Edit("a", {"n": 5}, path=("5-e", "4-d"))], new_edits=False)
    await shop.put_many("notes", [Edit("a", {"n": 3}, path=("3-c", "2-b"))], new_edits=False)
    assert [d.rev for d in await shop.open_revisions("notes", "a", None)] == ["5-e", "3-c"]
    await shop.put_many("notes", [Edit("a", {"n": 4}, path=("4-d", "3-c"))], new_edits=False)
    assert [d.rev for d in await shop.open_revisions("notes", "a", None)] == ["5-e"]
    assert await body(shop, "notes", "a") == {"n": 5}


async def test_local_edits_keep_what_refers_to_a_document(shop: Database) -> None:
    """`on_delete` and referred unique fields bind edits of documents as they bind rows."""
    relation = {"fields": "code", "to": "products", "to_fields": "code"}
    await shop.define(collections(parts={"fields": {"code": "text"}, "relations": [relation]}))
    product = {"ProductID": 1, "name": "x", "CategoryID": 1, "code": "A"}
    revision = await shop.put("products", Edit("1", product))
    await shop.insert("parts", [{"id": "p", "code": "A"}])
    category = shop.get_document("categories", "1")
    assert category is not None
    with pytest.raises(RelationViolation):
        await shop.put("categories", Edit("1", {}, parent=category.rev, deleted=True))
    with pytest.raises(RelationViolation):
        await shop.put("products", Edit("1", {**product, "code": "B"}, parent=revision))
    with pytest.raises(RelationViolation):
        await shop.insert("products", [{**product, "code": "B"}], InsertOptions(resolution="merge"))
    await shop.define(
        collections(parts={"fields": {"code": "text"}, "relations": [{**relation, "on_delete": "cascade"}]})
    )
    await shop.put("products", Edit("1", {}, parent=revision, deleted=True))
    assert shop.collection("parts").documents == 0 and shop.get_row("parts", "p") is None


@pytest.mark.parametrize(
    "attachments",
    [
        {"_x": {"data": ""}},
        {"": {"data": ""}},
        {"a": {"data": "", "content_type": ["x"]}},
        {"a": {"data": 1}},
    ],
)
async def test_imported_attachments_are_looked_at(shop: Database, attachments: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        await shop.import_documents("notes", [{"_id": "a", "_attachments": attachments}])
    assert caught.value.code == "invalid-attachment"
    assert shop.get_document("notes", "a") is None


async def test_an_import_that_says_nothing_of_attachments_leaves_them(shop: Database) -> None:
    file = {"f": {"content_type": "text/plain", "data": "eA=="}}
    await shop.import_documents("notes", [{"_id": "a", "text": "1", "_attachments": file}])
    await shop.import_documents("notes", [{"_id": "a", "text": "2"}])
    found = shop.get_document("notes", "a")
    assert found is not None and found.rev.startswith("2-") and [a.name for a in found.attachments] == ["f"]
    assert (await shop.import_documents("notes", [{"_id": "a", "text": "2"}])).unchanged == 1
    await shop.import_documents("notes", [{"_id": "a", "text": "2", "_attachments": {}}])
    assert shop.get_document("notes", "a").attachments == ()  # type: ignore[union-attr]


async def test_a_stale_edit_is_a_conflict_even_if_its_attachments_are_forgotten(open_database: Any) -> None:
    db = await open_database(StoreOptions(retention_s=0))
    await db.define(collections(**SHOP))
    new = NewAttachment("f", "text/plain", db._file.blobs.store(b"x"))
    first = await db.put("notes", Edit("a", {}, attachments=(new,)))
    second = await db.put("notes", Edit("a", {"text": "x"}, parent=first))
    await db.compact()
    with pytest.raises(Conflict):
        await db.put("notes", Edit("a", {"text": "y"}, parent=first, kept=("f",)))
    with pytest.raises(NotFound):
        await db.put("notes", Edit("a", {"text": "y"}, parent=second, kept=("f",)))
