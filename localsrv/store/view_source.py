"""What an index is built from: a collection's documents in the order of their latest changes.

Like the change feed, but with less of each document and no more at once than fits a budget of bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from localsrv.model import revisions as rev
from localsrv.store.catalog import CollectionState
from localsrv.store.driver import Connection
from localsrv.store.reading import AttachmentInfo, attachments_of

MOST_DOCUMENTS = 1000
MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as map functions see it: `text` is its JSON; None when it was deleted."""

    id: str
    text: bytes | None


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """Documents up to the change `last`; `more` when there are others behind."""

    documents: list[SourceDocument]
    last: int
    more: bool


def read_batch(
    connection: Connection,
    state: CollectionState,
    since: int,
    until: int,
    *,
    with_design: bool = False,
    local_seq: bool = False,
) -> SourceBatch:
    """The next documents after `since`. `until` is the newest change that is known to be durable."""
    parts = state.parts if with_design else (state,)
    live: list[tuple[int, str, str, str, CollectionState]] = []
    last, size, more = until, 0, False
    for part in parts:
        for row in connection.execute(
            f"SELECT _seq, _id, _rev, _body FROM {part.table} WHERE _seq > ? AND _seq <= ? ORDER BY _seq",
            (since, last),
        ):
            live.append((*row, part))
            size += len(row[3])
            if len(live) >= MOST_DOCUMENTS or size >= MOST_BYTES:
                last, more = row[0], True
                break
    dead: list[tuple[int, str]] = []
    for part in parts:
        dead += connection.execute(
            "SELECT seq, id FROM localsrv_tombstones WHERE collection = ? AND seq > ? AND seq <= ?"
            " ORDER BY seq LIMIT ?",
            (part.number, since, last, MOST_DOCUMENTS),
        ).fetchall()
    if len(dead) >= MOST_DOCUMENTS:
        last, more = min(last, sorted(dead)[MOST_DOCUMENTS - 1][0]), True
    live = [row for row in live if row[0] <= last]
    conflicts = {part: _conflicts(connection, part, [row[1] for row in live]) for part in parts}
    documents = [
        SourceDocument(
            i, _text(connection, part, i, r, body, conflicts[part].get(i, ""), seq if local_seq else None)
        )
        for seq, i, r, body, part in live
    ]
    documents += [SourceDocument(i, None) for seq, i in dead if seq <= last]
    return SourceBatch(documents, last, more)


def _text(
    connection: Connection,
    part: CollectionState,
    document_id: str,
    revision: str,
    body: str,
    conflicts: str,
    seq: int | None,
) -> bytes:
    head = f'{{"_id":{orjson.dumps(document_id).decode()},"_rev":"{revision}"'
    infos = attachments_of(connection, part, document_id, revision)
    if infos:
        head += f',"_attachments":{stubs_text(infos)}'
    if seq is not None:
        head += f',"_local_seq":{seq}'
    head += conflicts
    return f"{head},{body[1:]}".encode() if len(body) > 2 else f"{head}}}".encode()


def stubs_text(infos: Iterable[AttachmentInfo]) -> str:
    """`_attachments` as CouchDB shows it without contents."""
    return orjson.dumps(
        {
            info.name: {
                "content_type": info.content_type,
                "revpos": info.revpos,
                "digest": "md5-" + base64.b64encode(info.md5).decode(),
                "length": info.length,
                "stub": True,
            }
            for info in infos
        }
    ).decode()


def _conflicts(connection: Connection, part: CollectionState, ids: list[str]) -> dict[str, str]:
    """`,"_conflicts":[…],"_deleted_conflicts":[…]` of those documents that have losing leaves."""
    there_are = "SELECT EXISTS (SELECT 1 FROM localsrv_revisions WHERE collection = ? AND state = 2)"
    if not connection.execute(there_are, (part.number,)).fetchone()[0]:
        return {}
    rows = connection.execute(
        "SELECT r.id, r.generation || '-' || r.digest, r.deleted FROM json_each(?) AS w"
        " CROSS JOIN localsrv_revisions AS r ON r.collection = ? AND r.id = w.value AND r.state = 2",
        (orjson.dumps(ids).decode(), part.number),
    )
    found: dict[str, list[tuple[str, bool]]] = {}
    for document_id, revision, deleted in rows:
        found.setdefault(document_id, []).append((revision, bool(deleted)))
    return {document_id: _conflicts_text(leaves) for document_id, leaves in found.items()}


def _conflicts_text(leaves: list[tuple[str, bool]]) -> str:
    ordered = sorted(leaves, key=lambda leaf: rev.rank(leaf[0], deleted=leaf[1]), reverse=True)
    text = ""
    for name, wanted in (("_conflicts", False), ("_deleted_conflicts", True)):
        if some := [revision for revision, deleted in ordered if deleted is wanted]:
            text += f',"{name}":{orjson.dumps(some).decode()}'
    return text
