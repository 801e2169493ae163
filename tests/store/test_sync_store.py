"""What the sync face asks of the store: databases, design and local documents, lists, changes, batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from localsrv.base.errors import Conflict, InvalidValue, LocalsrvError, NotFound
from localsrv.model import revisions as rev
from localsrv.store.database import AllDocs, ChangesQuery, Database, Edit, StoreOptions
from localsrv.store.editing import NewAttachment
from tests.store.conftest import collections


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "app.db", tmp_path / "blobs")
    await opened.create_database("notes")
    yield opened
    await opened.close()


async def reopened(db: Database) -> Database:
    await db.close()
    return await Database.open(db.path, db.path.parent / "blobs")


def body(db: Database, document_id: str) -> Any:
    found = db.get_document("notes", document_id)
    return None if found is None or found.body is None else orjson.loads(found.body)


def graft(document_id: str, path: Sequence[str], document: dict[str, Any] | None = None, **more: Any) -> Edit:
    return Edit(document_id, document or {}, path=tuple(path), **more)


async def ids(db: Database, **query: Any) -> list[str]:
    return [row.id for row in (await db.all_docs("notes", AllDocs(**query))).rows]


# ---- databases


@pytest.mark.parametrize("name", ["a", "a_$()+-/b", "_replicator", "x" * 200])
async def test_names_as_couchdb_takes_them(db: Database, name: str) -> None:
    await db.create_database(name)
    await db.put(name, Edit("x", {"a": 1}))
    assert (await db.information(name)).documents == 1
    with pytest.raises(Conflict) as caught:
        await db.create_database(name)
    assert caught.value.code == "collection-exists"
    await db.drop(name)
    assert name not in db.collections


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "a:b", "localsrv_x", "sqlite_x", "é", "x" * 300])
async def test_other_names_are_refused(db: Database, name: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        await db.create_database(name)
    assert caught.value.code == "invalid-database-name" and set(db.collections) == {"notes"}


async def test_information_counts_what_is_there(db: Database) -> None:
    before = await db.information("notes")
    assert (before.documents, before.deleted, before.last_seq) == (0, 0, 0)
    first = await db.put("notes", Edit("a", {"text": "x" * 100}))
    await db.put("notes", Edit("_design/d", {"views": {}}))
    await db.put("notes", Edit("b", {}))
    await db.put("notes", Edit("a", {}, first, deleted=True))
    after = await db.information("notes")
    assert (after.documents, after.deleted, after.last_seq) == (2, 1, db.last_seq)
    assert after.size_file > 0 and 0 < after.size_active < 100
    await db.create_database("other")
    await db.put("other", Edit("a", {}))
    assert (await db.information("notes")).last_seq == after.last_seq
    number = after.number
    await db.drop("notes")
    await db.create_database("notes")
    assert (await db.information("notes")).number != number


async def test_sizes_of_many_documents_are_estimated_well(db: Database) -> None:
    await db.put_many("notes", [Edit(f"d{n:05}", {"text": "x" * (n % 100)}) for n in range(12_000)])
    exact = sum(len(orjson.dumps({"text": "x" * (n % 100)})) for n in range(12_000))
    assert abs((await db.information("notes")).size_active - exact) < exact * 0.1


# ---- design documents


async def test_design_documents_are_no_rows(db: Database) -> None:
    from localsrv.model.query import parse_query

    await db.put("notes", Edit("plain", {"a": 1}))
    first = await db.put("notes", Edit("_design/d", {"language": "javascript", "views": {}}))
    second = await db.put("notes", Edit("_design/d", {"views": {"v": {"map": "f"}}}, first))
    rows = (await db.select("notes", parse_query([]))).rows
    assert [orjson.loads(row)["id"] for row in rows] == ["plain"]
    assert set(db.collections) == {"notes"} and "views" not in db.collection("notes").known_fields
    assert await ids(db) == ["_design/d", "plain"]
    db = await reopened(db)
    assert body(db, "_design/d") == {"views": {"v": {"map": "f"}}}
    assert [d.rev for d in await db.open_revisions("notes", "_design/d", None)] == [second]
    asked = {"_design/d": [first, "9-x"], "_design/e": ["1-a"]}
    missing = await db.missing_revisions("notes", asked)
    assert missing == {"_design/d": (["9-x"], [second]), "_design/e": (["1-a"], [])}
    changes = await db.document_changes("notes", ChangesQuery())
    assert [(c.id, c.revs) for c in changes.changes][-1] == ("_design/d", (second,))
    await db.define({"notes": db.collection("notes").definition})
    assert body(db, "_design/d") is not None
    await db.drop("notes")
    left = "SELECT name FROM sqlite_master WHERE name LIKE 'localsrv_design%'"
    assert (await db.raw_query(left)).rows == []
    await db.close()


async def test_design_documents_carry_attachments_and_die(db: Database) -> None:
    revision = await db.put("notes", Edit("_design/d", {}))

    async def chunks() -> AsyncIterator[bytes]:
        yield b"<p>"

    blob = await db.receive(chunks())
    revision = await db.put_attachment("notes", "_design/d", "index.html", "text/html", blob, revision)
    found = db.attachment("notes", "_design/d", "index.html")
    assert found is not None and found.data == b"<p>"
    await db.put("notes", Edit("_design/d", {}, revision, deleted=True))
    assert db.attachment("notes", "_design/d", "index.html") is None
    assert await ids(db) == [] and db.collection("notes").documents == 0
    assert (
        db.get_document("notes", "_design/never") is None and db.revisions("notes", "_design/never") is None
    )


# ---- local documents


async def test_local_documents(db: Database) -> None:
    assert db.get_local("notes", "c") is None
    assert await db.put_local("notes", "c", '{"seq":1}') == "0-1"
    with pytest.raises(Conflict):
        await db.put_local("notes", "c", "{}")
    assert await db.put_local("notes", "c", '{"seq":2}', "0-1") == "0-2"
    await db.put_local("notes", "a", "{}")
    assert [d.id for d in await db.local_documents("notes", AllDocs())] == ["a", "c"]
    assert [d.id for d in await db.local_documents("notes", AllDocs(start="b"))] == ["c"]
    assert await ids(db) == [] and (await db.document_changes("notes", ChangesQuery())).changes == []
    db = await reopened(db)
    found = db.get_local("notes", "c")
    assert found is not None and (found.rev, found.body) == ("0-2", '{"seq":2}')
    with pytest.raises(Conflict):
        await db.delete_local("notes", "c", "0-1")
    await db.delete_local("notes", "c", "0-2")
    with pytest.raises(NotFound):
        await db.delete_local("notes", "c")
    assert await db.put_local("notes", "c", "{}", "0-7") == "0-8", "as CouchDB counts on"
    for bad in ("", "x" * 2000, "a\0b"):
        with pytest.raises(InvalidValue):
            await db.put_local("notes", bad, "{}")
    with pytest.raises(InvalidValue):
        await db.put_local("notes", "x", "{}", "1-abc")
    await db.close()


# ---- settings


async def test_settings_last_and_the_revision_limit_is_obeyed(db: Database) -> None:
    assert db.setting("notes", "security", {}) == {}
    await db.set_setting("notes", "security", {"members": {"names": ["å"]}})
    await db.set_setting("notes", "revs_limit", 3)
    path = [f"{n}-{n:x}" for n in range(9, 0, -1)]
    await db.put_many("notes", [graft("d", path)], new_edits=False)
    await db.put_many("notes", [graft(f"d{n}", path) for n in range(5)], new_edits=False)
    for document_id in ("d", "d0"):
        found = db.revisions("notes", document_id)
        assert found is not None and set(found.tree.nodes) == set(path[:3])
    db = await reopened(db)
    assert db.setting("notes", "security") == {"members": {"names": ["å"]}}
    assert db.collection("notes").revs_limit == 3
    await db.close()


# ---- lists


async def test_lists_are_in_the_order_of_code_points(db: Database) -> None:
    await db.put_many("notes", [Edit(i, {}) for i in ("Z", "a", "b", "é", "\U0001f600", "\uffee", "0")])
    await db.put("notes", Edit("_design/x", {}))
    everything = ["0", "Z", "_design/x", "a", "b", "é", "\uffee", "\U0001f600"]
    assert await ids(db) == everything
    assert await ids(db, descending=True) == everything[::-1]
    assert await ids(db, start="_", end="b") == ["_design/x", "a", "b"]
    assert await ids(db, start="_", end="b", inclusive_end=False) == ["_design/x", "a"]
    assert await ids(db, start="b", end="_", descending=True) == ["b", "a", "_design/x"]
    assert await ids(db, start="a", after_start=True, limit=2) == ["b", "é"]
    assert await ids(db, skip=6) == everything[6:]
    page = await db.all_docs("notes", AllDocs(start="a", skip=1, limit=1, with_bodies=True, with_offset=True))
    assert (page.offset, page.total, page.rows[0].body) == (4, 8, "{}")


async def test_many_documents_by_id(db: Database) -> None:
    first = await db.put("notes", Edit("a", {"n": 1}))
    gone = await db.put("notes", Edit("gone", {}))
    gone = await db.put("notes", Edit("gone", {"why": "old"}, gone, deleted=True))
    await db.put("notes", Edit("_design/d", {}))
    a, none, dead, again, design = await db.get_documents("notes", ["a", "none", "gone", "a", "_design/d"])
    assert a == again and a is not None and (a.rev, a.body) == (first, '{"n":1}')
    assert none is None and design is not None
    assert dead is not None and (dead.rev, dead.deleted, dead.body) == (gone, True, '{"why":"old"}')


# ---- revisions


async def test_opening_many_revisions(db: Database) -> None:
    first = await db.put("notes", Edit("a", {"n": 1}))
    second = await db.put("notes", Edit("a", {"n": 2}, first))
    await db.put("notes", Edit("b", {}))
    await db.put_many("notes", [graft("a", ["2-zzz", first], {"n": 3})], new_edits=False)
    opened = await db.open_many("notes", [("a", first), ("a", None), ("b", None), ("c", None), ("a", "7-x")])
    told = [[(d.rev, d.body, path) for d, path in each] for each in opened]
    assert told[0] == [(first, '{"n":1}', [first])]
    assert told[1] == [("2-zzz", '{"n":3}', ["2-zzz", first])]
    assert [d.id for d, _ in opened[2]] == ["b"] and told[3] == [] and told[4] == []
    [latest] = await db.open_many("notes", [("a", first)], latest=True)
    assert [d.rev for d, _ in latest] == ["2-zzz", second]
    found = db.revisions("notes", "a")
    assert found is not None and found.winner == "2-zzz"
    assert found.available == {first, second, "2-zzz"} == set(found.tree.nodes)
    [conflict] = await db.conflicts("notes")
    assert (conflict.id, conflict.winner, conflict.leaves) == ("a", "2-zzz", (second,))
    assert await db.conflicts("notes", after="a") == []


# ---- changes


async def test_changes_tell_leaves_bodies_and_what_is_left(db: Database) -> None:
    first = await db.put("notes", Edit("a", {"n": 1}))
    second = await db.put("notes", Edit("a", {"n": 2}, first))
    await db.put_many("notes", [graft("a", ["2-0", first])], new_edits=False)
    gone = await db.put("notes", Edit("b", {}))
    gone = await db.put("notes", Edit("b", {"x": 1}, gone, deleted=True))
    await db.put("notes", Edit("c", {}))
    feed = await db.document_changes("notes", ChangesQuery(all_leaves=True, with_bodies=True))
    told = [(c.id, c.revs, c.deleted, c.document.body if c.document else None) for c in feed.changes]
    assert told[0] == ("a", (second, "2-0"), False, '{"n":2}')
    assert told[1] == ("b", (gone,), True, '{"x":1}')
    assert (told[2][0], feed.last_seq, feed.more) == ("c", db.last_seq, False)
    page = await db.document_changes("notes", ChangesQuery(limit=1, with_pending=True))
    assert [c.revs for c in page.changes] == [(second,)] and (page.more, page.pending) == (True, 2)
    rest = await db.document_changes("notes", ChangesQuery(since=page.last_seq, with_pending=True))
    assert [c.id for c in rest.changes] == ["b", "c"] and rest.pending == 0
    back = await db.document_changes("notes", ChangesQuery(descending=True, limit=2))
    assert [c.id for c in back.changes] == ["c", "b"]
    some = await db.document_changes("notes", ChangesQuery(ids=frozenset({"b", "zz"})))
    assert [c.id for c in some.changes] == ["b"] and some.last_seq == db.last_seq
    end = await db.document_changes("notes", ChangesQuery(since=10**9))
    assert end.changes == [] and end.last_seq == 10**9


@pytest.mark.parametrize("descending", [False, True])
async def test_a_batch_of_changes_ends_when_its_bodies_are_large(db: Database, descending: bool) -> None:
    """And leaves nothing out: neither documents, nor deleted ones, nor design documents among them."""
    made = []
    for n in range(12):
        await db.put("notes", Edit(f"d{n:02}", {"text": "x" * 1_000_000}))
        await db.put("notes", Edit(f"_design/d{n:02}", {"text": "x" * 300_000}))
        gone = await db.put("notes", Edit(f"gone{n:02}", {}))
        await db.put("notes", Edit(f"gone{n:02}", {}, gone, deleted=True))
        made += [f"d{n:02}", f"_design/d{n:02}", f"gone{n:02}"]
    seen: list[str] = []
    query, sizes = ChangesQuery(with_bodies=True, descending=descending), []
    while True:
        batch = await db.document_changes("notes", query)
        seen += [change.id for change in batch.changes]
        sizes.append(sum(len(c.document.body or "") for c in batch.changes if c.document))
        if not batch.more:
            break
        edge = {"until": batch.last_seq - 1} if descending else {"since": batch.last_seq}
        query = replace(query, **edge)
    assert seen == (made[::-1] if descending else made)
    assert len(sizes) > 2 and max(sizes) < 10_000_000


async def test_a_batch_has_one_source(db: Database) -> None:
    edits = [graft(f"d{n}", ["1-a"], source="peer:p") for n in range(10)]
    await db.put_many("notes", edits, new_edits=False)
    await db.put("notes", Edit("mine", {}))
    feed = await db.document_changes("notes", ChangesQuery())
    assert [c.source for c in feed.changes] == ["peer:p"] * 10 + ["local"]
    assert (await db.raw_query("SELECT count(*) FROM localsrv_sources")).rows == [(1,)]
    for n in range(9):
        await db.put("notes", Edit(f"d{n}", {}, "1-a"))
    await db.compact()
    feed = await db.document_changes("notes", ChangesQuery())
    assert {c.id: c.source for c in feed.changes}["d9"] == "peer:p", "one of them is still the latest change"
    await db.put("notes", Edit("d9", {}, "1-a"))
    await db.compact()
    assert (await db.raw_query("SELECT count(*) FROM localsrv_sources")).rows == [(0,)]


# ---- batches


async def dump(db: Database) -> dict[str, Any]:
    out = {}
    for change in (await db.document_changes("notes", ChangesQuery(limit=10_000))).changes:
        found = db.revisions("notes", change.id)
        assert found is not None
        leaves = await db.open_revisions("notes", change.id, None)
        out[change.id] = (dict(found.tree.nodes), [(d.rev, d.deleted, d.body) for d in leaves])
    return out


BATCH = [
    graft("new", ["1-a"], {"a": 1}),
    graft("old", ["3-c", "2-b", "1-a"], {"b": 2}),
    graft("dead", ["2-d", "1-a"], {"why": 1}, deleted=True),
    graft("dead at once", ["1-d"], deleted=True),
    graft("gap", ["9-x", "8-x"], {"c": 3}),
    graft("twice", ["1-a"], {}),
    graft("twice", ["2-b", "1-a"], {"second": True}),
    graft("known", ["2-zz", "1-zz"], {"theirs": 1}),
    graft("huge", ["1-h"], {"n": 10**15, "Case": 1, "case": 2}),
    graft("_design/d", ["1-a"], {"views": {}}),
    graft("", ["1-a"]),
    graft("bad path", ["3-c", "1-a"]),
]


async def test_a_batch_leaves_what_single_edits_would(db: Database, tmp_path: Path) -> None:
    other = await Database.open(tmp_path / "other.db", tmp_path / "other")
    await other.create_database("notes")
    for database in (db, other):
        await database.put("notes", Edit("known", {"ours": 1}))
    together = await db.put_many("notes", BATCH, new_edits=False)
    alone = [result for e in BATCH for result in await other.put_many("notes", [e], new_edits=False)]
    assert [r if isinstance(r, str) else type(r) for r in together] == [
        r if isinstance(r, str) else type(r) for r in alone
    ]
    assert [type(r) for r in together[-2:]] == [InvalidValue, InvalidValue]
    assert await dump(db) == await dump(other)
    assert db.collection("notes").documents == other.collection("notes").documents
    assert db.collection("notes").tombstones == other.collection("notes").tombstones == 2
    assert db.collection("notes").known_fields == other.collection("notes").known_fields
    again = await db.put_many("notes", BATCH, new_edits=False)
    before = db.last_seq
    assert [str(r) for r in again] == [str(r) for r in together] and db.last_seq == before
    counted = db.collection("notes").documents
    db = await reopened(db)
    assert db.collection("notes").documents == counted
    await db.close()
    await other.close()


async def test_new_documents_go_together_and_conflicts_stay_alone(db: Database) -> None:
    kept = await db.put("notes", Edit("there", {"first": 1}))
    gone = await db.put("notes", Edit("gone", {}))
    gone = await db.put("notes", Edit("gone", {}, gone, deleted=True))
    edits = [Edit(f"d{n}", {"n": n}) for n in range(20)]
    edits[7:7] = [Edit("there", {}), Edit("gone", {"back": 1}), Edit("same", {}), Edit("same", {"second": 1})]
    edits.append(Edit("there", {"second": 2}, kept))
    results = await db.put_many("notes", edits)
    assert isinstance(results[7], Conflict) and isinstance(results[10], Conflict)
    assert all(isinstance(r, str) for at, r in enumerate(results) if at not in (7, 10))
    assert results[0] == rev.first_revision(b'{"n":0}')
    assert body(db, "there") == {"second": 2} and body(db, "same") == {} and body(db, "gone") == {"back": 1}
    found = db.revisions("notes", "gone")
    assert found is not None and rev.parse_revision(found.winner)[0] == 3 and gone in found.tree


async def test_rules_hold_in_batches(db: Database) -> None:
    await db.define(collections(t={"fields": {"n": "integer"}, "unique": [["n"]]}))
    results = await db.put_many("t", [Edit(f"d{n}", {"n": n // 2}) for n in range(8)])
    assert [isinstance(r, LocalsrvError) for r in results] == [False, True] * 4
    results = await db.put_many("t", [Edit(f"e{n}", {"n": "text"}) for n in range(8)])
    assert all(isinstance(r, InvalidValue) for r in results) and db.collection("t").documents == 4


async def test_stubs_are_found_at_any_known_ancestor(db: Database) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"hello"

    blob = await db.receive(chunks())
    attached = NewAttachment("f", "text/plain", blob, revpos=1)
    await db.put_many("notes", [graft("a", ["1-a"], attachments=(attached,))], new_edits=False)
    await db.put_many("notes", [graft("a", ["4-d", "3-c", "2-b", "1-a"], kept=("f",))], new_edits=False)
    found = db.get_document("notes", "a")
    assert found is not None and found.rev == "4-d"
    assert [(i.name, i.revpos, i.length) for i in found.attachments] == [("f", 1, 5)]
    [result] = await db.put_many("notes", [graft("a", ["5-e", "4-d"], kept=("g",))], new_edits=False)
    assert isinstance(result, NotFound) and result.code == "no-attachment"
    [again] = await db.put_many("notes", [graft("a", ["4-d", "3-c"], kept=("lost",))], new_edits=False)
    assert again == "4-d", "it is here already: nothing is looked for"


async def test_any_field_name_is_taken_where_nothing_is_declared(db: Database) -> None:
    await db.put("notes", Edit("a", {"Name": 1, "name": 2, "": 3, "a b": 4}))
    assert body(db, "a") == {"Name": 1, "name": 2, "": 3, "a b": 4}


async def test_deep_and_wide_trees(tmp_path: Path) -> None:
    options = StoreOptions(revs_limit=20_000)
    db = await Database.open(tmp_path / "app.db", tmp_path / "blobs", options)
    await db.create_database("notes")
    path = [f"{n}-x" for n in range(10_000, 0, -1)]
    await db.put_many("notes", [graft("deep", path, {"n": 1})], new_edits=False)
    await db.put_many("notes", [graft("deep", ["10001-y", *path], {"n": 2})], new_edits=False)
    found = db.revisions("notes", "deep")
    assert found is not None and len(found.tree) == 10_001 and found.winner == "10001-y"
    wide = [graft("wide", [f"2-{n:04}", "1-a"], {"n": n}) for n in range(1000)]
    assert all(isinstance(r, str) for r in await db.put_many("notes", wide, new_edits=False))
    leaves = await db.open_revisions("notes", "wide", None)
    assert [d.rev for d in leaves] == [f"2-{n:04}" for n in range(999, -1, -1)]
    await db.close()


async def test_ids_that_are_not_their_key_are_listed(db: Database) -> None:
    await db.define(collections(t={"fields": {"n": "integer"}, "key": "n"}))
    edits = [graft("1", ["1-a"], {"n": 1}), graft("other", ["1-a"], {"n": 1}), graft("none", ["1-a"], {})]
    assert all(isinstance(r, str) for r in await db.put_many("t", edits, new_edits=False))
    assert [(v.id, v.kind) for v in await db.violations("t")] == [("other", "key"), ("none", "key")]


async def test_long_ids_are_kept_wherever_they_were_made(db: Database) -> None:
    long = "x" * 5000
    [stored] = await db.put_many("notes", [graft(long, ["1-a"], {"n": 1})], new_edits=False)
    assert stored == "1-a" and body(db, long) == {"n": 1}
    revision = await db.put("notes", Edit(long, {"n": 2}, "1-a"))
    await db.put("notes", Edit(long, {}, revision, deleted=True))
    for made in ("y" * 8000, "é" * 4000):
        await db.put("notes", Edit(made, {"n": 3}))
        assert body(db, made) == {"n": 3}
        [created] = await db.put_many("notes", [Edit(f"{made[:-1]}0", {})])
        assert isinstance(created, str)
    [refused] = await db.put_many("notes", [graft("z" * 8001, ["1-a"])], new_edits=False)
    assert isinstance(refused, InvalidValue)


async def test_nothing_is_told_before_it_is_known(db: Database) -> None:
    """Between a commit and its announcement, feeds and counts name no number beyond `last_seq`.

    Somebody who is told of one comes back with it, and would be taken for one who comes from elsewhere.
    """
    await db.put("notes", Edit("first", {}))
    before = db.last_seq
    await db.put("notes", Edit("second", {}))
    db._file.committed = before  # as the event loop sees it in the moment after the commit
    page = await db.document_changes("notes", ChangesQuery())
    assert ([change.id for change in page.changes], page.last_seq) == (["first"], before)
    assert (await db.information("notes")).last_seq == before
    db._file.committed = before + 1
    page = await db.document_changes("notes", ChangesQuery(before))
    assert ([change.id for change in page.changes], page.last_seq) == (["second"], before + 1)
