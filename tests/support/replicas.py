"""A plain synchronisation of two stores, to compare replicas with, and what there is to compare of them.

It is the protocol at its least: leaves that the target lacks are fetched with their ancestry and stored as
they are. No checkpoints, no batches: whatever it is asked to bring is brought again.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from localsrv.base.errors import LocalsrvError
from localsrv.model import revisions as rev
from localsrv.model.exchange import Revision, Written
from localsrv.model.replication import Endpoint, parse_replication
from localsrv.outbound.errors import PeerLost
from localsrv.services.replication.local_peer import LocalPeer
from localsrv.services.replication.peer import Peer
from localsrv.services.replication.progress import Progress
from localsrv.services.replication.run import Plan, Run
from localsrv.store.database import ChangesQuery, Database, Edit
from localsrv.store.editing import NewAttachment
from localsrv.store.reading import Document


async def fetch(source: Database, target: Database, name: str) -> list[Edit]:
    """What the target lacks of the source, as edits to store with `new_edits=False`."""
    feed = await source.document_changes(name, ChangesQuery(limit=1_000_000, all_leaves=True))
    missing = await target.missing_revisions(name, {c.id: c.revs for c in feed.changes})
    asked = [(i, revision) for i, (absent, _) in missing.items() for revision in absent]
    found = await source.open_many(name, asked)
    return [
        await _edit(source, target, name, document, path) for entries in found for document, path in entries
    ]


async def _edit(source: Database, target: Database, name: str, document: Document, path: list[str]) -> Edit:
    assert document.body is not None  # a leaf's always is
    files = []
    for info in document.attachments:
        blob = await target.receive(_content(source, name, document, info.name))
        assert blob.sha256 == info.sha256
        files.append(NewAttachment(info.name, info.content_type, blob, info.revpos))
    body = orjson.loads(document.body)
    return Edit(document.id, body, deleted=document.deleted, attachments=tuple(files), path=tuple(path))


async def _content(source: Database, name: str, document: Document, attachment: str) -> AsyncIterator[bytes]:
    found = source.attachment(name, document.id, attachment, document.rev)
    assert found is not None
    data = found.data if found.path is None else Path(found.path).read_bytes()
    assert data is not None
    yield data


async def sync(source: Database, target: Database, name: str) -> int:
    """Brings everything that the target lacks; how many revisions it was."""
    edits = await fetch(source, target, name)
    done = await target.put_many(name, edits, new_edits=False)
    assert not [error for error in done if isinstance(error, Exception)]
    return len(edits)


# ── by the replicator ──────────────────────────────────────────────────────────────────────────────────────


class Lost(PeerLost):
    """A request, or its answer, that was lost on the way."""


class _NoRules:
    """An app without design documents and filters."""

    async def check(self, database: str, revisions: Sequence[Any]) -> list[LocalsrvError | None]:
        return [None] * len(revisions)

    async def lets_through(self, database: str, revisions: Sequence[Revision]) -> list[bool]:
        return [True] * len(revisions)


class _Flaky(LocalPeer):
    """A side of which some requests are lost, have their answer lost, or arrive twice, as `fates` say."""

    def __init__(self, database: Database, name: str, label: str, fates: Iterator[str]) -> None:
        options, _ = parse_replication({"source": "here", "target": "there"})
        super().__init__(database, Endpoint(database=name), options, _NoRules())
        self.peer_id = label  # that of an address: every replica has the same name here
        self._fates = fates

    async def write(self, revisions: Sequence[Revision], source: Peer) -> Written:
        fate = next(self._fates, "")
        if fate == "lost":
            raise Lost("The request was lost.")
        done = await super().write(revisions, source)
        if fate == "twice":
            done = await super().write(revisions, source)
        if fate == "unanswered":
            raise Lost("The answer was lost.")
        return done

    async def record(self, name: str, document: Mapping[str, Any]) -> None:
        if next(self._fates, "") == "lost":
            raise Lost("The checkpoint was lost.")
        await super().record(name, document)


async def replicate(
    source: tuple[str, Database], target: tuple[str, Database], name: str, fates: Iterable[str] = ()
) -> bool:
    """One run of the replicator between two labelled replicas; whether it came to its end."""
    options, _ = parse_replication({"source": "here", "target": "there"})
    lot = iter(fates)
    sides = [_Flaky(database, name, label, lot) for label, database in (source, target)]
    checkpoints = options.base_id(f"{source[0]} to {target[0]}", "app")
    plan = Plan(options, sides[0], sides[1], checkpoints, uuid.uuid4().hex)
    try:
        await Run(plan, Progress(), lambda kind, text: None).run()
    except Lost:
        return False
    return True


async def state_of(database: Database, name: str) -> dict[str, dict[str, Any]]:
    """Everything that replicas must agree on, by id: the tree, the winner, what each leaf says and holds.

    A tree is each revision with its parent. That an ancestor deletes is no part of it: a path, as CouchDB's
    protocol hands it over, says so of the leaf alone.
    """
    feed = await database.document_changes(name, ChangesQuery(limit=1_000_000))
    found = {}
    for change in feed.changes:
        known = database.revisions(name, change.id)
        assert known is not None
        assert known.winner == change.revs[0] == rev.winner(known.tree)
        leaves = await database.open_revisions(name, change.id, None)
        found[change.id] = {
            "tree": {r: n.parent for r, n in known.tree.nodes.items()},
            "winner": known.winner,
            "leaves": {d.rev: _said(d) for d in leaves},
        }
    return found


def _said(document: Document) -> tuple[Any, ...]:
    assert document.body is not None
    files = sorted((a.name, a.content_type, a.length, a.sha256, a.md5) for a in document.attachments)
    return (document.deleted, orjson.dumps(orjson.loads(document.body), option=orjson.OPT_SORT_KEYS), files)
