"""Edits of documents, as the sync face writes them. All run inside an operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import orjson

from localsrv.base.errors import InvalidValue, LocalsrvError, NotFound
from localsrv.model import revisions as rev
from localsrv.store import history, rules
from localsrv.store.attachments import check_attachment
from localsrv.store.batches import (
    MIN_BATCH,
    create_all,
    graft_all,
    plain_creations,
    unknown_among,
    whole_histories,
)
from localsrv.store.blobs import Blob, Blobs
from localsrv.store.catalog import CollectionState, home_of, identity_of
from localsrv.store.documents import Documents, stale
from localsrv.store.engine import Transaction
from localsrv.store.history import (
    Attachment,
    Current,
    check_id,
)
from localsrv.store.journal import Journal
from localsrv.store.relations import Referrers, check_references
from localsrv.store.rows import register_fields, remember_fields

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewAttachment:
    """Bytes that come with an edit, already received by `Blobs`."""

    name: str
    content_type: str
    blob: Blob
    revpos: int = 0
    """The generation it came in, where another replica says so; 0: that of the edit."""


@dataclass(slots=True)  # not frozen, since that triples the time of making one, and a batch has thousands
class Edit:
    """One revision to write; nobody changes one. `document` has no `_` members.

    `parent` is the revision it changes, None to create or revive. `attachments` come with it, `kept` names
    those of the parent that stay. With `new_edits=False`, `path` is the revision and its ancestors, newest
    first, and `kept` are looked for at the newest ancestor that is known here.
    """

    id: str
    document: Mapping[str, Any]
    parent: str | None = None
    deleted: bool = False
    attachments: tuple[NewAttachment, ...] = ()
    kept: tuple[str, ...] = ()
    path: Sequence[str] = ()
    source: str | None = None
    cause: str | None = None
    text: str | None = None
    """`document` as it is stored (`catalog.body_text`), where somebody has it already."""


def alone(tx: Transaction, write: Callable[[], T]) -> T | Exception:
    """Runs a part of an operation in a savepoint of its own; a refusal undoes that part alone."""
    mark = tx.mark()
    tx.execute("SAVEPOINT one")
    result: T | Exception
    try:
        result = write()
    except LocalsrvError as error:
        tx.execute("ROLLBACK TO one")
        tx.reset(mark)
        result = error
    tx.execute("RELEASE one")
    return result


def _each_once(revisions: Sequence[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """Pairs of id and revision as dictionaries; several where an id stands in more than one pair."""
    left = revisions
    while left:
        found = dict(left)
        yield found
        left = [pair for pair in left if found[pair[0]] != pair[1]] if len(found) < len(left) else ()


class Editor:
    """Edits of documents in one file."""

    def __init__(
        self,
        documents: Documents,
        journal: Journal,
        blobs: Blobs,
        states: Callable[[], Mapping[str, CollectionState]],
    ) -> None:
        self._documents = documents
        self._journal = journal
        self._blobs = blobs
        self._states = states
        self._referrers = Referrers(documents, states)

    # ---- revisions

    def put(self, tx: Transaction, state: CollectionState, edit: Edit) -> str:
        """Writes an edit made here, under the collection's rules.

        Raises:
            Conflict: the parent is no leaf. InvalidValue, SchemaViolation, UniqueViolation,
            RelationViolation: a rule says no. NotFound: `kept` names what the parent does not have.
        """
        document_id = check_id(edit.id)
        state = home_of(state, document_id)
        document = dict(edit.document)
        new_fields: set[str] = set()
        if state.is_free:  # such as every database that a CouchDB client made: any field name is taken
            if not edit.deleted:
                remember_fields(tx, state, document.keys() - state.known_fields)
        elif not edit.deleted:
            document = state.shape.checked(document, new_fields)
            self._check_identity(state, document_id, document)
        attachments = self._attachments(tx, state, edit)
        before = history.current(tx.connection, state, document_id) if self._referrers.of(state) else None
        revision = self._documents.edit(
            tx, state, document_id, document, edit.parent,
            deleted=edit.deleted, attachments=attachments, source=edit.source,
        )  # fmt: skip
        register_fields(tx, state, new_fields)
        if not edit.deleted:
            rules.check_unique(tx.connection, state, [document_id])
            check_references(tx.connection, self._states(), state, [(document_id, document)])
        if before is not None:
            self._follow(tx, state, before)
        return revision

    def _follow(self, tx: Transaction, state: CollectionState, before: Current) -> None:
        """Does what relations say of a document that others may refer to and that was just changed."""
        now = history.current(tx.connection, state, before.id)
        if now is None:
            self._referrers.deleted(tx, state, [before])
        else:
            self._referrers.check_change(
                tx, state, before.id, orjson.loads(before.body), orjson.loads(now.body)
            )

    def put_many(
        self, tx: Transaction, state: CollectionState, edits: Sequence[Edit], *, new_edits: bool
    ) -> list[str | Exception]:
        """Writes several edits, each for itself: those that go together at once, the others one by one."""
        done = self._put_together(tx, state, edits, new_edits=new_edits) if len(edits) >= MIN_BATCH else {}
        write = self.put if new_edits else self.graft
        return [
            done[at] if at in done else alone(tx, partial(write, tx, state, e)) for at, e in enumerate(edits)
        ]

    def _put_together(
        self, tx: Transaction, state: CollectionState, edits: Sequence[Edit], *, new_edits: bool
    ) -> dict[int, str]:
        """Position → revision of the edits that could be written together."""
        positions = plain_creations(state, edits) if new_edits else whole_histories(edits)
        unknown = unknown_among(tx, state, [edits[at].id for at in positions]) if positions else ()
        positions = [at for at in positions if edits[at].id in unknown]
        if not positions or len({(edits[at].source, edits[at].cause) for at in positions}) > 1:
            return {}
        chosen = [edits[at] for at in positions]

        def write() -> list[str]:
            names: set[str] = set().union(*(e.document for e in chosen if not e.deleted))
            remember_fields(tx, state, names - state.known_fields)
            if new_edits:
                return create_all(tx, self._journal, state, chosen)
            graft_all(tx, self._journal, state, chosen)
            return [e.path[0] for e in chosen]

        revisions = alone(tx, write)
        if isinstance(revisions, Exception):  # one of them is refused: each alone will tell which
            return {}
        return dict(zip(positions, revisions, strict=True))

    def graft(self, tx: Transaction, state: CollectionState, edit: Edit) -> str:
        """Stores a revision made elsewhere, whatever it says."""
        check_id(edit.id)
        state = home_of(state, edit.id)
        rev.check_path(edit.path)
        if not edit.deleted and history.body(tx.connection, state, edit.id, edit.path[0]) is not None:
            attachments: list[Attachment] = []  # it is here already; what it keeps need not be looked for
        else:
            attachments = self._attachments(tx, state, edit)
        self._documents.graft(
            tx, state, edit.id, edit.path, edit.document,
            deleted=edit.deleted, attachments=attachments, source=edit.source, cause=edit.cause,
        )  # fmt: skip
        if not edit.deleted:
            remember_fields(tx, state, edit.document.keys() - state.known_fields)
        return edit.path[0]

    @staticmethod
    def _check_identity(state: CollectionState, document_id: str, document: Mapping[str, Any]) -> None:
        key = state.definition.key
        if key and identity_of(key, document) != document_id:
            raise InvalidValue(
                f"The id of a document in `{state.name}` is its {', '.join(key)}: "
                f"expected `{identity_of(key, document)[:200]}`.",
                code="id-is-not-key",
            )

    def _attachments(self, tx: Transaction, state: CollectionState, edit: Edit) -> list[Attachment]:
        out: dict[str, Attachment] = {}
        if edit.kept:
            ancestors = edit.path[1:] if edit.path else () if edit.parent is None else (edit.parent,)
            there = self._kept(tx, state, edit, ancestors)
            out = {name: there[name] for name in edit.kept}
        for new in edit.attachments:
            check_attachment(new.name, new.content_type)
            self._blobs.register(tx, new.blob)
            out[new.name] = Attachment(new.name, new.content_type, new.blob.sha256, new.revpos)
        return list(out.values())

    def _kept(
        self, tx: Transaction, state: CollectionState, edit: Edit, ancestors: Sequence[str]
    ) -> dict[str, Attachment]:
        """The attachments that an edit keeps, each from the newest ancestor that has it."""
        there: dict[str, Attachment] = {}
        wanted = set(edit.kept)
        for ancestor in ancestors:
            for found in history.attachments(tx.connection, state, edit.id, ancestor):
                there.setdefault(found.name, found)
            if wanted <= there.keys():
                return there
        if edit.parent is not None and edit.parent not in rev.leaves(
            history.tree(tx.connection, state, edit.id)
        ):
            raise stale(state, edit.id)
        lacking = next(name for name in edit.kept if name not in there)
        raise NotFound(
            f"No known ancestor of `{edit.id[:200]}` has an attachment `{lacking[:200]}`.",
            code="no-attachment",
            details=lacking[:200],
        )

    def mark_synced(
        self, tx: Transaction, state: CollectionState, peer: str, revisions: Sequence[tuple[str, str]]
    ) -> None:
        """Remembers what a peer has."""
        for part in state.parts:
            pairs = [pair for pair in revisions if state.home(pair[0]) is part]
            # One statement for all: rows given one by one would ask for Python's lock once for each.
            for newest in _each_once(pairs):
                tx.execute(
                    "INSERT INTO localsrv_synced SELECT ?1, key, ?2, CAST(value AS INTEGER),"
                    " substr(value, instr(value, '-') + 1) FROM json_each(?3) WHERE true"
                    " ON CONFLICT DO UPDATE SET generation = excluded.generation, digest = excluded.digest"
                    " WHERE excluded.generation > generation",
                    (part.number, peer, orjson.dumps(newest).decode()),
                )
