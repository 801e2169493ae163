"""Documents that come from files, stored as they are: what breaks a rule is kept and told, never dropped."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from localsrv.base.errors import BadRequest, InvalidValue, LocalsrvError
from localsrv.store import history, rules
from localsrv.store.attachments import check_attachment
from localsrv.store.blobs import Blobs
from localsrv.store.catalog import CollectionState, canonical, identity_of
from localsrv.store.documents import Documents
from localsrv.store.engine import Transaction
from localsrv.store.history import Attachment, check_row_id
from localsrv.store.relations import check_references
from localsrv.store.rows import remember_fields
from localsrv.store.rules import Violation

MAX_LISTED = 100
"""Violations told in one answer."""


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


class Importer:
    """Imports into the collections of one file."""

    def __init__(
        self, documents: Documents, blobs: Blobs, states: Callable[[], Mapping[str, CollectionState]]
    ) -> None:
        self._documents = documents
        self._blobs = blobs
        self._states = states

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
        there: list[Attachment] = []
        if state.has_attachments:
            there = history.attachments(tx.connection, state, document_id, current.rev)
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
