"""Reading documents, revisions and attachments. All functions run inside one read transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localsrv.model import revisions as rev
from localsrv.store import history
from localsrv.store.blobs import Blobs
from localsrv.store.catalog import CollectionState
from localsrv.store.driver import Connection
from localsrv.store.history import ONE_REVISION


@dataclass(frozen=True, slots=True)
class AttachmentInfo:
    """An attachment's facts. `sha256` and `md5` are of the identity bytes."""

    name: str
    content_type: str
    length: int
    sha256: bytes
    md5: bytes
    revpos: int


@dataclass(frozen=True, slots=True)
class AttachmentContent:
    """An attachment: `data` when it is small, else the `path` of the file that holds it."""

    info: AttachmentInfo
    rev: str
    data: bytes | None
    path: Path | None


@dataclass(frozen=True, slots=True)
class Document:
    """One revision. `body` is JSON text without `_id`, `_rev`, `_attachments`; None when forgotten."""

    id: str
    rev: str
    deleted: bool
    body: str | None
    attachments: tuple[AttachmentInfo, ...] = ()


def document(
    connection: Connection,
    state: CollectionState,
    document_id: str,
    revision: str | None,
) -> Document | None:
    """The winner of a document, deleted or not, or one revision of it."""
    found = connection.execute(state.get_sql, (document_id,)).fetchone()
    if found is not None and revision in (None, found[1]):
        return Document(
            document_id, found[1], False, found[0], _infos(connection, state, document_id, found[1])
        )
    if revision is None:
        row = connection.execute(
            "SELECT rev FROM localsrv_tombstones WHERE collection = ? AND id = ?", (state.number, document_id)
        ).fetchone()
        if row is None:
            return None
        revision = str(row[0])
    generation, digest = rev.parse_revision(revision)
    row = connection.execute(
        f"SELECT deleted, body FROM localsrv_revisions{ONE_REVISION}",
        (state.number, document_id, generation, digest),
    ).fetchone()
    if row is None:
        return None
    return Document(
        document_id, revision, bool(row[0]), row[1], _infos(connection, state, document_id, revision)
    )


def _infos(
    connection: Connection, state: CollectionState, document_id: str, revision: str
) -> tuple[AttachmentInfo, ...]:
    if not state.has_attachments:
        return ()
    rows = connection.execute(
        "SELECT a.name, a.content_type, b.length, a.sha256, b.md5, a.revpos"
        " FROM localsrv_attachments AS a JOIN localsrv_blobs AS b USING (sha256)"
        " WHERE a.collection = ? AND a.id = ? AND a.rev = ? ORDER BY a.name",
        (state.number, document_id, revision),
    )
    return tuple(AttachmentInfo(*row) for row in rows)


def documents(
    connection: Connection,
    state: CollectionState,
    after: str | None,
    limit: int,
    *,
    descending: bool,
) -> list[Document]:
    """Live documents in order of their ids."""
    sign, direction = ("<", "DESC") if descending else (">", "ASC")
    condition, parameters = ("", ()) if after is None else (f" WHERE _id {sign} ?", (after,))
    rows = connection.execute(
        f"SELECT _id, _rev, _body FROM {state.table}{condition} ORDER BY _id {direction} LIMIT ?",
        (*parameters, limit),
    ).fetchall()
    return [Document(i, r, False, body, _infos(connection, state, i, r)) for i, r, body in rows]


def open_revisions(
    connection: Connection,
    state: CollectionState,
    document_id: str,
    revisions: Sequence[str] | None,
) -> list[Document]:
    """The revisions asked for that are known, or all leaves, winner first."""
    wanted = rev.leaves(history.tree(connection, state, document_id)) if revisions is None else revisions
    found = (document(connection, state, document_id, revision) for revision in wanted)
    return [d for d in found if d is not None]


def missing_revisions(
    connection: Connection, state: CollectionState, asked: Mapping[str, Sequence[str]]
) -> dict[str, tuple[list[str], list[str]]]:
    """What a peer should send; see `Database.missing_revisions`."""
    out: dict[str, tuple[list[str], list[str]]] = {}
    for document_id, revisions in asked.items():
        tree = history.tree(connection, state, document_id)
        if absent := rev.missing(tree, revisions):
            ancestors = {a: None for r in absent for a in rev.possible_ancestors(tree, r)}
            out[document_id] = (absent, list(ancestors))
    return out


def attachment(
    connection: Connection,
    blobs: Blobs,
    state: CollectionState,
    document_id: str,
    name: str,
    revision: str | None,
) -> AttachmentContent | None:
    """One attachment of a live document or of one revision."""
    found = document(connection, state, document_id, revision)
    if found is None or (revision is None and found.deleted):
        return None
    info = next((a for a in found.attachments if a.name == name), None)
    if info is None:
        return None
    data = connection.execute("SELECT data FROM localsrv_blobs WHERE sha256 = ?", (info.sha256,)).fetchone()[
        0
    ]
    return AttachmentContent(info, found.rev, data, None if data is not None else blobs.path(info.sha256))
