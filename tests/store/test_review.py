"""Writes that are looked at before they are made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localsrv.base.errors import Conflict, Forbidden
from localsrv.model.query import Select
from localsrv.model.schema_parse import parse_collection
from localsrv.store.database import Database, InsertOptions, UpdateOptions
from localsrv.store.review import TRIES, Rehearsal

EVERY = Select()


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    made = await Database.open(tmp_path / "app.db", tmp_path / "blobs")
    await made.define({"items": parse_collection("items", {"fields": {"id": "text"}, "key": "id"})})
    await made.insert("items", [{"id": "a", "n": 1}])
    yield made
    await made.close()


def number(db: Database, document_id: str) -> str | None:
    found = db.get_row("items", document_id)
    return None if found is None else found[0]


async def test_nothing_of_a_rehearsal_stays(db: Database) -> None:
    told = []

    async def refuse(rehearsal: Rehearsal) -> None:
        told.append([(w.id, w.document, w.deleted) for w in rehearsal.written])
        raise Forbidden("No.")

    seq, documents = db.last_seq, db.collection("items").documents
    with pytest.raises(Forbidden):
        await db.insert("items", [{"id": "b", "n": 2}, {"id": "c", "new": 3}], review=refuse)
    with pytest.raises(Forbidden):
        await db.update("items", EVERY, {"n": 5}, review=refuse)
    with pytest.raises(Forbidden):
        await db.delete("items", EVERY, review=refuse)
    assert told == [
        [("b", {"id": "b", "n": 2}, False), ("c", {"id": "c", "new": 3}, False)],
        [("a", {"id": "a", "n": 5}, False)],
        [("a", {}, True)],
    ]
    assert (db.last_seq, db.collection("items").documents) == (seq, documents)
    assert (number(db, "a"), number(db, "b")) == ('{"id":"a","n":1}', None)
    assert "new" not in db.collection("items").known_fields


async def test_what_came_in_between_is_looked_at_again(db: Database) -> None:
    seen = []

    async def interfere(rehearsal: Rehearsal) -> None:
        seen.append([(w.id, w.document) for w in rehearsal.written])
        if len(seen) == 1:
            await db.update("items", EVERY, {"owner": "eve"})

    await db.update("items", EVERY, {"n": 2}, review=interfere)
    assert seen == [[("a", {"id": "a", "n": 2})], [("a", {"id": "a", "n": 2, "owner": "eve"})]]
    assert number(db, "a") == '{"id":"a","n":2,"owner":"eve"}'


async def test_a_write_that_others_always_come_before_ends(db: Database) -> None:
    rounds = 0

    async def always(rehearsal: Rehearsal) -> None:
        nonlocal rounds
        rounds += 1
        await db.update("items", EVERY, {"other": rounds})

    with pytest.raises(Conflict) as raised:
        await db.update("items", EVERY, {"n": 2}, review=always)
    assert (rounds, raised.value.code) == (TRIES, "revision-conflict")
    assert number(db, "a") == f'{{"id":"a","n":1,"other":{TRIES}}}'


async def test_a_collection_that_is_defined_anew_meanwhile(db: Database) -> None:
    """Ids made here stay the same from the second rehearsal on."""
    await db.define({"notes": parse_collection("notes", {})})
    rounds = 0

    async def define(rehearsal: Rehearsal) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            await db.define({"notes": parse_collection("notes", {"fields": {"text": "text"}})})

    result = await db.insert("notes", [{"text": "hello"}], review=define)
    assert rounds == 2 and db.get_row("notes", result.ids[0]) is not None


async def test_a_statement_that_fails_by_itself_is_never_shown(db: Database) -> None:
    async def never(rehearsal: Rehearsal) -> None:
        raise AssertionError

    with pytest.raises(Conflict):
        await db.insert("items", [{"id": "a"}], review=never)


async def test_a_dry_run_is_looked_at_and_writes_nothing(db: Database) -> None:
    seen = []

    async def look(rehearsal: Rehearsal) -> None:
        seen.append(len(rehearsal.written))

    result = await db.insert("items", [{"id": "b"}], InsertOptions(rollback=True), review=look)
    changed = await db.update("items", EVERY, {"n": 9}, UpdateOptions(rollback=True), review=look)
    assert (result.created, changed.affected, seen) == (1, 1, [1, 1])
    assert (number(db, "a"), number(db, "b")) == ('{"id":"a","n":1}', None)
