"""Reading documents, revisions and attachments. All functions run inside one read transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localsrv.model import revisions as rev
from localsrv.model.revisions import Tree
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


@dataclass(slots=True)  # not frozen, since that triples the time of making one, and feeds make thousands
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
            document_id, found[1], False, found[0], attachments_of(connection, state, document_id, found[1])
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
        document_id, revision, bool(row[0]), row[1], attachments_of(connection, state, document_id, revision)
    )


def attachments_of(
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
    return [Document(i, r, False, body, attachments_of(connection, state, i, r)) for i, r, body in rows]


@dataclass(frozen=True, slots=True)
class Revisions:
    """A document's tree, its winner, and the revisions whose body is stored."""

    tree: Tree
    winner: str
    available: frozenset[str]


def revisions(connection: Connection, state: CollectionState, document_id: str) -> Revisions | None:
    """What is known of a document's history; None when it never existed."""
    tree = history.tree(connection, state, document_id)
    winner = rev.winner(tree)
    if winner is None:
        return None
    stored = connection.execute(
        "SELECT generation || '-' || digest FROM localsrv_revisions"
        " WHERE collection = ? AND id = ? AND body IS NOT NULL",
        (state.number, document_id),
    )
    live = () if tree.nodes[winner].deleted else (winner,)
    return Revisions(tree, winner, frozenset((*(r for (r,) in stored), *live)))


def open_revisions(
    connection: Connection,
    state: CollectionState,
    document_id: str,
    wanted: Sequence[str] | None,
    *,
    latest: bool,
) -> list[Document]:
    """The revisions asked for that are known, or all leaves, winner first.

    `latest` gives, instead of a revision that was superseded, the leaves that descend from it.
    """
    return [found for found, _ in opened(connection, state, document_id, wanted, latest=latest)]


def opened(
    connection: Connection,
    state: CollectionState,
    document_id: str,
    wanted: Sequence[str] | None,
    *,
    latest: bool,
    known: tuple[Tree, Sequence[str]] | None = None,
) -> list[tuple[Document, list[str]]]:
    """As `open_revisions`, each with its path, newest first. `known`: the tree and its leaves, if at hand."""
    tree, leaves = known or _tree(connection, state, document_id)
    if wanted is None:
        wanted = leaves
    elif latest:
        wanted = [r for asked in wanted if asked in tree for r in _latest(tree, leaves, asked)]
    found = ((document(connection, state, document_id, r), r) for r in dict.fromkeys(wanted))
    return [(d, list(rev.ancestry(tree, r))) for d, r in found if d is not None]


def _tree(connection: Connection, state: CollectionState, document_id: str) -> tuple[Tree, list[str]]:
    tree = history.tree(connection, state, document_id)
    return tree, rev.leaves(tree)


def _latest(tree: Tree, leaves: Sequence[str], revision: str) -> list[str]:
    return [leaf for leaf in leaves if leaf == revision or revision in rev.ancestry(tree, leaf)]


def open_many(
    connection: Connection,
    state: CollectionState,
    asked: Sequence[tuple[str, str | None]],
    *,
    latest: bool,
) -> list[list[tuple[Document, list[str]]]]:
    """For each `(id, revision)` what is known of it with its path, newest first.

    Revision None stands for the winner, `"all"` for every leaf, winner first.
    """
    out: list[list[tuple[Document, list[str]]]] = []
    last, known = "", None  # revisions of one document come one after the other; its tree is read once
    for document_id, revision in asked:
        home = state.home(document_id)
        if home is None:
            out.append([])
            continue
        row = connection.execute(home.get_sql, (document_id,)).fetchone()
        if row is not None and revision in (None, row[1]) and row[1].startswith("1-"):
            attached = attachments_of(connection, home, document_id, row[1])
            out.append([(Document(document_id, row[1], False, row[0], attached), [row[1]])])
            continue
        if revision == "all":
            out.append(opened(connection, home, document_id, None, latest=False))
            continue
        wanted = revision
        if wanted is None:
            there = document(connection, home, document_id, None)
            if there is None:
                out.append([])
                continue
            wanted = there.rev
        if last != document_id:
            last, known = document_id, _tree(connection, home, document_id)
        out.append(opened(connection, home, document_id, [wanted], latest=latest, known=known))
    return out


@dataclass(frozen=True, slots=True)
class ConflictedDocument:
    """A live document with other live leaves, in the order in which they would win."""

    id: str
    winner: str
    leaves: tuple[str, ...]


def conflicted(
    connection: Connection, state: CollectionState, after: str | None, limit: int
) -> list[ConflictedDocument]:
    """Documents in conflict, in order of their ids, design documents not among them."""
    rows = connection.execute(
        "SELECT DISTINCT id FROM localsrv_revisions"
        " WHERE collection = ? AND state = 2 AND NOT deleted AND id > ? ORDER BY id LIMIT ?",
        (state.number, after or "", limit),
    ).fetchall()
    out = []
    for (document_id,) in rows:
        tree = history.tree(connection, state, document_id)
        winner, *others = (leaf for leaf in rev.leaves(tree) if not tree.nodes[leaf].deleted)
        out.append(ConflictedDocument(document_id, winner, tuple(others)))
    return out


def missing_revisions(
    connection: Connection, state: CollectionState, asked: Mapping[str, Sequence[str]]
) -> dict[str, tuple[list[str], list[str]]]:
    """What a peer should send; see `Database.missing_revisions`."""
    out: dict[str, tuple[list[str], list[str]]] = {}
    for document_id, wanted in asked.items():
        home = state.home(document_id)
        tree = rev.EMPTY if home is None else history.tree(connection, home, document_id)
        if absent := rev.missing(tree, wanted):
            newest = max(absent, key=rev.parse_revision)
            out[document_id] = (absent, rev.possible_ancestors(tree, newest))
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
