"""What a replication does, whichever side is here and whichever is reached over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
import pytest

from localsrv.base.errors import LocalsrvError, NotFound
from localsrv.model.exchange import Revision, Stub, Written
from localsrv.outbound.errors import PeerLost, PeerMissing
from localsrv.services.replication.peer import Peer
from localsrv.services.replication.run import DatabaseMissing
from localsrv.store.database import Database
from localsrv.store.document_changes import ChangesQuery
from localsrv.store.editing import Edit, NewAttachment
from tests.contract.conftest import Pair, Replica

LARGE = bytes(range(256)) * 2000
ODD_IDS = ("a/b", "ü ß", "+plus", "100%", "_design/of one", "q?x=1&y", "dot.", "'\"", "emoji 🎈")


async def put(database: Database, name: str, document_id: str, parent: str | None = None, **more: Any) -> str:
    fields = {key: value for key, value in more.items() if key not in ("deleted", "attachments", "kept")}
    options = {key: more[key] for key in ("deleted", "attachments", "kept") if key in more}
    return await database.put(name, Edit(document_id, fields, parent, **options))


async def attached(database: Database, name: str, content_type: str, data: bytes) -> NewAttachment:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return NewAttachment(name, content_type, await database.receive(chunks()))


async def graft(database: Database, name: str, document_id: str, *path: str, **fields: Any) -> None:
    done = await database.put_many(name, [Edit(document_id, fields, path=path)], new_edits=False)
    assert done == [path[0]]


async def state(replica: Replica) -> dict[str, Any]:
    """Everything there is: leaves with their histories, bodies and attachments, by id."""
    database, name = replica.database, replica.name
    changes = (await database.document_changes(name, ChangesQuery(limit=10_000))).changes
    out: dict[str, Any] = {}
    for change in changes:
        leaves = (await database.open_many(name, [(change.id, "all")]))[0]
        out[change.id] = [
            (
                path,
                document.deleted,
                orjson.loads(document.body or "{}"),
                {a.name: (a.content_type, a.sha256.hex(), a.revpos) for a in document.attachments},
            )
            for document, path in leaves
        ]
    return out


async def fill(replica: Replica) -> None:
    """One of each that documents can be."""
    database, name = replica.database, replica.name
    for document_id in ODD_IDS:
        await put(database, name, document_id, value=document_id)
    rev = await put(database, name, "edited", n=0)
    for n in range(1, 6):
        rev = await put(database, name, "edited", rev, n=n)
    rev = await put(database, name, "deleted", n=0)
    await put(database, name, "deleted", rev, deleted=True, why="no more")
    await graft(database, name, "conflict", "3-c", "2-b", "1-a", text="first")
    await graft(database, name, "conflict", "2-x", "1-a", text="second")
    await graft(database, name, "conflict", "4-z", "3-y", text="of another beginning")
    small = await attached(database, "a/ü.txt", "text/plain", b"small " * 10)
    large = await attached(database, "large.bin", "application/octet-stream", LARGE)
    empty = await attached(database, "empty", "text/plain", b"")
    await put(database, name, "files", attachments=(small, large, empty), title="with files")
    await put(database, name, "numbers", big=2**53, exact=1.5, none=None, deep={"a": [1, {"b": "\u2028"}]})


async def test_everything_arrives(pair: Pair) -> None:
    await fill(pair.source)
    answer = await pair.run()
    assert await state(pair.target) == await state(pair.source)
    assert answer["history"][0]["docs_written"] == answer["history"][0]["docs_read"] == len(ODD_IDS) + 7
    assert answer["history"][0]["doc_write_failures"] == 0
    assert pair.notes == []
    assert pair.progress.pending == 0
    assert pair.progress.counts.bytes > 0


async def test_a_second_run_does_nothing_and_a_third_only_what_is_new(pair: Pair) -> None:
    await fill(pair.source)
    first = await pair.run()
    second = await pair.run()
    assert second["no_changes"] is True
    assert second["source_last_seq"] == first["source_last_seq"]
    assert pair.progress.counts.revisions_checked == 0
    await put(pair.source.database, pair.source.name, "new", n=1)
    third = await pair.run()
    assert pair.progress.counts.docs_written == 1
    assert [entry["session_id"] for entry in third["history"]] == [third["session_id"], first["session_id"]]
    assert await state(pair.target) == await state(pair.source)


async def test_a_full_target_gets_only_what_it_lacks(pair: Pair) -> None:
    """Without a checkpoint every revision is asked for, and none that is there is sent."""
    await fill(pair.source)
    await pair.run()
    await put(pair.source.database, pair.source.name, "one more")
    await pair.run(use_checkpoints=False)
    assert pair.progress.counts.docs_written == 1
    assert pair.progress.counts.missing_revisions_found == 1
    assert pair.progress.counts.revisions_checked == len(ODD_IDS) + 8


async def test_attachments_that_stay_are_not_sent_again(pair: Pair) -> None:
    database, name = pair.source.database, pair.source.name
    large = await attached(database, "large.bin", "image/png", LARGE)
    rev = await put(database, name, "files", attachments=(large,))
    await pair.run()
    note = await attached(database, "note.txt", "text/plain", b"new")
    await put(database, name, "files", rev, kept=("large.bin",), attachments=(note,), edited=True)
    await pair.run()
    assert await state(pair.target) == await state(pair.source)
    assert pair.progress.counts.docs_written == 1
    assert pair.progress.counts.bytes < len(LARGE) / 10


async def test_changes_made_on_both_sides_become_conflicts_and_deletes_travel(pair: Pair) -> None:
    source, target = pair.source, pair.target
    rev = await put(source.database, source.name, "doc", n=0)
    gone = await put(source.database, source.name, "gone", n=0)
    await pair.run()
    await put(source.database, source.name, "doc", rev, n=1)
    await put(target.database, target.name, "doc", rev, n=2)
    await put(source.database, source.name, "gone", gone, deleted=True)
    await pair.run()
    leaves = (await state(target))["doc"]
    assert sorted(leaf[2]["n"] for leaf in leaves) == [1, 2]
    deleted = target.database.get_document(target.name, "gone")
    assert deleted is not None and deleted.deleted


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"doc_ids": ["a1", "b2", "nobody"]}, {"a1", "b2"}),
        ({"doc_ids": []}, set()),
        ({"selector": {"kind": "b", "n": {"$gte": 2}}}, {"b2", "b3"}),
        ({"filter": "app/kind", "query_params": {"kind": "a"}}, {"a1", "a2", "a3"}),
        ({"filter": "_view", "query_params": {"view": "app/twos"}}, {"a2", "b2"}),
    ],
    ids=["doc_ids", "no ids", "selector", "function", "view"],
)
async def test_filters(pair: Pair, options: Mapping[str, Any], wanted: set[str]) -> None:
    source = pair.source
    design = {
        "filters": {"kind": "function (doc, req) { return doc.kind === req.query.kind }"},
        "views": {"twos": {"map": "function (doc) { if (doc.n === 2) emit(doc._id) }"}},
    }
    await source.database.put(source.name, Edit("_design/app", design))
    for kind in "ab":
        for n in (1, 2, 3):
            await put(source.database, source.name, f"{kind}{n}", kind=kind, n=n)
    await pair.run(**options)
    assert set(await state(pair.target)) == wanted


async def test_winners_only(pair: Pair) -> None:
    await fill(pair.source)
    await pair.run(winning_revs_only=True)
    here, there = await state(pair.target), await state(pair.source)
    assert here == {document_id: leaves[:1] for document_id, leaves in there.items()}


async def test_what_the_target_refuses_is_counted_and_not_tried_again(pair: Pair) -> None:
    source, target = pair.source, pair.target
    rule = "function (doc) { if (doc.bad) throw {forbidden: 'not here'} }"
    await target.database.put(target.name, Edit("_design/rules", {"validate_doc_update": rule}))
    for n in range(6):
        await put(source.database, source.name, f"doc{n}", bad=n % 3 == 0)
    answer = await pair.run()
    entry = answer["history"][0]
    assert (entry["docs_read"], entry["docs_written"], entry["doc_write_failures"]) == (6, 4, 2)
    assert {(r.id, r.error, r.reason) for r in pair.progress.refusals} == {
        ("doc0", "forbidden", "not here"),
        ("doc3", "forbidden", "not here"),
    }
    assert (await pair.run())["no_changes"] is True


async def test_a_missing_database_is_told_and_a_target_made_when_asked(pair: Pair) -> None:
    await put(pair.source.database, pair.source.name, "doc")
    await pair.target.database.drop(pair.target.name)
    with pytest.raises(DatabaseMissing, match="could not open"):
        await pair.run()
    await pair.run(create_target=True)
    assert set(await state(pair.target)) == {"doc"}
    await pair.source.database.drop(pair.source.name)
    with pytest.raises(DatabaseMissing):
        await pair.run()


async def test_a_source_made_anew_is_read_from_its_beginning(pair: Pair) -> None:
    source = pair.source
    for n in range(5):
        await put(source.database, source.name, f"old{n}")
    await pair.run()
    await source.database.drop(source.name)
    await source.database.create_database(source.name)
    await put(source.database, source.name, "new")
    await pair.run()
    assert "new" in await state(pair.target)


async def test_a_checkpoint_of_another_time_of_the_file_starts_over(pair: Pair) -> None:
    """As after a restore: both sides know the session, but its sequence means nothing any more."""
    source = pair.source
    for n in range(5):
        await put(source.database, source.name, f"doc{n}")
    answer = await pair.run()
    foreign = {**answer, "history": [{**answer["history"][0], "recorded_seq": "7-deadbeef"}]}
    foreign["source_last_seq"] = "7-deadbeef"
    name = pair.prepare()._plan.name
    for replica in (source, pair.target):
        there = replica.database.get_local(replica.name, name)
        assert there is not None
        await replica.database.put_local(replica.name, name, orjson.dumps(foreign).decode(), there.rev)
    await put(source.database, source.name, "later")
    await pair.run()
    assert set(await state(pair.target)) == set(await state(source))


async def test_continuous_follows_until_it_is_stopped_and_goes_on_there(pair: Pair) -> None:
    source, target = pair.source, pair.target
    await put(source.database, source.name, "before")
    run = pair.prepare(continuous=True)
    running = asyncio.create_task(run.run())
    await _arrival(target, "before")
    for n in range(3):
        await put(source.database, source.name, f"live{n}")
        await _arrival(target, f"live{n}")
    async with asyncio.timeout(20):
        while pair.progress.counts.docs_written < 4 or run._under_way:
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert pair.progress.checkpointed == pair.progress.through != 0
    await put(source.database, source.name, "after")
    await pair.run(continuous=False)
    assert pair.progress.counts.docs_written == 1
    assert pair.progress.counts.revisions_checked == 1


async def _arrival(target: Replica, document_id: str) -> None:
    async with asyncio.timeout(20):
        while target.database.get_document(target.name, document_id) is None:
            await target.database.wait_for_change(target.database.last_seq)


class Failing:
    """A target that breaks at its `left`-th write, after an earlier one has arrived."""

    def __init__(self, pair: Pair, peer: Peer, left: int) -> None:
        self._pair = pair
        self._peer = peer
        self._left = left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    async def write(self, revisions: list[Revision], source: Peer) -> Written:
        self._left -= 1
        if not self._left:
            while not self._pair.progress.counts.docs_written:
                await asyncio.sleep(0.001)
            raise PeerLost("gone in the middle")
        return await self._peer.write(revisions, source)


async def test_an_interrupted_run_goes_on_where_it_was(pair: Pair) -> None:
    source = pair.source
    edits = [Edit(f"doc{n:04}", {"n": n}) for n in range(1500)]
    await source.database.put_many(source.name, edits)
    run = pair.prepare()
    run._target = Failing(pair, run._target, 3)  # type: ignore[assignment]
    with pytest.raises(LocalsrvError, match="gone in the middle"):
        await run.run()
    done = pair.progress.counts.docs_written
    assert 0 < done < 1500
    assert pair.progress.checkpointed != 0
    await pair.run()
    assert pair.progress.counts.revisions_checked < 1500
    assert await state(pair.target) == await state(source)


async def test_repeating_every_write_changes_nothing(pair: Pair) -> None:
    """A request whose answer is lost is sent again."""
    await fill(pair.source)
    run = pair.prepare()
    write = run._target.write

    async def twice(revisions: list[Revision], source: Peer) -> Written:
        await write(revisions, source)
        return await write(revisions, source)

    run._target.write = twice  # type: ignore[method-assign, assignment]
    await run.run()
    assert await state(pair.target) == await state(pair.source)


async def test_what_a_peer_brought_is_marked_and_named(pair: Pair) -> None:
    source, target = pair.source, pair.target
    rev = await put(source.database, source.name, "doc")
    run = pair.prepare()
    await run.run()
    for replica, other in ((source, run._target), (target, run._source)):
        if replica.kind == "local":
            marks = await replica.database.read(
                lambda c: c.execute("SELECT id, peer, generation, digest FROM localsrv_synced").fetchall()
            )
            assert marks == [("doc", other.peer_id, 1, rev[2:])]
    changes = (await target.database.document_changes(target.name, ChangesQuery())).changes
    wanted = f"peer:{run._source.peer_id}" if target.kind == "local" else "local"
    assert [change.source for change in changes] == [wanted]


async def test_no_echo(pair: Pair) -> None:
    """What came from a peer is not sent back to it, not even asked about once both have a checkpoint."""
    back = Pair(pair.target, pair.source)
    await put(pair.source.database, pair.source.name, "doc")
    await pair.run()
    await back.run()
    assert back.progress.counts.docs_written == 0
    await put(pair.source.database, pair.source.name, "doc2")
    await pair.run()
    await back.run()
    assert back.progress.counts.docs_written == 0
    if pair.target.kind == "local":
        assert back.progress.counts.revisions_checked == 0
    for peer in back.peers:
        await peer.close()


async def test_large_attachments_are_whole(pair: Pair) -> None:
    database, name = pair.source.database, pair.source.name
    data = hashlib.sha256(b"seed").digest() * 100_000  # 3.2 MB, more than the server takes in one JSON body
    await put(database, name, "film", attachments=(await attached(database, "film", "video/mp4", data),))
    await put(database, name, "other")
    await pair.run()
    content = pair.target.database.attachment(pair.target.name, "film", "film")
    assert content is not None and content.path is not None
    assert content.path.read_bytes() == data


async def test_an_attachment_too_large_for_the_target_is_refused_and_the_rest_goes_on(pair: Pair) -> None:
    database, name = pair.source.database, pair.source.name
    data = bytes(5 << 20)  # more than the server takes in all
    await put(database, name, "film", attachments=(await attached(database, "film", "video/mp4", data),))
    await put(database, name, "other")
    await pair.run()
    is_limited = pair.target.kind == "http"
    assert [(r.id, r.error) for r in pair.progress.refusals] == [("film", "too_large")] * is_limited
    assert "other" in await state(pair.target)


async def test_edited_documents_need_no_request_each(pair: Pair) -> None:
    """A feed of ours brings histories along: nothing is fetched but what has attachments or conflicts."""
    database, name = pair.source.database, pair.source.name
    for n in range(30):
        rev = await put(database, name, f"doc{n}", n=0)
        await put(database, name, f"doc{n}", rev, n=1)
    gone = await put(database, name, "gone")
    await put(database, name, "gone", gone, deleted=True)
    await pair.run()
    assert pair.progress.counts.bulk_get_attempts == 0
    assert await state(pair.target) == await state(pair.source)


async def test_an_attachment_that_is_gone_at_the_source_is_told_and_the_rest_goes_on(pair: Pair) -> None:
    """As after a compaction between reading the document and its attachment."""
    database, name = pair.source.database, pair.source.name
    for document_id in ("film", "other"):
        note = await attached(database, "note", "text/plain", document_id.encode())
        await put(database, name, document_id, attachments=(note,))
    run = pair.prepare()
    attachment = run._source.attachment

    def gone(revision: Revision, stub: Stub) -> Any:
        if revision.id == "film":
            raise PeerMissing("compacted away") if pair.source.kind == "http" else NotFound("compacted away")
        return attachment(revision, stub)

    run._source.attachment = gone  # type: ignore[method-assign]
    await run.run()
    assert [(r.id, r.error) for r in pair.progress.refusals] == [("film", "not_found")]
    assert set(await state(pair.target)) == {"other"}
