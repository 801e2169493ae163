"""Edits of documents: the sync face's writes, imports, attachments. All run inside an operation."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import orjson

from localsrv.base.errors import BadRequest, InvalidValue, LocalsrvError, NotFound
from localsrv.model import revisions as rev
from localsrv.store import history, rules
from localsrv.store.batches import (
    MIN_BATCH,
    create_all,
    graft_all,
    plain_creations,
    unknown_among,
    whole_histories,
)
from localsrv.store.blobs import Blob, Blobs
from localsrv.store.catalog import CollectionState, canonical, identity_of
from localsrv.store.documents import Documents, stale
from localsrv.store.engine import Transaction
from localsrv.store.history import (
    MAX_ID_BYTES,
    MAX_REPLICATED_ID_BYTES,
    Attachment,
    Current,
    check_id,
    check_row_id,
)
from localsrv.store.journal import Journal
from localsrv.store.relations import Referrers, check_references
from localsrv.store.rows import register_fields, remember_fields
from localsrv.store.rules import Violation

T = TypeVar("T")

MAX_LISTED = 100
"""Violations told in one answer."""


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


@dataclass(slots=True)
class ImportResult:
    """What an import did. `violations` lists the first of `violation_count`."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    violations: list[Violation] = field(default_factory=list)
    violation_count: int = 0

    def note(self, document_id: str, kind: str, message: str) -> None:
        """Counts a violation, and keeps it while there are few."""
        self.violation_count += 1
        if len(self.violations) < MAX_LISTED:
            self.violations.append(Violation(document_id, kind, message))


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


def home_of(state: CollectionState, document_id: str) -> CollectionState:
    """Where a document lies. The collection of design documents is made before one is written."""
    home = state.home(document_id)
    assert home is not None
    return home


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
        # What came from elsewhere can be changed and deleted here, however long its id is.
        document_id = check_id(edit.id, MAX_ID_BYTES if edit.parent is None else MAX_REPLICATED_ID_BYTES)
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
        check_id(edit.id, MAX_REPLICATED_ID_BYTES)
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

    # ---- attachments of live documents

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
        current = self._live(tx, state, document_id, if_match)
        self._blobs.register(tx, blob)
        new = Attachment(name, content_type, blob.sha256)
        others = [a for a in self._attached(tx, state, current) if a.name != name]
        return self._documents.extend(
            tx, state, current, orjson.loads(current.body), attachments=[*others, new]
        )

    def detach(
        self, tx: Transaction, state: CollectionState, document_id: str, name: str, if_match: str | None
    ) -> str:
        """Removes an attachment by a new revision. Raises NotFound, Conflict."""
        state = home_of(state, document_id)
        current = self._live(tx, state, document_id, if_match)
        attached = self._attached(tx, state, current)
        left = [a for a in attached if a.name != name]
        if len(left) == len(attached):
            raise NotFound(f"`{document_id[:200]}` has no attachment `{name[:200]}`.", code="no-attachment")
        return self._documents.extend(tx, state, current, orjson.loads(current.body), attachments=left)

    def _attached(self, tx: Transaction, state: CollectionState, current: Current) -> list[Attachment]:
        return history.attachments(tx.connection, state, current.id, current.rev)

    def _live(
        self, tx: Transaction, state: CollectionState, document_id: str, if_match: str | None
    ) -> Current:
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

    # ---- import

    def import_documents(
        self, tx: Transaction, state: CollectionState, documents: Sequence[Mapping[str, Any]]
    ) -> ImportResult:
        """Stores documents as they are; what breaks a rule is stored too and listed.

        Each may hold `_id` (without it the key's fields say who it is) and `_attachments` (`{name:
        {"content_type", "data": base64}}`). A document that is stored already makes no revision.

        Raises:
            InvalidValue: an id or attachment that cannot be stored, naming the document. Nothing of the
                call is written then.
        """
        result = ImportResult()
        written: list[tuple[str, dict[str, Any]]] = []
        for raw in documents:
            document = {name: value for name, value in raw.items() if not name.startswith("_")}
            document_id = self._import_id(state, raw, document)
            attachments = None  # saying nothing of them leaves them as they are
            if "_attachments" in raw:
                attachments = self._import_attachments(tx, document_id, raw["_attachments"])
            if self._import_one(tx, state, document_id, document, attachments, result):
                written.append((document_id, document))
        remember_fields(tx, state, set().union(*(d for _, d in written)) - state.known_fields)
        self._note_violations(tx, state, written, result)
        return result

    def _import_one(
        self,
        tx: Transaction,
        state: CollectionState,
        document_id: str,
        document: dict[str, Any],
        attachments: list[Attachment] | None,
        result: ImportResult,
    ) -> bool:
        current = history.current(tx.connection, state, document_id)
        if current is None:
            self._documents.create(
                tx, state, document_id, document, attachments=attachments or (), source="import"
            )
            result.created += 1
            return True
        there = self._attached(tx, state, current) if state.has_attachments else []
        attachments = there if attachments is None else attachments
        same_files = sorted(a.hashed for a in there) == sorted(a.hashed for a in attachments)
        if same_files and canonical(orjson.loads(current.body)) == canonical(document):
            result.unchanged += 1
            return False
        known = {a.hashed: a.revpos for a in there}
        attachments = [replace(a, revpos=known.get(a.hashed, 0)) for a in attachments]
        self._documents.extend(tx, state, current, document, attachments=attachments, source="import")
        result.updated += 1
        return True

    @staticmethod
    def _import_id(state: CollectionState, raw: Mapping[str, Any], document: Mapping[str, Any]) -> str:
        if "_id" in raw:
            return check_row_id(raw["_id"])
        key = state.definition.key
        if not key or any(document.get(k) is None for k in key):
            wanted = f"`_id` or {', '.join(key)}" if key else "`_id`"
            raise BadRequest(f"A document to import needs {wanted}.", code="invalid-id")
        return check_row_id(identity_of(key, document))

    def _import_attachments(self, tx: Transaction, document_id: str, raw: Any) -> list[Attachment]:
        if not raw:
            return []
        out = []
        try:
            for name, given in raw.items():
                content_type = check_attachment(name, given.get("content_type", "application/octet-stream"))
                data = base64.b64decode(given["data"], validate=True)
                blob = self._blobs.store(data)
                self._blobs.register(tx, blob)
                out.append(Attachment(name, content_type, blob.sha256))
        except (binascii.Error, AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidValue(
                f"`{document_id[:200]}`: `_attachments` must be {{name: {{content_type, data in base64}}}}.",
                code="invalid-attachment",
            ) from error
        return out

    def _note_violations(
        self,
        tx: Transaction,
        state: CollectionState,
        written: Sequence[tuple[str, dict[str, Any]]],
        result: ImportResult,
    ) -> None:
        for document_id, document in written:
            try:
                state.shape.checked(document)
            except LocalsrvError as error:
                kind = "required" if error.code == "required-field" else "schema"
                result.note(document_id, kind, error.message)
            try:
                rules.check_unique(tx.connection, state, [document_id])
                check_references(tx.connection, self._states(), state, [(document_id, document)])
            except LocalsrvError as error:
                kind = "unique" if error.code == "unique-violation" else "relation"
                result.note(document_id, kind, error.details or error.message)
