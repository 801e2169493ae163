"""Settling conflicts in real files: by policy, in any order, after restarts, beside clients' writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from localsrv.model.merge import live_leaves
from localsrv.model.query import parse_query
from localsrv.model.schema import FieldType
from localsrv.model.schema_parse import parse_collection
from localsrv.services.conflicts import SOURCE, Conflicts, moment
from localsrv.store.database import Database, Edit, StoreOptions
from localsrv.store.editing import NewAttachment
from tests.support.replicas import state_of, sync

Json = dict[str, Any]
MERGE: Json = {"conflicts": "merge", "fields": {"name": "text"}}
LATEST: Json = {"conflicts": {"latest": "at"}, "fields": {"at": "timestamptz"}}


class Site:
    """A device: an app's file and the service that settles its conflicts."""

    def __init__(self, folder: Path, options: StoreOptions | None = None) -> None:
        self.folder = folder
        self.options = options or StoreOptions()
        self.conflicts: Conflicts | None = None

    async def open(self, definition: Json | None = None, *, following: bool = True) -> Site:
        self.folder.mkdir(exist_ok=True)
        self.db = await Database.open(self.folder / "app.db", self.folder / "blobs", self.options)
        if definition is not None:
            await self.db.define({"notes": parse_collection("notes", definition)})
        if following:
            self.follow()
        return self

    def follow(self) -> None:
        self.conflicts = Conflicts()
        self.conflicts.follow("app", self.db)

    async def close(self) -> None:
        if self.conflicts is not None:
            await self.conflicts.close()
            self.conflicts = None
        await self.db.close()

    async def put(self, document: Json, parent: str | None = None, **files: bytes) -> str:
        attachments = [
            NewAttachment(n, "text/plain", await self.db.receive(_chunks(data))) for n, data in files.items()
        ]
        return await self.db.put("notes", Edit("n", document, parent, attachments=tuple(attachments)))

    async def until(self, is_so: Callable[[], bool | Awaitable[bool]]) -> None:
        """Waits for a change after which it is so."""
        async with asyncio.timeout(20):
            while True:
                seen = self.db.last_seq
                found = is_so()
                if found if isinstance(found, bool) else await found:
                    return
                await self.db.wait_for_change(seen)

    async def settled(self) -> Json:
        """The document, once it has a single live leaf."""
        await self.until(lambda: len(self.live) == 1)
        return self.document

    @property
    def live(self) -> list[str]:
        known = self.db.revisions("notes", "n")
        return [] if known is None else live_leaves(known.tree)

    @property
    def document(self) -> Json:
        found = self.db.get_document("notes", "n")
        assert found is not None and found.body is not None
        return dict(orjson.loads(found.body))


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    made: list[Site] = []

    async def make(definition: Json | None = None, **options: Any) -> Site:
        site = await Site(tmp_path / f"site{len(made)}").open(definition, **options)
        made.append(site)
        return site

    yield make
    for site in made:
        await site.close()


Sites = Callable[..., Awaitable[Site]]


async def _apart(one: Site, two: Site, first: Json, ours: Json, theirs: Json) -> None:
    """Both have `first`, and each changed it since."""
    base = await one.put(first)
    await sync(one.db, two.db, "notes")
    await one.put(ours, base)
    await two.put(theirs, base)


async def test_two_devices_that_merge_apart_write_the_same(sites: Sites) -> None:
    one, two = await sites(MERGE), await sites(MERGE)
    await _apart(one, two, {"name": "a", "n": 1}, {"name": "b", "n": 1}, {"name": "a", "n": 2})
    await sync(one.db, two.db, "notes")
    merged = await two.settled()
    assert merged == {"name": "b", "n": 2}
    # The other device gets the other leaf alone, from before the merge, and merges for itself.
    known = await two.db.open_many("notes", [("n", "all")])
    lost = [d.rev for d, path in known[0] if d.deleted]
    parents = [path[1] for d, path in known[0] if d.deleted] + [p[1] for d, p in known[0] if not d.deleted]
    for documents in await two.db.open_many("notes", [("n", r) for r in parents]):
        for document, path in documents:
            body = orjson.loads(document.body or "{}")
            await one.db.put_many("notes", [Edit("n", body, path=tuple(path))], new_edits=False)
    assert await one.settled() == merged
    assert await state_of(one.db, "notes") == await state_of(two.db, "notes")
    assert len(lost) == 1
    assert await sync(one.db, two.db, "notes") + await sync(two.db, one.db, "notes") == 0


async def test_the_feed_tells_where_a_merge_came_from_and_rows_show_it(sites: Sites) -> None:
    one, two = await sites(MERGE), await sites(MERGE, following=False)
    await _apart(one, two, {"name": "a"}, {"name": "b"}, {"name": "a", "n": 2})
    await sync(two.db, one.db, "notes")
    await one.settled()
    (change,) = (await one.db.changes(0, ["notes"])).changes
    assert (change.source, change.cause) == (SOURCE, "merge")
    rows = (await one.db.select("notes", parse_query([("select", "name,n")]))).rows
    assert [orjson.loads(row) for row in rows] == [{"name": "b", "n": 2}]


async def test_a_collection_that_keeps_is_left_alone_until_its_policy_changes(sites: Sites) -> None:
    one, two = await sites({}), await sites({})
    await _apart(one, two, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2})
    await sync(two.db, one.db, "notes")
    for _ in range(3):  # other changes, each of which the follower hears of
        await one.db.put("notes", Edit("other", {}, (await _revision(one, "other"))))
    assert len(one.live) == 2
    await one.db.define({"notes": parse_collection("notes", MERGE)})
    assert await one.settled() == {"a": 2, "b": 2}


async def _revision(site: Site, document_id: str) -> str | None:
    found = site.db.get_document("notes", document_id)
    return found.rev if found else None


async def test_conflicts_from_before_a_restart_are_settled(sites: Sites) -> None:
    one, two = await sites(MERGE, following=False), await sites(MERGE, following=False)
    await _apart(one, two, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2})
    await sync(two.db, one.db, "notes")
    assert len(one.live) == 2
    await one.close()
    await one.open()
    assert await one.settled() == {"a": 2, "b": 2}


async def test_attachments_of_both_sides_are_kept(sites: Sites) -> None:
    large = b"large " * 20_000
    one, two = await sites(MERGE), await sites(MERGE)
    base = await one.put({}, shared=b"shared")
    await sync(one.db, two.db, "notes")
    blob = [await s.db.receive(_chunks(d)) for s, d in ((one, b"small"), (two, large))]
    await one.db.put_attachment("notes", "n", "small", "text/plain", blob[0], base)
    await two.db.put_attachment("notes", "n", "large", "a/b", blob[1], base)
    await sync(two.db, one.db, "notes")
    await one.settled()
    found = one.db.get_document("notes", "n")
    assert found is not None
    assert [(a.name, a.content_type) for a in found.attachments] == [
        ("large", "a/b"),
        ("shared", "text/plain"),
        ("small", "text/plain"),
    ]
    content = one.db.attachment("notes", "n", "large")
    assert content is not None
    assert content.path is not None
    assert content.path.read_bytes() == large
    await sync(one.db, two.db, "notes")
    assert await state_of(one.db, "notes") == await state_of(two.db, "notes")


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("2026-01-01T10:00:00+02:00", "2026-01-01T09:00:00Z", "2026-01-01T09:00:00Z"),
        ("2026-01-01T10:00:00Z", "2026-01-01T11:00:00+02:00", "2026-01-01T10:00:00Z"),
        ("2026-01-01T10:00:00.5Z", "2026-01-01T10:00:00Z", "2026-01-01T10:00:00.5Z"),
        ("2026-01-01T10:00:00Z", None, "2026-01-01T10:00:00Z"),
    ],
)
async def test_the_latest_stands(sites: Sites, ours: Any, theirs: Any, expected: str) -> None:
    one, two = await sites(LATEST), await sites(LATEST)
    before = {"at": "2020-01-01T00:00:00Z"}
    await _apart(one, two, before, {"at": ours, "by": "one"}, {"at": theirs, "by": "two"})
    await sync(one.db, two.db, "notes")
    await sync(two.db, one.db, "notes")
    assert await one.settled() == await two.settled()
    assert one.document["at"] == expected
    assert await state_of(one.db, "notes") == await state_of(two.db, "notes")


async def test_a_forgotten_ancestor_leaves_the_conflict_until_another_device_settles_it(sites: Sites) -> None:
    one, two, three = [await sites(MERGE) for _ in range(3)]
    await _apart(one, two, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2})
    await three.db.put("notes", Edit("other", {}))
    await _leaves_only(one, three)
    await _leaves_only(two, three)  # it never saw what the two came from
    await three.db.put("notes", Edit("other", {"x": 1}, await _revision(three, "other")))
    assert len(three.live) == 2
    await sync(two.db, one.db, "notes")
    merged = await one.settled()
    await sync(one.db, three.db, "notes")
    assert await three.settled() == merged == {"a": 2, "b": 2}
    assert len(one.live) == 1


async def _leaves_only(source: Site, target: Site) -> None:
    await sync(source.db, target.db, "notes")


async def test_a_write_that_comes_in_between_is_neither_lost_nor_overwritten(sites: Sites) -> None:
    """Many writers edit what is being merged, with the revision that they read; every answer holds."""
    one, two = await sites(MERGE), await sites(MERGE)
    base = await one.put({f"f{i}": 0 for i in range(8)})
    await sync(one.db, two.db, "notes")

    async def write(site: Site, name: str) -> None:
        for value in range(1, 6):
            while True:
                newest = site.db.last_seq
                found = site.db.get_document("notes", "n")
                assert found is not None and found.body is not None
                body = orjson.loads(found.body)
                if body[name] != value - 1:
                    # Until the merge, the other site's version may win, without what was written here. An
                    # edit of that one would be at odds with this writer's own, and either might stand.
                    await site.db.wait_for_change(newest)
                    continue
                edit = Edit("n", {**body, name: value}, found.rev)
                done = (await site.db.put_many("notes", [edit]))[0]
                if not isinstance(done, Exception):
                    break

    async def mix() -> None:
        for _ in range(10):
            await sync(one.db, two.db, "notes")
            await sync(two.db, one.db, "notes")

    writers = [write(site, f"f{i}") for i, site in enumerate([one, two] * 4)]
    await asyncio.gather(*writers, mix())
    for _ in range(4):
        await one.settled()
        await two.settled()
        await sync(one.db, two.db, "notes")
        await sync(two.db, one.db, "notes")
    assert await one.settled() == await two.settled() == {f"f{i}": 5 for i in range(8)}
    await one.until(lambda: base in one.db.revisions("notes", "n").tree)  # type: ignore[union-attr]


async def test_many_conflicts_at_once(sites: Sites) -> None:
    one, two = await sites(MERGE), await sites(MERGE)
    ids = [f"d{i}" for i in range(120)]
    bases = await one.db.put_many("notes", [Edit(i, {"a": 1, "b": 1}) for i in ids])
    await sync(one.db, two.db, "notes")
    pairs = [(i, r) for i, r in zip(ids, bases, strict=True) if isinstance(r, str)]
    await one.db.put_many("notes", [Edit(i, {"a": 2, "b": 1}, r) for i, r in pairs])
    await two.db.put_many("notes", [Edit(i, {"a": 1, "b": 2}, r) for i, r in pairs])
    await sync(two.db, one.db, "notes")

    async def none() -> bool:
        return not await one.db.conflicts("notes")

    await one.until(none)
    rows = (await one.db.select("notes", parse_query([("select", "a,b")]))).rows
    assert set(rows) == {'{"a":2,"b":2}'}


async def test_following_sleeps_without_a_timer_and_ends_with_the_file(sites: Sites) -> None:
    one = await sites(MERGE)
    await one.put({"a": 1})
    loop: Any = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while not one.db._file.followers.are_waiting or _sleeps(loop):
            await asyncio.sleep(0)
    assert one.conflicts is not None
    assert len(one.conflicts._tasks) == 1
    await one.db.close()
    async with asyncio.timeout(20):
        while one.conflicts._tasks:
            await asyncio.sleep(0)
    await one.open()


def _sleeps(loop: Any) -> list[Any]:
    """Timers of `asyncio.sleep` that are running."""
    return [t for t in loop._scheduled if not t.cancelled() and "set_result" in repr(t)]


async def test_a_document_that_changed_since_it_was_looked_at_is_left_to_the_next_look(sites: Sites) -> None:
    one, two = await sites(MERGE, following=False), await sites(MERGE, following=False)
    await _apart(one, two, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2})
    await sync(two.db, one.db, "notes")
    examine = one.db.examine

    async def slowly(*arguments: Any) -> Any:
        found = await examine(*arguments)
        if len(one.live) == 2 and (await _revision(one, "n") or "").startswith("2-"):
            await one.put({**one.document, "c": 1}, await _revision(one, "n"))
        return found

    one.db.examine = slowly  # type: ignore[method-assign]
    one.follow()
    merged = await one.settled()
    assert merged == {"a": 2, "b": 2, "c": 1}
    tree = one.db.revisions("notes", "n")
    assert tree is not None
    assert sorted(r[:2] for r in tree.tree.nodes) == ["1-", "2-", "2-", "3-", "3-", "4-"]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("timestamptz", "2026-01-01T10:00:00Z", datetime(2026, 1, 1, 10, tzinfo=UTC)),
        ("timestamptz", "2026-01-01T10:00:00", datetime(2026, 1, 1, 10, tzinfo=UTC)),
        ("timestamp", "2026-01-01 10:00", datetime(2026, 1, 1, 10)),
        ("date", "2026-01-01", datetime(2026, 1, 1)),
        ("timestamptz", "yesterday", None),
        ("timestamptz", 5, None),
        ("timestamptz", None, None),
        ("integer", 5, 5),
        ("number", 5.5, 5.5),
        ("number", "5", None),
        ("integer", True, None),
    ],
)
def test_what_counts_as_a_moment(kind: str, value: Any, expected: Any) -> None:
    assert moment(FieldType(kind), value) == expected
