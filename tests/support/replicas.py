"""A plain synchronisation of two stores, to compare replicas with, and what there is to compare of them.

It is the protocol at its least: leaves that the target lacks are fetched with their ancestry and stored as
they are. No checkpoints, no batches: whatever it is asked to bring is brought again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson

from localsrv.model import revisions as rev
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


async def state_of(database: Database, name: str) -> dict[str, dict[str, Any]]:
    """Everything that replicas must agree on, by id: the tree, the winner, what each leaf says and holds."""
    feed = await database.document_changes(name, ChangesQuery(limit=1_000_000))
    found = {}
    for change in feed.changes:
        known = database.revisions(name, change.id)
        assert known is not None
        assert known.winner == change.revs[0] == rev.winner(known.tree)
        leaves = await database.open_revisions(name, change.id, None)
        found[change.id] = {
            "tree": {r: (n.parent, n.deleted) for r, n in known.tree.nodes.items()},
            "winner": known.winner,
            "leaves": {d.rev: _said(d) for d in leaves},
        }
    return found


def _said(document: Document) -> tuple[Any, ...]:
    assert document.body is not None
    files = sorted((a.name, a.content_type, a.length, a.sha256, a.md5) for a in document.attachments)
    return (document.deleted, orjson.dumps(orjson.loads(document.body), option=orjson.OPT_SORT_KEYS), files)
