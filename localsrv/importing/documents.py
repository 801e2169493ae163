"""Rows → documents, in the form that the import address takes: NDJSON in batches of bounded size."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from localsrv.base.errors import BadRequest
from localsrv.importing.identity import ContentIds
from localsrv.importing.plans import STORE_NAMES, TablePlan
from localsrv.importing.tables import Row, Source
from localsrv.importing.values import Opaque

BATCH_BYTES = 1 << 20
BATCH_DOCUMENTS = 2000


@dataclass(frozen=True, slots=True)
class Attachment:
    content_type: str
    data: bytes


@dataclass(slots=True)
class Document:
    """`place` is the row's number or line in the file; `body` has `_id` unless the key gives it."""

    place: int
    body: dict[str, Any]
    attachments: dict[str, Attachment] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """One line of NDJSON, without its end."""
        body = self.body
        if self.attachments:
            body = {
                **body,
                "_attachments": {
                    name: {"content_type": a.content_type, "data": base64.b64encode(a.data).decode()}
                    for name, a in self.attachments.items()
                },
            }
        return orjson.dumps(body)


def documents(source: Source, plan: TablePlan) -> Iterator[Document]:
    """Every row of the table as a document.

    Raises:
        BadRequest: an `_id` or an attachment of a JSON file that cannot be one; reading errors as `rows`.
    """
    ids = ContentIds() if plan.identity != "key" else None
    is_json = not plan.table.columns
    try:
        for place, row in source.rows(plan.table):
            document = _document(place, row, plan)
            if ids is not None:
                given = row.get("_id") if is_json else None
                own = {k: v for k, v in row.items() if k not in STORE_NAMES} if is_json else row
                document.body = {
                    "_id": ids.id_of(own) if given is None else _checked_id(given, place),
                    **document.body,
                }
            if is_json and row.get("_attachments"):
                document.attachments.update(_attachments(row["_attachments"], place))
            yield document
    finally:
        if ids is not None:
            ids.close()


def _document(place: int, row: Row, plan: TablePlan) -> Document:
    document = Document(place, {})
    for planned in plan.fields:
        name = planned.field
        value = row.get(planned.column, document)
        if value is document:
            continue
        if isinstance(value, Opaque):
            document.attachments[name] = Attachment(value.content_type, value.data)
            value = None
        if planned.kind is not None:
            document.body[name] = planned.empty if value is None else planned.convert(value)
    return document


def _checked_id(value: Any, place: int) -> str:
    if not isinstance(value, str) or not value or value.startswith("_") or len(value.encode()) > 1000:
        raise BadRequest(
            f"Line {place}: {str(value)[:60]!r} cannot be an `_id`.",
            code="invalid-id",
            details=f"line {place}",
            hint="An id is a text of 1 to 1000 bytes that does not start with `_`.",
        )
    return value


def _attachments(value: Any, place: int) -> Iterator[tuple[str, Attachment]]:
    """Attachments with their data, as a JSON export writes them."""
    entries = value.items() if isinstance(value, dict) else [("_attachments", None)]
    for name, entry in entries:
        entry = entry if isinstance(entry, dict) else {}
        data = entry.get("data")
        try:
            decoded = base64.b64decode(data, validate=True) if isinstance(data, str) else None
        except (binascii.Error, ValueError):
            decoded = None
        if decoded is None:
            raise BadRequest(
                f"Line {place}: the attachment `{name}` comes without its data in base64.",
                code="attachment-without-data",
                details=f"line {place}",
                hint="Export with attachments, or remove `_attachments`.",
            )
        yield name, Attachment(str(entry.get("content_type") or "application/octet-stream"), decoded)


@dataclass(slots=True)
class Batch:
    """`lines` is NDJSON; `places` of the first and last document are for messages."""

    lines: bytes
    documents: int
    first: int
    last: int


def batches(found: Iterator[Document], limit: int = BATCH_BYTES) -> Iterator[Batch]:
    """Documents in batches of at most `limit` bytes, or of one document that is larger by itself."""
    lines: list[bytes] = []
    size = first = last = 0
    for document in found:
        line = document.encoded()
        if lines and (size + len(line) > limit or len(lines) >= BATCH_DOCUMENTS):
            yield Batch(b"\n".join(lines), len(lines), first, last)
            lines, size = [], 0
        if not lines:
            first = document.place
        last = document.place
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield Batch(b"\n".join(lines), len(lines), first, last)
