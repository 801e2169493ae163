"""The file of view indexes: rows in view order, one state for a reader, thrown away when it is worthless."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from localsrv.base.errors import StorageError
from localsrv.model.collation import sort_key
from localsrv.store import view_source
from localsrv.store.editing import Edit
from localsrv.store.view_snapshot import Bound, Range, stored_value, value_text
from localsrv.store.view_source import SourceBatch, read_batch
from localsrv.store.views import FILE_NAME, Index, Row, ViewFile
from tests.store.conftest import OpenDatabase


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[ViewFile]:
    made = await ViewFile.open(tmp_path / FILE_NAME, "epoch")
    yield made
    await made.close()


def row(key: Any, document_id: str, value: Any = None, *, view: int = 0, n: int = 0) -> Row:
    return view, sort_key(key), document_id, n, orjson.dumps(key).decode(), stored_value(value)


async def keys(file: ViewFile, index: Index, view: int = 0) -> list[tuple[str, str]]:
    """`(key, id)` of all rows."""
    snapshot = await file.snapshot(index)
    try:
        found = snapshot.rows(Range(view), descending=False, skip=0, limit=None)
        return [(one.key, one.id) for one in found]
    finally:
        file.release(snapshot)


async def test_rows_come_in_view_order(file: ViewFile) -> None:
    index = await file.index(1, "sig", 1)
    made = [
        row("b", "1"),
        row(2, "1"),
        row([1], "1"),
        row("a", "2"),
        row("a", "1"),
        row(None, "9"),
        row(10, "1", n=1),
    ]
    await file.apply(index, ["1", "2", "9"], made, 5)
    assert await keys(file, index) == [
        ("null", "9"),
        ("2", "1"),
        ("10", "1"),
        ('"a"', "1"),
        ('"a"', "2"),
        ('"b"', "1"),
        ("[1]", "1"),
    ]


async def test_rows_of_a_document_are_replaced(file: ViewFile) -> None:
    index = await file.index(1, "sig", 2)
    index = await file.apply(index, ["a", "b"], [row(1, "a"), row(2, "a", view=1), row(1, "b")], 5)
    assert (index.seq, index.totals) == (5, (2, 1))
    index = await file.apply(index, ["a"], [row(3, "a", n=0), row(3, "a", n=1)], 7)
    assert (index.seq, index.totals) == (7, (3, 0))
    assert await keys(file, index) == [("1", "b"), ("3", "a"), ("3", "a")]
    index = await file.apply(index, ["a", "b", "never there"], [], 9)
    assert (index.seq, index.totals) == (9, (0, 0))
    assert await file.index(1, "sig", 2) == index


async def test_a_reader_sees_one_state(file: ViewFile) -> None:
    index = await file.index(1, "sig", 1)
    await file.apply(index, ["a"], [row(1, "a")], 1)
    before = await file.snapshot(index)
    await file.apply(index, ["a", "b"], [row(2, "b")], 2)
    after = await file.snapshot(index)
    assert (before.seq, before.total(0), before.count(Range(0))) == (1, 1, 1)
    assert (after.seq, after.total(0), after.count(Range(0, Bound(sort_key(2))))) == (2, 1, 1)
    assert [r.id for r in before.rows(Range(0), descending=False, skip=0, limit=None)] == ["a"]
    for snapshot in (before, after):
        file.release(snapshot)
    assert await keys(file, index) == [("2", "b")]


NUMBERS: list[tuple[list[Any], tuple[Any, ...]]] = [
    ([1, 2, 3], (3, 6, 1, 3, 14)),
    ([0.5, 1], (2, 1.5, 0.5, 1, 1.25)),
    ([-1], (1, -1, -1, -1, 1)),
    ([2**40], (1, 2**40, 2**40, 2**40, float(2**80))),
    ([None], (1, None, None, None, None)),
    ([1, "1"], (2, None, None, None, None)),
    ([1, [1]], (2, None, None, None, None)),
    ([True], (1, None, None, None, None)),
]


@pytest.mark.parametrize(("values", "expected"), NUMBERS)
async def test_sqlite_adds_numbers_up(file: ViewFile, values: list[Any], expected: tuple[Any, ...]) -> None:
    index = await file.index(1, "sig", 1)
    await file.apply(index, ["a"], [row("k", "a", v, n=n) for n, v in enumerate(values)], 1)
    snapshot = await file.snapshot(index)
    for by_key in (False, True):
        (found,) = snapshot.numbers(Range(0), by_key=by_key, descending=False)
        assert (found.count, found.sum, found.min, found.max, found.sumsqr) == expected
    assert snapshot.numbers(Range(0, Bound(sort_key("z"))), by_key=False, descending=False) == []
    file.release(snapshot)


async def test_a_sum_beyond_64_bits_is_left_to_others(file: ViewFile) -> None:
    index = await file.index(1, "sig", 1)
    await file.apply(index, ["a"], [row("k", "a", 2**62, n=n) for n in range(4)], 1)
    snapshot = await file.snapshot(index)
    with pytest.raises(OverflowError):
        snapshot.numbers(Range(0), by_key=False, descending=False)
    file.release(snapshot)


@pytest.mark.parametrize(
    "value", [None, 0, -1, 1.5, 1e300, 2**53, 2**63 - 1, "text", "", True, False, [], [1, None], {"a": {}}]
)
def test_values_keep_their_form(value: Any) -> None:
    assert orjson.loads(value_text(stored_value(value))) == value
    assert type(orjson.loads(value_text(stored_value(value)))) is type(value)


async def test_cleaning_up(file: ViewFile) -> None:
    kept, gone, other = [await file.index(n, sig, 1) for n, sig in ((1, "a"), (1, "b"), (2, "b"))]
    await file.apply(gone, ["x"], [row(1, "x")], 1)
    assert await file.clean_up(1, {"a"}) == 1
    with pytest.raises(StorageError) as refused:
        await file.apply(gone, ["x"], [], 2)
    assert refused.value.code == "index-dropped"
    with pytest.raises(StorageError) as refused:
        await file.snapshot(gone)
    assert refused.value.code == "index-dropped"
    assert await keys(file, kept) == await keys(file, other) == []
    assert await file.forget_collections({2}) == 1
    again = await file.index(1, "b", 1)
    assert again.number not in (kept.number, gone.number, other.number)
    assert await keys(file, again) == []


# ── a file that is worthless ───────────────────────────────────────────────────────────────────────────────


async def filled(path: Path, epoch: str = "epoch") -> None:
    file = await ViewFile.open(path, epoch)
    await file.apply(await file.index(1, "sig", 1), ["a"], [row(1, "a")], 1)
    await file.close()


async def test_a_file_is_kept(tmp_path: Path) -> None:
    await filled(tmp_path / FILE_NAME)
    file = await ViewFile.open(tmp_path / FILE_NAME, "epoch")
    index = await file.index(1, "sig", 1)
    assert (index.seq, await keys(file, index)) == (1, [("1", "a")])
    await file.close()


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def _from_the_future(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()


@pytest.mark.parametrize(
    "spoil", [_garbage, _from_the_future, lambda path: None], ids=["damaged", "newer", "epoch"]
)
async def test_a_worthless_file_is_replaced(tmp_path: Path, spoil: Any) -> None:
    path = tmp_path / FILE_NAME
    await filled(path, "another epoch")
    spoil(path)
    file = await ViewFile.open(path, "epoch")
    index = await file.index(1, "sig", 1)
    assert (index.seq, await keys(file, index)) == (0, [])
    await file.close()


async def test_the_app_gives_its_file(open_database: OpenDatabase, tmp_path: Path) -> None:
    database = await open_database()
    await database.create_database("items")
    file = await database.views()
    assert file is await database.views() and file.path == tmp_path / FILE_NAME
    gone = await file.index(database.collection("items").number + 7, "sig", 1)
    fresh = await database.views(broken=file)
    assert fresh is not file and fresh is await database.views(broken=file)
    await database.close()
    again = await open_database()
    assert (await (await again.views()).index(gone.collection, "sig", 1)).seq == 0


async def test_indexes_go_with_their_collection(open_database: OpenDatabase) -> None:
    database = await open_database()
    await database.create_database("items")
    await database.create_database("others")
    file = await database.views()
    made = [await file.index(database.collection(name).number, "sig", 1) for name in ("items", "others")]
    await database.drop("items")
    with pytest.raises(StorageError, match="dropped"):
        await file.snapshot(made[0])
    file.release(await file.snapshot(made[1]))


# ── what indexes are built from ────────────────────────────────────────────────────────────────────────────


async def test_documents_as_map_functions_see_them(open_database: OpenDatabase) -> None:
    database = await open_database()
    await database.create_database("items")
    first = await database.put("items", Edit("a", {"n": 1}))
    empty = await database.put("items", Edit("b", {}))
    dead = await database.put("items", Edit("c", {}))
    await database.put("items", Edit("c", {}, dead, deleted=True))
    await database.put("items", Edit("_design/d", {"views": {}}))
    state = database.collection("items")
    batch = await database.read(lambda c: read_batch(c, state, 0, database.last_seq))
    assert [(d.id, d.text) for d in batch.documents] == [
        ("a", f'{{"_id":"a","_rev":"{first}","n":1}}'.encode()),
        ("b", f'{{"_id":"b","_rev":"{empty}"}}'.encode()),
        ("c", None),
    ]
    assert (batch.last, batch.more) == (database.last_seq, False)
    design = await database.read(
        lambda c: read_batch(c, state, 0, database.last_seq, with_design=True, local_seq=True)
    )
    assert sorted(d.id for d in design.documents) == ["_design/d", "a", "b", "c"]
    assert all(b'"_local_seq":' in d.text for d in design.documents if d.text)


@pytest.mark.parametrize(("documents", "size"), [(3, 1 << 30), (1000, 40)])
async def test_batches_are_small_and_miss_nothing(
    open_database: OpenDatabase, monkeypatch: pytest.MonkeyPatch, documents: int, size: int
) -> None:
    monkeypatch.setattr(view_source, "MOST_DOCUMENTS", documents)
    monkeypatch.setattr(view_source, "MOST_BYTES", size)
    database = await open_database()
    await database.create_database("items")
    for n in range(20):
        rev = await database.put("items", Edit(f"d{n}", {"text": "x" * 10}))
        if n % 3 == 0:
            await database.put("items", Edit(f"d{n}", {}, rev, deleted=True))
        if n % 5 == 0:
            await database.put("items", Edit(f"_design/d{n}", {}))
    state = database.collection("items")
    seen: list[tuple[str, bool]] = []
    since, more = 0, True
    while more:
        at = since

        def read(connection: Any, at: int = at) -> SourceBatch:
            return read_batch(connection, state, at, database.last_seq, with_design=True)

        batch = await database.read(read)
        assert len(batch.documents) <= 2 * min(documents, 4)
        assert batch.last > since or not batch.more
        seen += [(d.id, d.text is None) for d in batch.documents]
        since, more = batch.last, batch.more
    assert sorted(seen) == sorted(
        [(f"d{n}", n % 3 == 0) for n in range(20)] + [(f"_design/d{n}", False) for n in range(0, 20, 5)]
    )
    assert len({i for i, _ in seen}) == len(seen)
