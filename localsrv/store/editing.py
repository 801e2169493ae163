"""Edits of documents: the sync face's writes, imports, attachments. All run inside an operation."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from localsrv.base.errors import BadRequest, InvalidValue, LocalsrvError, NotFound
from localsrv.model import revisions as rev
from localsrv.store import history, rules
from localsrv.store.blobs import Blob, Blobs
from localsrv.store.catalog import CollectionState, canonical, identity_of
from localsrv.store.documents import Documents, stale
from localsrv.store.engine import Transaction
from localsrv.store.history import Attachment, Current, check_id
from localsrv.store.relations import Referrers, check_references
from localsrv.store.rows import register_fields, remember_fields
from localsrv.store.rules import Violation

MAX_LISTED = 100
"""Violations told in one answer."""


@dataclass(frozen=True, slots=True)
class NewAttachment:
    """Bytes that come with an edit, already received by `Blobs`."""

    name: str
    content_type: str
    blob: Blob


@dataclass(frozen=True, slots=True)
class Edit:
    """One revision to write. `document` has no `_` members.

    `parent` is the revision it changes, None to create or revive. `attachments` come with it, `kept` names
    those of the parent that stay. With `new_edits=False`, `path` is the revision and its ancestors, newest
    first, and `stubs` the attachments whose bytes are known here by their SHA-256.
    """

    id: str
    document: Mapping[str, Any]
    parent: str | None = None
    deleted: bool = False
    attachments: tuple[NewAttachment, ...] = ()
    kept: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    source: str | None = None
    cause: str | None = None


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


class Editor:
    """Edits of documents in one file."""

    def __init__(
        self, documents: Documents, blobs: Blobs, states: Callable[[], Mapping[str, CollectionState]]
    ) -> None:
        self._documents = documents
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
        document = dict(edit.document)
        new_fields: set[str] = set()
        if not edit.deleted and not document_id.startswith("_design/"):
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
        """Writes several edits, each in a savepoint of its own."""
        write = self.put if new_edits else self._graft
        out: list[str | Exception] = []
        for edit in edits:
            mark = tx.mark()
            tx.execute("SAVEPOINT one")
            try:
                out.append(write(tx, state, edit))
            except LocalsrvError as error:
                tx.execute("ROLLBACK TO one")
                tx.reset(mark)
                out.append(error)
            tx.execute("RELEASE one")
        return out

    def _graft(self, tx: Transaction, state: CollectionState, edit: Edit) -> str:
        """Stores a revision made elsewhere, whatever it says."""
        check_id(edit.id)
        attachments = self._attachments(tx, state, edit)
        self._documents.graft(
            tx, state, edit.id, edit.path, edit.document,
            deleted=edit.deleted, attachments=attachments, source=edit.source, cause=edit.cause,
        )  # fmt: skip
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
        parent = edit.parent or (edit.path[1] if len(edit.path) > 1 else None)
        out: dict[str, Attachment] = {}
        if edit.kept and parent is not None:
            there = {a.name: a for a in history.attachments(tx.connection, state, edit.id, parent)}
            for name in edit.kept:
                if name not in there:
                    if not edit.path and parent not in rev.leaves(
                        history.tree(tx.connection, state, edit.id)
                    ):
                        raise stale(state, edit.id)
                    raise NotFound(
                        f"Revision {parent} has no attachment `{name[:200]}`.", code="no-attachment"
                    )
                out[name] = there[name]
        for new in edit.attachments:
            check_attachment(new.name, new.content_type)
            self._blobs.register(tx, new.blob)
            out[new.name] = Attachment(new.name, new.content_type, new.blob.sha256)
        return list(out.values())

    def mark_synced(
        self, tx: Transaction, state: CollectionState, peer: str, revisions: Iterable[tuple[str, str]]
    ) -> None:
        """Remembers what a peer has."""
        tx.executemany(
            "INSERT INTO localsrv_synced VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET generation = excluded.generation, digest = excluded.digest"
            " WHERE excluded.generation > generation",
            [(state.number, i, peer, *rev.parse_revision(revision)) for i, revision in revisions],
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
            return check_id(raw["_id"])
        key = state.definition.key
        if not key or any(document.get(k) is None for k in key):
            wanted = f"`_id` or {', '.join(key)}" if key else "`_id`"
            raise BadRequest(f"A document to import needs {wanted}.", code="invalid-id")
        return check_id(identity_of(key, document))

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
