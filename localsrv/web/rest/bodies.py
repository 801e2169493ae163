"""Rows out of request bodies: JSON object or array, CSV, newline-delimited JSON."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

from aiohttp import web

from localsrv.base.errors import BadRequest, UnsupportedMediaType
from localsrv.model.json_text import parse_json
from localsrv.store.query_table import TableInfo
from localsrv.web.incoming import read_body

Row = dict[str, Any]

_INLINE_BYTES = 256 * 1024
"""Larger bodies are parsed in a thread, so that other requests go on."""

_NDJSON = frozenset(("application/x-ndjson", "application/ndjson", "application/jsonlines"))


async def read_rows(request: web.Request) -> list[Row]:
    """The rows that a body holds; a JSON object is one row.

    Raises:
        UnsupportedMediaType: neither JSON, CSV nor NDJSON.
        BadRequest, InvalidValue: as `parse_json`; a row that is no object; a ragged CSV.
    """
    media_type = request.content_type
    data = await read_body(request)
    if media_type == "text/csv":
        parse = _csv_rows
    elif media_type in _NDJSON:
        parse = _ndjson_rows
    elif media_type == "application/json" or media_type.endswith("+json"):
        parse = _json_rows
    else:
        raise UnsupportedMediaType(
            f"Content-Type not acceptable: {media_type[:100]}",
            hint="Send application/json, text/csv or application/x-ndjson.",
        )
    return parse(data) if len(data) <= _INLINE_BYTES else await asyncio.to_thread(parse, data)


async def read_object(request: web.Request) -> Row:
    """The one row of a body. Raises as `read_rows`, and BadRequest for more or fewer."""
    rows = await read_rows(request)
    if len(rows) != 1:
        raise BadRequest("The body must be one JSON object.", code="invalid-body")
    return rows[0]


def _json_rows(data: bytes) -> list[Row]:
    value = parse_json(data)
    rows = value if isinstance(value, list) else [value]
    for row in rows:
        if not isinstance(row, dict):
            raise BadRequest(
                "Each row of the body must be a JSON object.",
                code="invalid-body",
                hint='Send {"column": value} or an array of such objects.',
            )
    return rows


def _ndjson_rows(data: bytes) -> list[Row]:
    lines = [line for line in data.split(b"\n") if line.strip()]
    return _json_rows(b"[" + b",".join(lines) + b"]")


def _csv_rows(data: bytes) -> list[Row]:
    """Rows of texts; declared types make of them what they are. `NULL` is null, as in PostgREST."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(
            "The CSV is not UTF-8.",
            code="invalid-body",
            details=f"byte {error.start + 1}",
            hint="Save it as UTF-8.",
        ) from error
    if "\0" in text:
        raise BadRequest("The CSV holds a NUL character.", code="nul", hint="Leave it out.")
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise BadRequest(f"The CSV is broken: {error}.", code="invalid-body") from error
    if not lines:
        raise BadRequest(
            "The CSV has no header line.", code="invalid-body", hint="Name the columns in the first line."
        )
    header, *rows = lines
    if len(set(header)) != len(header):
        raise BadRequest(
            "The CSV's header names a column twice.", code="invalid-body", hint="Give each a name of its own."
        )
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise BadRequest(
                "All lines must have same number of fields",
                code="invalid-body",
                details=f"Row {number} has {len(row)} fields, the header {len(header)}.",
            )
    return [{n: None if v == "NULL" else v for n, v in zip(header, row, strict=True)} for row in rows]


def with_columns(
    rows: list[Row], columns: tuple[str, ...], table: TableInfo, *, keep_defaults: bool
) -> list[Row]:
    """The rows cut to `columns`; what a row lacks is null, or with `keep_defaults` left to its default.

    Raises:
        BadRequest: `code="unknown-payload-column"`: a column that neither the collection nor any row has.
    """
    seen = set().union(*rows) if rows else set()
    for name in columns:
        if name not in table.known_fields and name not in seen and name not in ("id", "_rev"):
            raise BadRequest(
                f"Could not find the '{name[:100]}' column of '{table.name}' in the schema cache",
                code="unknown-payload-column",
            )
    if keep_defaults:
        return [{name: row[name] for name in columns if name in row} for row in rows]
    optional = ("_rev",) if table.is_keyed else ("id", "_rev")
    return [{n: row.get(n) for n in columns if n in row or n not in optional} for row in rows]
