"""The change feed: order, resuming, filters, epochs, waking up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localsrv.base.errors import BadRequest, RelationViolation, UniqueViolation
from localsrv.model.query import parse_query
from localsrv.store.changes import EpochChanged
from localsrv.store.database import Database, Edit, InsertOptions
from tests.store.conftest import collections


async def test_each_document_once_at_its_latest_change(shop: Database) -> None:
    since = shop.last_seq
    await shop.insert("notes", [{"id": "a"}, {"id": "b"}, {"id": "c"}])
    await shop.update("notes", parse_query([("id", "eq.a")]), {"text": "x"})
    await shop.delete("notes", parse_query([("id", "eq.b")]))
    batch = await shop.changes(since, with_rows=True)
    told = [(c.id, c.deleted, c.rev[0], None if c.row is None else json.loads(c.row)) for c in batch.changes]
    assert told == [
        ("c", False, "1", {"id": "c", "text": None}),
        ("a", False, "2", {"id": "a", "text": "x"}),
        ("b", True, "2", None),
    ]
    assert [c.seq for c in batch.changes] == sorted(c.seq for c in batch.changes)
    assert batch.last_seq == shop.last_seq and not batch.more
    assert all(c.at is not None and c.at.endswith("Z") and c.source == "local" for c in batch.changes)


async def test_resuming_in_small_steps_has_no_gap_and_no_repeat(shop: Database) -> None:
    await shop.insert("notes", [{"id": f"n{i}"} for i in range(25)])
    await shop.insert("products", [{"ProductID": i, "name": "x"} for i in range(25)])
    await shop.delete("notes", parse_query([("id", "in.(n3,n4,n5)")]))
    whole = [(c.collection, c.id) for c in (await shop.changes(0)).changes]
    seen, since, more = [], 0, True
    while more:
        batch = await shop.changes(since, limit=7)
        seen += [(c.collection, c.id) for c in batch.changes]
        since, more = batch.last_seq, batch.more
    assert seen == whole and len(set(seen)) == len(seen) == 51
    assert since == shop.last_seq


async def test_a_filter_says_what_matches_and_tells_what_ceased_to(shop: Database) -> None:
    await shop.insert("products", [{"ProductID": i, "name": "x", "price": i} for i in range(1, 7)])
    await shop.insert("notes", [{"id": "n"}])
    since = shop.last_seq
    for identity, price in (("4", 40), ("5", 1), ("1", 2), ("6", None)):
        await shop.update("products", parse_query([("ProductID", f"eq.{identity}")]), {"price": price})
    await shop.delete("products", parse_query([("ProductID", "eq.3")]))
    await shop.update("notes", parse_query([("id", "eq.n")]), {"text": "no filter for notes"})
    where = {"products": parse_query([("price", "gte.4")])}
    batch = await shop.changes(since, ["products", "notes"], with_rows=True, where=where)
    told = [(c.id, c.deleted, c.matches, c.row is not None) for c in batch.changes]
    assert told == [
        ("4", False, True, True),
        ("5", False, False, False),
        ("1", False, False, False),
        ("6", False, False, False),
        ("3", True, False, False),
        ("n", False, True, True),
    ]


async def test_source_and_cause_are_kept(shop: Database) -> None:
    since = shop.last_seq
    edit = Edit("a", {"text": "x"}, path=("1-a",), source="peer:phone", cause="pull 7")
    await shop.put_many("notes", [edit], new_edits=False)
    change = (await shop.changes(since)).changes[0]
    assert (change.source, change.cause, change.rev) == ("peer:phone", "pull 7", "1-a")


async def test_tokens(shop: Database) -> None:
    token = shop.encode_seq(12)
    assert shop.decode_seq(token) == 12 and shop.decode_seq("0") == 0
    with pytest.raises(EpochChanged):
        shop.decode_seq("00000000-12")
    for bad in (
        "",
        "x",
        "12",
        "-",
        f"{shop.epoch}-",
        f"{shop.epoch}-x",
        f"{shop.epoch}-²",
        f"{shop.epoch}-{'9' * 30}",
    ):
        with pytest.raises(BadRequest):
            shop.decode_seq(bad)


async def test_waiting_wakes_on_the_next_change_and_ends_with_the_file(shop: Database) -> None:
    await shop.wait_for_change(shop.last_seq - 1)  # already there
    waiting = [asyncio.ensure_future(shop.wait_for_change(shop.last_seq)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(w.done() for w in waiting)
    await shop.insert("notes", [{"text": "x"}])
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    last = asyncio.ensure_future(shop.wait_for_change(shop.last_seq))
    await asyncio.sleep(0)
    await shop.close()
    with pytest.raises(asyncio.CancelledError):
        await last


async def test_a_reader_that_follows_misses_nothing(shop: Database) -> None:
    """Many writers at once, one follower: what it saw is what is there."""
    seen: dict[str, int] = {}

    async def follow() -> None:
        since = 0
        while len(seen) < 300:
            await shop.wait_for_change(since)
            more = True
            while more:
                batch = await shop.changes(since, ["notes"], limit=20)
                for c in batch.changes:
                    assert c.id not in seen
                    seen[c.id] = c.seq
                since, more = batch.last_seq, batch.more

    follower = asyncio.ensure_future(follow())
    writes: list[Any] = [shop.insert("notes", [{"id": f"{i}"}]) for i in range(300)]
    await asyncio.gather(*writes)
    await asyncio.wait_for(follower, 20)
    assert set(seen) == {str(i) for i in range(300)}


async def test_a_number_once_told_is_never_given_again(open_database: Any) -> None:
    """A refused write takes a number that nothing holds: it must not be told as the place to go on from."""
    db = await open_database()
    await db.define(collections(t={"fields": {"x": "text"}, "unique": ["x"]}))
    await db.insert("t", [{"id": "a", "x": "1"}])
    with pytest.raises(UniqueViolation):
        await db.insert("t", [{"id": "b", "x": "1"}])
    bad = [Edit("c", {"x": "2"}), Edit("d", {"x": "2"})]
    assert [isinstance(d, Exception) for d in await db.put_many("t", bad)] == [False, True]
    await db.insert("t", [{"id": "e", "x": "3"}], InsertOptions(rollback=True))
    since = (await db.changes(0)).last_seq
    await db.close()
    db = await open_database()
    await db.insert("t", [{"id": "f", "x": "4"}])
    assert [c.id for c in (await db.changes(since)).changes] == ["f"]


async def test_the_time_is_noted_by_the_first_change_that_is_kept(shop: Database) -> None:
    await shop.define(collections(t={}))
    shop._file.journal._noted_at = 0
    before = (await shop.raw_query("SELECT count(*) FROM localsrv_times")).rows[0][0]
    done = await shop.put_many("products", [Edit("1", {"ProductID": 1, "name": "x", "CategoryID": 77})])
    assert isinstance(done[0], RelationViolation)
    bad = Edit("1", {"ProductID": 1, "name": "x", "CategoryID": 77})
    good = Edit("2", {"ProductID": 2, "name": "x"})
    await shop.put_many("products", [bad, good])
    after = (await shop.raw_query("SELECT count(*) FROM localsrv_times")).rows[0][0]
    assert after == before + 1


async def test_a_limit_of_nothing_skips_nothing(shop: Database) -> None:
    batch = await shop.changes(0, limit=0)
    assert len(batch.changes) == 1 and batch.last_seq == batch.changes[0].seq


async def test_nothing_waits_on_a_closed_file(shop: Database) -> None:
    await shop.close()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(shop.wait_for_change(shop.last_seq), 5)
