"""Building indexes: whatever happens on the way, they end as if they were built at once."""

from __future__ import annotations

import asyncio
import json
import tempfile
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localsrv.base.errors import NotFound, StorageError
from localsrv.javascript.pool import JavaScript
from localsrv.javascript.worker import JavaScriptError, Killed
from localsrv.model.collation import sort_key
from localsrv.model.design_document import DesignDocument, parse_design
from localsrv.services import mapping
from localsrv.services import views as building
from localsrv.services.imports import program
from localsrv.services.mapping import view_rows
from localsrv.services.views import Views
from localsrv.store import view_source
from localsrv.store.database import Database
from localsrv.store.editing import Edit
from localsrv.store.view_snapshot import Range
from localsrv.store.view_source import SourceDocument
from localsrv.store.views import ViewFile

DESIGN = parse_design(
    "_design/d",
    {
        "views": {
            "n": {"map": "function (doc) { emit(doc.n, doc._id) }"},
            "tags": {"map": "function (doc) { for (const tag of doc.tags || []) emit([tag, doc.n], 1) }"},
        }
    },
)


class Place:
    """An app's file, its views, and children for their functions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database: Database
        self.views: Views
        self.javascript = JavaScript(program(), patience_s=20.0)

    async def open(self) -> None:
        self.database = await Database.open(self.folder / "app.db", self.folder / "blobs")
        self.views = Views(self.javascript)
        if "items" not in self.database.collections:
            await self.database.create_database("items")

    async def close(self) -> None:
        await self.views.close()
        await self.database.close()

    async def rows(self, design: DesignDocument = DESIGN) -> dict[str, list[tuple[str, str, str]]]:
        """All rows by view, as JSON texts."""
        async with self.views.snapshot(self.database, "items", design) as snapshot:
            found = {
                view.name: [
                    (row.key, row.id, row.value)
                    for row in snapshot.rows(Range(view.number), descending=False, skip=0, limit=None)
                ]
                for view in design.views.values()
            }
            for view in design.views.values():
                assert snapshot.total(view.number) == len(found[view.name])
            return found


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    await made.open()
    yield made
    await made.close()
    await made.javascript.close()


# ── whatever happens on the way ────────────────────────────────────────────────────────────────────────────

IDS = st.sampled_from(["a", "b", "c", "d", "ü", "🐢"])
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "n": st.none() | st.booleans() | st.integers(-3, 3) | st.text("aé🐢", max_size=2) | st.just([1]),
        "tags": st.lists(st.sampled_from(["x", "y"]), max_size=3),
    },
)
STEPS = st.lists(
    st.tuples(st.just("put"), IDS, BODIES)
    | st.tuples(st.just("delete"), IDS)
    | st.tuples(st.just("graft"), IDS, BODIES, st.sampled_from(["1-aa", "1-zz", "5-ff"]), st.booleans())
    | st.tuples(st.just("query"))
    | st.tuples(st.just("reopen"))
    | st.tuples(st.just("kill"))
    | st.tuples(st.just("damage"))
    | st.tuples(st.just("clean up")),
    max_size=14,
)


async def _step(place: Place, step: tuple[Any, ...]) -> None:
    database = place.database
    match step:
        case ("put", document_id, body):
            known = database.get_document("items", document_id)
            parent = known.rev if known is not None and not known.deleted else None
            await database.put("items", Edit(document_id, body, parent))
        case ("delete", document_id):
            known = database.get_document("items", document_id)
            if known is not None and not known.deleted:
                await database.put("items", Edit(document_id, {}, known.rev, deleted=True))
        case ("graft", document_id, body, rev, deleted):
            edit = Edit(document_id, body, deleted=deleted, path=(rev,))
            await database.put_many("items", [edit], new_edits=False)
        case ("query",):
            await place.rows()
        case ("reopen",):
            await place.close()
            await place.open()
        case ("kill",):
            for child in place.javascript._children:
                if child.worker is not None and child.worker.is_alive:
                    child.worker._process.kill()
        case ("damage",):
            await place.close()
            (place.folder / "indexes.db").write_bytes(b"not a database at all" * 99)
            await place.open()
        case ("clean up",):
            await place.views.clean_up(database, "items", [])


def expected(database: Database, documents: dict[str, dict[str, Any]]) -> dict[str, list[tuple[Any, str]]]:
    """What the functions of `DESIGN` emit, worked out here."""
    n = [(body.get("n"), i) for i, body in documents.items()]
    tags = [([tag, body.get("n")], i) for i, body in documents.items() for tag in body.get("tags", [])]
    return {
        "n": sorted(n, key=lambda row: (sort_key(row[0]), row[1].encode())),
        "tags": sorted(tags, key=lambda row: (sort_key(row[0]), row[1].encode())),
    }


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_an_index_ends_as_if_built_at_once(steps: list[tuple[Any, ...]]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder))
            await place.open()
            try:
                for step in steps:
                    await _step(place, step)
                followed = await place.rows()
                live = {d.id: _body(d.body) for d in await place.database.documents("items", limit=1000)}
                worked_out = expected(place.database, live)
                for name, rows in followed.items():
                    assert [(_body(key), i) for key, i, _ in rows] == worked_out[name]
                await place.views.clean_up(place.database, "items", [])
                assert await place.rows() == followed
            finally:
                await place.close()
                await place.javascript.close()

    asyncio.run(run())


def _body(text: str | None) -> Any:
    return json.loads(text or "{}")


# ── one at a time ──────────────────────────────────────────────────────────────────────────────────────────


async def test_however_many_ask_it_is_built_once(place: Place) -> None:
    for n in range(50):
        await place.database.put("items", Edit(f"d{n}", {"n": n}))
    answers = await asyncio.gather(*(place.rows() for _ in range(8)))
    assert all(answer == answers[0] for answer in answers) and len(answers[0]["n"]) == 50
    assert len(place.views._jobs[place.database]) == 1
    assert place.views.building(place.database) == []


async def test_somebody_who_leaves_stops_nobody(place: Place) -> None:
    for n in range(50):
        await place.database.put("items", Edit(f"d{n}", {"n": n}))
    leaving, staying = asyncio.ensure_future(place.rows()), asyncio.ensure_future(place.rows())
    await asyncio.sleep(0)
    leaving.cancel()
    assert len((await staying)["n"]) == 50


async def test_many_batches(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_source, "MOST_DOCUMENTS", 7)
    for n in range(60):
        rev = await place.database.put("items", Edit(f"d{n:02}", {"n": n}))
        if n % 4 == 0:
            await place.database.put("items", Edit(f"d{n:02}", {}, rev, deleted=True))
    assert [i for _, i, _ in (await place.rows())["n"]] == [f"d{n:02}" for n in range(60) if n % 4]


async def test_what_is_written_meanwhile_comes_with_the_next_query(place: Place) -> None:
    async def write() -> None:
        for n in range(100):
            await place.database.put("items", Edit(f"w{n:02}", {"n": n}))

    writing = asyncio.ensure_future(write())
    seen = 0
    while not writing.done():
        found = len((await place.rows())["n"])
        assert found >= seen
        seen = found
    await writing
    assert len((await place.rows())["n"]) == 100


async def test_a_file_that_breaks_while_it_is_open(place: Place) -> None:
    """What SQLite finds wrong with it makes it begin anew."""
    await place.database.put("items", Edit("a", {"n": 1}))
    before = await place.rows()
    file = await place.database.views()

    def spoil(tx: Any) -> None:
        tx.execute("PRAGMA writable_schema = ON")
        tx.execute("UPDATE sqlite_master SET sql = 'nonsense' WHERE name LIKE 'rows_%'")

    await file._writer.submit(spoil, alone=True)
    await place.database.put("items", Edit("b", {"n": 2}))
    for snapshot in file._idle:
        snapshot.close()
    file._idle.clear()
    assert (await place.rows())["n"] == [*before["n"], ("2", "b", '"b"')]
    assert await place.database.views() is not file


async def test_a_database_that_is_deleted_and_made_again(place: Place) -> None:
    await place.database.put("items", Edit("a", {"n": 1}))
    assert len((await place.rows())["n"]) == 1
    await place.database.drop("items")
    with pytest.raises(NotFound):
        await place.rows()
    await place.database.create_database("items")
    assert (await place.rows())["n"] == []


async def test_views_that_say_the_same_share_their_rows(place: Place) -> None:
    source = "doc => emit(doc.n)"
    one = parse_design(
        "_design/one", {"views": {"a": {"map": source}, "b": {"map": source, "reduce": "_count"}}}
    )
    two = parse_design("_design/two", {"views": {"c": {"map": source}}})
    other = parse_design("_design/one", {"views": {"a": {"map": source}, "lib": {"m": "1"}}})
    assert one.signature == two.signature != other.signature
    assert one.views["a"].number == one.views["b"].number == 0
    await place.database.put("items", Edit("a", {"n": 1}))
    assert (await place.rows(one))["b"] == (await place.rows(two))["c"] == [("1", "a", "null")]
    assert len(place.views._jobs[place.database]) == 1


async def test_a_design_document_without_views(place: Place) -> None:
    await place.database.put("items", Edit("a", {"n": 1}))
    assert await place.rows(parse_design("_design/x", {})) == {}


# ── functions that fail ────────────────────────────────────────────────────────────────────────────────────


async def test_the_rest_grows(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that fails again and again is tried ever more seldom."""
    now = 1000.0
    monkeypatch.setattr(building.time, "monotonic", lambda: now)
    design = parse_design("_design/x", {"views": {"v": {"map": "doc => { throw 'fatal_error' }"}}})
    await place.database.put("items", Edit("a", {}))
    rests = []
    for _ in range(10):
        with pytest.raises(JavaScriptError):
            await place.rows(design)
        (job,) = place.views._jobs[place.database].values()
        assert job.failure is not None
        rests.append(job.failure.rests_until - now)
        task = job.task
        with pytest.raises(JavaScriptError):
            await place.rows(design)
        assert job.task is task  # it rests: the function did not run
        now = job.failure.rests_until
    assert rests[:3] == [30.0, 60.0, 120.0] and rests[-1] == 3600.0


async def test_rows_that_are_much_larger_than_their_documents(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are taken in pieces, and none is missed."""
    monkeypatch.setattr(mapping, "BYTES_AT_ONCE", 100_000)
    monkeypatch.setattr(mapping, "LENGTH_AT_ONCE", 300_000)
    for n in range(30):
        rev = await place.database.put("items", Edit(f"d{n:02}", {"n": n}))
        if n % 10 == 0:
            await place.database.put("items", Edit(f"d{n:02}", {}, rev, deleted=True))
    large = "doc => { const end = Date.now() + 20; while (Date.now() < end); emit(doc.n, 'x'.repeat(50000)) }"
    found = (await place.rows(parse_design("_design/x", {"views": {"v": {"map": large}}})))["v"]
    assert [key for key, _, _ in found] == [str(n) for n in range(30) if n % 10]
    assert {len(value) for _, _, value in found} == {50_002}


MANY = "doc => { for (let i = 0; i < doc.n; i++) emit(i % 7, i) }"


async def test_however_much_is_emitted_little_is_written_at_once(place: Place) -> None:
    """Neither what many documents emit together, nor what a single one does."""
    design = parse_design("_design/x", {"views": {"v": {"map": MANY}, "w": {"map": "doc => emit(doc.n)"}}})
    counts = [("huge", 100_000), *((f"d{n:02}", 1000) for n in range(40)), ("small", 3)]
    for name, count in counts:
        await place.database.put("items", Edit(name, {"n": count}))
    sizes: list[int] = []
    await place.database.views()
    apply = ViewFile.apply

    async def spy(self: ViewFile, index: Any, ids: Any, rows: Any, seq: int) -> Any:
        sizes.append(len(rows))
        return await apply(self, index, ids, rows, seq)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ViewFile, "apply", spy)
        found = await place.rows(design)
    assert len(found["v"]) == sum(count for _, count in counts) and len(found["w"]) == len(counts)
    for name, count in counts:
        emitted = [value for _, i, value in found["v"] if i == name]
        assert sorted(map(int, emitted)) == [*range(count)]
    assert max(sizes) < 4 * mapping.ROWS_AT_ONCE
    rev = place.database.get_document("items", "huge").rev  # type: ignore[union-attr]
    await place.database.put("items", Edit("huge", {"n": 30_000}, rev))
    again = await place.rows(design)
    assert len(again["v"]) == len(found["v"]) - 70_000


async def test_what_others_emit_keeps_a_small_index_waiting_little(place: Place) -> None:
    """Not behind large transactions of a build whose caller has left, either: the file has one writer."""
    for n in range(250):
        await place.database.put("items", Edit(f"d{n:03}", {"n": 2000}))
    much = "doc => { for (let i = 0; i < doc.n; i++) emit(Math.random(), i) }"
    heavy = parse_design("_design/heavy", {"views": {"v": {"map": much}}})
    written: list[int] = []
    began = asyncio.Event()
    apply = ViewFile.apply

    async def spy(self: ViewFile, index: Any, ids: Any, rows: Any, seq: int) -> Any:
        made = await apply(self, index, ids, rows, seq)
        if index.signature == heavy.signature:
            written.append(len(rows))
            began.set()
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ViewFile, "apply", spy)
        leaving = asyncio.ensure_future(place.rows(heavy))
        await began.wait()
        leaving.cancel()
        before = len(written)
        assert len((await place.rows())["n"]) == 250
        assert place.views.building(place.database) != [] and sum(written) < 500_000
        assert max(written) < 4 * mapping.ROWS_AT_ONCE and len(written) - before < 10


async def test_a_document_whose_rows_were_written_in_part(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child dies between two parts, or the server: the document begins again, and nothing is left."""
    monkeypatch.setattr(mapping, "ROWS_AT_ONCE", 10)
    design = parse_design("_design/x", {"views": {"v": {"map": MANY}}})
    await place.database.put("items", Edit("first", {"n": 5}))
    await place.database.put("items", Edit("huge", {"n": 100_000}))
    writes = 0
    apply = ViewFile.apply

    async def dies(self: ViewFile, index: Any, ids: Any, rows: Any, seq: int) -> Any:
        nonlocal writes
        writes += 1
        if writes == 2:
            for child in place.javascript._children:
                child.worker._process.kill()  # type: ignore[union-attr]
                await child.worker._process.wait()  # type: ignore[union-attr]
        if writes == 4:
            raise StorageError("not now", code="storage")
        return await apply(self, index, ids, rows, seq)

    monkeypatch.setattr(ViewFile, "apply", dies)
    with pytest.raises(StorageError, match="not now"):
        await place.rows(design)
    assert len((await place.rows(design))["v"]) == 100_005


LONG = [
    ("doc => emit(1, 'ü\"'.repeat(50000))", ['"' + 'ü\\"' * 50_000 + '"']),
    ("doc => emit(1, Array(2500000).fill([]))", ["[" + ",".join(["[]"] * 2_500_000) + "]"]),
    ("doc => emit(1, 'x'.repeat(9e6))", []),
    ("doc => emit('x'.repeat(2e6))", []),
]


@pytest.mark.parametrize(("source", "values"), LONG, ids=range(len(LONG)))
async def test_long_values_are_kept_as_they_come(place: Place, source: str, values: list[str]) -> None:
    """They are not taken apart, which would cost thirty times their length in memory.

    A document that emits what is too long is left out, as one whose function throws.
    """
    await place.database.put("items", Edit("a", {}))
    tracemalloc.start()
    found = await place.rows(parse_design("_design/x", {"views": {"v": {"map": source}}}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [value for _, _, value in found["v"]] == values
    assert peak < 150 << 20


BROKEN_ANSWERS: list[Any] = [
    [[]],
    [[[0, 1]], []],
    [[[7, 1, 2]], []],
    [[[-1, 1, 2]], []],
    [[["0", 1, 2]], []],
    [[[True, 1, 2]], []],
    [[5], []],
    [None, []],
    [[[0, 1, None, "[1"]], []],
    [[[0, 1, None, "1"]], []],
    [[[0, 1, None, 5]], []],
    [[[0, 1, None, "[]", "[]"]], []],
]


@pytest.mark.parametrize("answer", BROKEN_ANSWERS)
def test_a_child_is_not_believed(answer: Any) -> None:
    documents = [SourceDocument("a", b"{}"), SourceDocument("b", b"{}")]
    with pytest.raises(Killed):
        view_rows(documents, answer, [sort_key])


async def test_a_key_that_is_nested_too_deep(place: Place) -> None:
    deep = "doc => { let key = 1; for (let i = 0; i < 900; i++) key = [key]; emit(key) }"
    await place.database.put("items", Edit("a", {}))
    with pytest.raises(JavaScriptError) as failed:
        await place.rows(parse_design("_design/x", {"views": {"v": {"map": deep}}}))
    assert failed.value.error in ("map_runtime_error", "os_process_error")
