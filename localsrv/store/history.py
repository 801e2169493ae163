"""Reading what is known of a document: its live row, its tree, its conflicts, its bodies."""

from __future__ import annotations

from dataclasses import dataclass

from localsrv.base.errors import InvalidValue
from localsrv.model import revisions as rev
from localsrv.model.revisions import Node, Tree
from localsrv.store.catalog import CollectionState, is_design
from localsrv.store.driver import Connection

MAX_ID_BYTES = 8000
"""CouchDB knows no end, and PouchDB makes ids of some thousand bytes; a request's first line has 8,190."""

MAX_ROW_ID_BYTES = 1000
"""Of rows and local documents."""

SUPERSEDED, WINNER, CONFLICT = 0, 1, 2
"""States of a row of localsrv_revisions."""

ADD_NODE = (
    "INSERT INTO localsrv_revisions"
    " (collection, id, generation, digest, parent, deleted, state, body, superseded)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

ONE_REVISION = " WHERE collection = ? AND id = ? AND generation = ? AND digest = ?"
"""Condition for one row of localsrv_revisions; its parameters are number, id and parsed revision."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attachment of a revision. `sha256` is of the identity bytes.

    `revpos` is the generation it came in; 0 means that of the revision it is stored with.
    """

    name: str
    content_type: str
    sha256: bytes
    revpos: int = 0

    @property
    def hashed(self) -> tuple[str, str, str]:
        return (self.name, self.content_type, self.sha256.hex())


@dataclass(frozen=True, slots=True)
class Current:
    """The live row of a document."""

    row: int
    id: str
    rev: str
    body: str


def check_id(document_id: object, most: int = MAX_ID_BYTES) -> str:
    """A document id as the store takes it.

    Raises:
        InvalidValue: (`code="invalid-id"`) not text, empty, over `most` bytes, starting with `_` (other than
            `_design/…`), or holding NUL or a lone surrogate.
    """
    if isinstance(document_id, str) and document_id:
        if document_id[0] == "_" and not document_id.startswith("_design/"):
            raise InvalidValue(
                f"The id `{document_id[:80]}` starts with `_`, which belongs to the store.",
                code="invalid-id",
                hint="Begin it with another character.",
            )
        try:
            size = len(document_id.encode())
        except UnicodeEncodeError:
            raise InvalidValue("The id holds a lone surrogate.", code="invalid-id") from None
        if size > most:
            raise InvalidValue(
                f"The id is {size:,} bytes long; {most:,} are allowed.",
                code="invalid-id",
                hint="Keep the long text in a field, and leave the id out or shorten it.",
            )
        if "\0" in document_id:
            raise InvalidValue("The id holds a NUL character.", code="invalid-id")
        return document_id
    raise InvalidValue(
        "An id must be a non-empty text.", code="invalid-id", hint="Send at least one character, as text."
    )


def check_row_id(document_id: object) -> str:
    """The id of what is no design document: those lie elsewhere, and are looked at before they are kept.

    Raises:
        InvalidValue: as `check_id`, and for a design document's id.
    """
    if is_design(document_id):
        raise InvalidValue(
            f"`{str(document_id)[:80]}` is the id of a design document.",
            code="invalid-id",
            hint="Write design documents through the sync face: PUT …/couch/<collection>/_design/<name>.",
        )
    return check_id(document_id, MAX_ROW_ID_BYTES)


def current(connection: Connection, state: CollectionState, document_id: str) -> Current | None:
    """The live row of a document."""
    found = connection.execute(
        f"SELECT _row, _id, _rev, _body FROM {state.table} WHERE _id = ?",
        (document_id,),
    ).fetchone()
    return Current(*found) if found else None


def conflicts(connection: Connection, state: CollectionState, document_id: str) -> list[str]:
    """The losing leaves of a document (deleted ones too), in the order in which they would win."""
    rows = connection.execute(
        "SELECT generation || '-' || digest, deleted FROM localsrv_revisions"
        " WHERE collection = ? AND id = ? AND state = 2",
        (state.number, document_id),
    ).fetchall()
    return [r for r, d in sorted(rows, key=lambda row: rev.rank(row[0], deleted=bool(row[1])), reverse=True)]


def attachments(
    connection: Connection, state: CollectionState, document_id: str, revision: str
) -> list[Attachment]:
    """The attachments of one revision, by name."""
    return [
        Attachment(*found)
        for found in connection.execute(
            "SELECT name, content_type, sha256, revpos FROM localsrv_attachments"
            " WHERE collection = ? AND id = ? AND rev = ? ORDER BY name",
            (state.number, document_id, revision),
        )
    ]


def tree(connection: Connection, state: CollectionState, document_id: str) -> Tree:
    """The revision tree of a document; empty when it never existed."""
    rows = connection.execute(
        "SELECT generation, digest, parent, deleted FROM localsrv_revisions WHERE collection = ? AND id = ?",
        (state.number, document_id),
    ).fetchall()
    if rows:
        return Tree({f"{g}-{d}": Node(parent, bool(deleted)) for g, d, parent, deleted in rows})
    found = connection.execute(state.get_sql, (document_id,)).fetchone()
    return Tree({found[1]: Node()}) if found else rev.EMPTY


def stored_body(
    connection: Connection, state: CollectionState, document_id: str, revision: str
) -> str | None:
    found = connection.execute(
        f"SELECT body FROM localsrv_revisions{ONE_REVISION}",
        (state.number, document_id, *rev.parse_revision(revision)),
    ).fetchone()
    return found[0] if found else None


def body(connection: Connection, state: CollectionState, document_id: str, revision: str) -> str | None:
    """The JSON text of one revision; None when it is unknown, forgotten or was never received."""
    found = connection.execute(state.get_sql, (document_id,)).fetchone()
    if found and found[1] == revision:
        return str(found[0])
    return stored_body(connection, state, document_id, revision)
