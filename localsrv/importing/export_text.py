"""Documents as CSV, TSV, JSON and NDJSON texts."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson

from localsrv.importing.columns import ID, ExportColumn, export_columns, source_of, titles
from localsrv.importing.json_text import DECIMAL_TEXT
from localsrv.importing.spool import OWN, Spool
from localsrv.importing.values import REAL_TYPE
from localsrv.model.schema import FieldType

Fetch = Callable[[str, str], bytes]
"""(document id, attachment name) → its bytes."""


def delimited_lines(spool: Spool, fetch: Fetch, delimiter: str, notices: list[str]) -> Iterator[bytes]:
    """The header and a line for each document. Null is an empty cell, empty text `""`, bytes base64."""
    columns = export_columns(spool.collection, spool.profile)
    source = source_of(spool.collection)
    names = titles(spool.collection, columns, "delimited")
    newline = "\r\n" if source.get("newline") == "\r\n" else "\n"
    if source.get("header", True):
        yield _line([_quoted(name, delimiter) if name else "" for name in names], delimiter, newline)
    fields = {c.field for c in columns}
    left_out = 0
    for document in spool.documents():
        stubs = document.get("_attachments") or {}
        left_out += sum(1 for name in stubs if name not in fields)
        cells = []
        for column in columns:
            if stub := stubs.get(column.field):
                data = fetch(document["_id"], column.field)
                is_number = stub.get("content_type") == REAL_TYPE
                cells.append(data.decode() if is_number else base64.b64encode(data).decode())
            else:
                value = document.get(column.field)
                cells.append("" if value is None else _quoted(_cell(value, column), delimiter))
        yield _line(cells, delimiter, newline)
    if left_out:
        notices.append(
            f"{left_out} attachments of `{spool.collection.name}` are not in the file: export as json."
        )


def _line(cells: list[str], delimiter: str, newline: str) -> bytes:
    # A blank line is no row, so the only cell of a row is never nothing at all.
    return ((delimiter.join(cells) or '""') + newline).encode()


def _quoted(text: str, delimiter: str) -> str:
    if text and not any(c in text for c in (delimiter, '"', "\r", "\n")):
        return text
    return '"' + text.replace('"', '""') + '"'


def _cell(value: Any, column: ExportColumn) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        word = "true" if value else "false"
        return {"True": word.title(), "TRUE": word.upper()}.get(column.true or "", word)
    text = orjson.dumps(value).decode()
    if column.fraction is not None and isinstance(value, int | float):
        padded = f"{Decimal(text):.{column.fraction}f}"
        return padded if Decimal(padded) == Decimal(text) else text
    return text


def json_documents(spool: Spool, fetch: Fetch) -> Iterator[bytes]:
    """Each document as one line of JSON: `_id` unless it has a key, its fields, its attachments in base64."""
    collection = spool.collection
    columns = export_columns(collection, spool.profile)
    names = dict(zip((c.field for c in columns), titles(collection, columns, "json"), strict=True))
    renamed = any(field != name for field, name in names.items() if field != ID)
    decimals = frozenset(f.name for f in collection.fields if f.type is FieldType.DECIMAL)
    for document in spool.documents():
        out: dict[str, Any] = {} if collection.key else {"_id": document["_id"]}
        for field, value in document.items():
            if field in OWN:
                continue
            if field in decimals and isinstance(value, str) and DECIMAL_TEXT.match(value):
                value = orjson.Fragment(value.encode())
            out[names.get(field, field) if renamed else field] = value
        if stubs := document.get("_attachments"):
            out["_attachments"] = {
                name: {
                    "content_type": stub.get("content_type"),
                    "data": base64.b64encode(fetch(document["_id"], name)).decode(),
                }
                for name, stub in stubs.items()
            }
        yield orjson.dumps(out)


def json_array(lines: Iterator[bytes], indent: bytes = b"") -> Iterator[bytes]:
    """An array of documents, one a line."""
    yield b"["
    before = b"\n"
    for line in lines:
        yield before + indent + line
        before = b",\n"
    yield b"\n]" if before == b",\n" else b"]"
