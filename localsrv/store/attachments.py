"""Attachments of live documents, added and removed by a new revision. All run inside an operation."""

from __future__ import annotations

import orjson

from localsrv.base.errors import InvalidValue, NotFound
from localsrv.store import history
from localsrv.store.blobs import Blob, Blobs
from localsrv.store.catalog import CollectionState, home_of
from localsrv.store.documents import Documents, stale
from localsrv.store.engine import Transaction
from localsrv.store.history import Attachment, Current


def check_attachment(name: str, content_type: str) -> str:
    """The content type. Raises InvalidValue for a name or content type that cannot be kept."""
    if (
        not name
        or name.startswith("_")
        or "\0" in name
        or len(name.encode("utf-8", "replace")) > 1000
        or not isinstance(content_type, str)
    ):
        raise InvalidValue(
            f"`{name[:80]}` cannot be the name of an attachment, or its type is no text.",
            code="invalid-attachment",
            hint="A name has up to 1,000 bytes, no NUL and no `_` at its beginning.",
        )
    return content_type


class Attachments:
    """Those of the documents in one file."""

    def __init__(self, documents: Documents, blobs: Blobs) -> None:
        self._documents = documents
        self._blobs = blobs

    def attach(
        self,
        tx: Transaction,
        state: CollectionState,
        document_id: str,
        name: str,
        content_type: str,
        blob: Blob,
        if_match: str | None,
    ) -> str:
        """Adds or replaces an attachment by a new revision.

        Raises:
            NotFound: no such document. Conflict: `if_match` is not its revision. InvalidValue: a bad name.
        """
        check_attachment(name, content_type)
        state = home_of(state, document_id)
        current = _live(tx, state, document_id, if_match)
        self._blobs.register(tx, blob)
        new = Attachment(name, content_type, blob.sha256)
        others = [a for a in _attached(tx, state, current) if a.name != name]
        return self._documents.extend(
            tx, state, current, orjson.loads(current.body), attachments=[*others, new]
        )

    def detach(
        self, tx: Transaction, state: CollectionState, document_id: str, name: str, if_match: str | None
    ) -> str:
        """Removes an attachment by a new revision. Raises NotFound, Conflict."""
        state = home_of(state, document_id)
        current = _live(tx, state, document_id, if_match)
        attached = _attached(tx, state, current)
        left = [a for a in attached if a.name != name]
        if len(left) == len(attached):
            raise NotFound(f"`{document_id[:200]}` has no attachment `{name[:200]}`.", code="no-attachment")
        return self._documents.extend(tx, state, current, orjson.loads(current.body), attachments=left)


def _attached(tx: Transaction, state: CollectionState, current: Current) -> list[Attachment]:
    return history.attachments(tx.connection, state, current.id, current.rev)


def _live(tx: Transaction, state: CollectionState, document_id: str, if_match: str | None) -> Current:
    current = history.current(tx.connection, state, document_id)
    if current is None:
        raise NotFound(
            f"`{state.name}` holds no document `{document_id[:200]}`.",
            code="no-document",
            hint="Create the document first.",
        )
    if if_match is not None and if_match != current.rev:
        raise stale(state, document_id)
    return current
