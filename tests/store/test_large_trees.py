"""Documents with very long and very wide histories: right, and without costs that grow with the square."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from localsrv.base.errors import InvalidValue
from localsrv.model import revisions as rev
from localsrv.model.merge import live_leaves
from localsrv.services.conflicts import Follower
from localsrv.store.database import AllDocs, ChangesQuery, Database, Edit, StoreOptions
from tests.store.conftest import collections

DEPTH, WIDTH = 10_000, 1_000


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """Keeps all of a history of DEPTH revisions."""
    opened = await Database.open(tmp_path / "app.db", tmp_path / "blobs", StoreOptions(revs_limit=2 * DEPTH))
    await opened.define(collections(notes={}))
    yield opened
    await opened.close()


def _path(newest: str, below: str = "a") -> tuple[str, ...]:
    return (newest, *(f"{g}-{below}" for g in range(rev.parse_revision(newest)[0] - 1, 0, -1)))


async def _graft(db: Database, *edits: Edit) -> None:
    done = await db.put_many("notes", edits, new_edits=False)
    assert done == [edit.path[0] for edit in edits]


async def test_a_history_of_ten_thousand_revisions(db: Database) -> None:
    top = f"{DEPTH}-a"
    await _graft(db, Edit("d", {"v": 1}, path=_path(top)), Edit("d", {"v": 2}, path=_path(f"{DEPTH}-b")))
    before = db.last_seq
    await _graft(db, Edit("d", {"v": 1}, path=_path(top)))
    assert db.last_seq == before, "what is known already is no change"
    known = db.revisions("notes", "d")
    assert known is not None
    assert (len(known.tree), known.winner) == (DEPTH + 1, f"{DEPTH}-b")
    found = await db.open_many("notes", [("d", "all")])
    assert [len(path) for _, path in found[0]] == [DEPTH, DEPTH]
    assert await db.missing_revisions("notes", {"d": ["1-a", f"{DEPTH + 1}-c"]}) == {
        "d": ([f"{DEPTH + 1}-c"], [f"{DEPTH}-b", top])
    }
    (change,) = (await db.document_changes("notes", ChangesQuery(all_leaves=True))).changes
    assert change.revs == (f"{DEPTH}-b", top)
    edited = await db.put("notes", Edit("d", {"v": 3}, f"{DEPTH}-b"))
    await db.put("notes", Edit("d", {}, top, deleted=True))
    assert live_leaves(db.revisions("notes", "d").tree) == [edited]  # type: ignore[union-attr]


async def test_a_long_history_is_cut_to_the_limit(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "app.db", tmp_path / "blobs", StoreOptions(revs_limit=100))
    await db.define(collections(notes={}))
    await _graft(db, Edit("d", {"v": 1}, path=_path(f"{DEPTH}-a")))
    await _graft(db, Edit("d", {"v": 2}, path=_path(f"{DEPTH}-b")))
    known = db.revisions("notes", "d")
    assert known is not None
    assert rev.leaves(known.tree) == [f"{DEPTH}-b", f"{DEPTH}-a"]
    assert len(known.tree) == 101
    await db.close()


async def test_a_thousand_conflicting_leaves(db: Database) -> None:
    base = await db.put("notes", Edit("w", {}))
    edits = [Edit("w", {f"f{n}": n}, path=(f"2-{n:04}", base)) for n in range(WIDTH)]
    await _graft(db, *edits)
    before = db.last_seq
    await _graft(db, *edits)
    assert db.last_seq == before
    leaves = [f"2-{n:04}" for n in reversed(range(WIDTH))]
    (conflict,) = await db.conflicts("notes")
    assert (conflict.winner, *conflict.leaves) == tuple(leaves)
    assert [d.rev for d in await db.open_revisions("notes", "w", None)] == leaves
    asked = {"w": [f"3-{n}" for n in range(WIDTH)]}
    assert await db.missing_revisions("notes", asked) == {"w": (asked["w"], leaves)}
    (row,) = (await db.all_docs("notes", AllDocs())).rows
    assert row.rev == leaves[0]
    await db.define(collections(notes={"conflicts": "merge"}))
    await Follower("app", db).look()
    merged = db.get_document("notes", "w")
    assert merged is not None and merged.body is not None
    assert merged.body.count('"f') == WIDTH
    assert live_leaves(db.revisions("notes", "w").tree) == [merged.rev]  # type: ignore[union-attr]


@pytest.mark.parametrize("step", [1, -1])
async def test_more_leaves_cost_no_more_each(db: Database, step: int) -> None:
    """Sixteen times as many take about sixteen times as long, and not 256 times, in the order in which each
    new one wins as in that in which all lose."""

    async def grow(document_id: str, count: int) -> float:
        base = await db.put("notes", Edit(document_id, {}))
        edits = [Edit(document_id, {"n": n}, path=(f"2-{n:05}", base)) for n in range(count)][::step]
        began = time.perf_counter()
        await _graft(db, *edits)
        return time.perf_counter() - began

    few = min([await grow(f"few{n}", 200) for n in range(3)])
    assert await grow("many", 3200) < 70 * few


@pytest.mark.parametrize(
    ("described", "grow"),
    [
        ("known already", lambda base, top: ((top, base), False, False)),
        ("a losing leaf", lambda base, top: (("2-0", base), False, True)),
        ("a losing tombstone", lambda base, top: (("2-z", base), True, True)),
        ("below a losing leaf, and still losing", lambda base, top: (("3-d", "2-1", base), True, True)),
        ("below a losing leaf, and winning", lambda base, top: (("3-x", "2-1", base), False, True)),
        ("a new winner", lambda base, top: (("2-zz", base), False, True)),
        ("below the winner", lambda base, top: (("3-x", top, base), False, True)),
        ("the end of the winner", lambda base, top: (("3-x", top, base), True, True)),
        ("another root", lambda base, top: (("1-0",), False, True)),
        ("a path beside", lambda base, top: (("3-0", "2-0", "1-0"), False, True)),
    ],
)
async def test_each_way_a_leaf_may_come(
    db: Database, described: str, grow: Callable[[str, str], tuple[tuple[str, ...], bool, bool]]
) -> None:
    """Tree, winner, feed and body, whichever of the ways of writing it takes."""
    base = await db.put("notes", Edit("d", {"v": 0}))
    top = "2-y"
    await _graft(db, Edit("d", {"v": 1}, path=(top, base)), Edit("d", {"v": 2}, path=("2-1", base)))
    path, deleted, changes = grow(base, top)
    before, seq = db.revisions("notes", "d"), db.last_seq
    assert before is not None
    body = {} if deleted else {"v": 3}
    await _graft(db, Edit("d", body, deleted=deleted, path=path))
    after = db.revisions("notes", "d")
    assert after is not None
    wanted = rev.merge(before.tree, rev.path_tree(path, deleted=deleted))
    assert dict(after.tree.nodes) == dict(wanted.nodes)
    assert after.winner == rev.winner(wanted)
    assert db.last_seq == seq + changes
    (change,) = (await db.document_changes("notes", ChangesQuery(all_leaves=True))).changes
    assert (list(change.revs), change.seq) == (rev.leaves(wanted), db.last_seq)
    stored = db.get_document("notes", "d", path[0])
    assert stored is not None
    assert (stored.deleted, stored.body) == (
        deleted,
        '{"v":1}' if not changes else "{}" if deleted else '{"v":3}',
    )


async def test_a_document_that_nests_too_deep_is_refused_alone(db: Database) -> None:
    """Such as another server may hand over: this one's own faces look at the depth first."""
    deep: dict[str, object] = {}
    for _ in range(300):
        deep = {"a": deep}
    edits = [Edit("deep", deep, path=("1-a",)), *(Edit(f"d{n}", {}, path=("1-a",)) for n in range(5))]
    refused, *others = await db.put_many("notes", edits, new_edits=False)
    assert isinstance(refused, InvalidValue)
    assert others == ["1-a"] * 5
    assert db.get_document("notes", "deep") is None
    (alone,) = await db.put_many("notes", [Edit("deep", deep)])
    assert isinstance(alone, InvalidValue)
