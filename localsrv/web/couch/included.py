"""Documents inside the rows of a list: `include_docs`, with `conflicts` and `attachments` where asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from localsrv.model.revisions import leaves
from localsrv.store import reading
from localsrv.store.database import Database
from localsrv.store.driver import Connection
from localsrv.store.reading import Document
from localsrv.web.couch.answers import document_text, text_of
from localsrv.web.couch.contents import Segment
from localsrv.web.couch.document_json import Show, revisions_text, shown
from localsrv.web.couch.parameters import Parameters, flag


@dataclass(frozen=True, slots=True)
class Included:
    """How documents are shown. `att_encoding_info` is accepted: no attachment here is kept compressed.

    `revisions` adds `_revisions`, which CouchDB's lists do not have: our replicator asks a feed for it, and
    so needs no further request for a document that was edited.
    """

    conflicts: bool = False
    attachments: bool = False
    revisions: bool = False

    @classmethod
    def of(cls, parameters: Parameters) -> Included:
        """Raises CouchError."""
        flag(parameters, "att_encoding_info")
        return cls(flag(parameters, "conflicts"), flag(parameters, "attachments"))

    async def segments(
        self, db: Database, name: str, documents: Sequence[Document | None]
    ) -> list[list[Segment]]:
        """Each document as JSON, `null` for None."""
        losing: dict[str, list[str]] = {}
        if self.conflicts:
            losing = await _conflicts(db, name, [d.id for d in documents if d is not None])
        paths: dict[str, tuple[str, ...]] = {}
        if self.revisions:
            asked = [(d.id, d.rev) for d in documents if d is not None and not d.rev.startswith("1-")]
            found = await db.paths(name, asked) if asked else []
            paths = {i: path for (i, _), path in zip(asked, found, strict=True)}
        return [
            [b"null"] if one is None else self._segments(name, one, losing.get(one.id), paths.get(one.id))
            for one in documents
        ]

    def _segments(
        self, name: str, document: Document, losing: list[str] | None, path: Sequence[str] | None
    ) -> list[Segment]:
        fields = {"_conflicts": text_of(losing)} if losing else {}
        if path is not None:
            fields["_revisions"] = revisions_text(path)
        if not (self.attachments and document.attachments):
            return [document_text(document, fields=fields).encode()]
        return shown(name, document, show=Show.INLINE, fields=fields).json


async def _conflicts(db: Database, name: str, ids: Iterable[str]) -> dict[str, list[str]]:
    """The live losing leaves of documents that have any, in the order in which they would win."""
    state = db.collection(name)

    def look(connection: Connection) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for document_id in ids:
            home = state.home(document_id)
            known = None if home is None else reading.revisions(connection, home, document_id)
            if known is not None and len(known.tree) > 1:
                nodes = known.tree.nodes
                others = [r for r in leaves(known.tree) if r != known.winner and not nodes[r].deleted]
                if others:
                    found[document_id] = others
        return found

    return await db.read(look)
