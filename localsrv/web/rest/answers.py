"""Rows as responses: JSON array, single object, CSV, and the headers that go with them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from localsrv.base.errors import NotAcceptable, RangeNotSatisfiable
from localsrv.model.query import Select
from localsrv.store.query_table import TableInfo
from localsrv.web.rest.media import Form
from localsrv.web.rest.preferences import Preferences

_PREFERENCE_APPLIED = istr("Preference-Applied")


def body_of(rows: Sequence[str], form: Form, select: Select, table: TableInfo) -> bytes:
    """The rows in the form that the client accepts.

    Raises:
        NotAcceptable: `code="not-singular"`: a single object was asked for and there is not exactly one row.
    """
    if form.is_csv:
        return csv_of(rows, select, table)
    if form.strips_nulls:
        rows = [_without_nulls(row) for row in rows]
    if form.is_object:
        if len(rows) != 1:
            raise not_singular(len(rows))
        return rows[0].encode()
    return f"[{','.join(rows)}]".encode()


def not_singular(count: int | str) -> NotAcceptable:
    return NotAcceptable(
        "Cannot coerce the result to a single JSON object",
        code="not-singular",
        details=f"The result contains {count} rows",
    )


def _without_nulls(row: str) -> str:
    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items() if v is not None}
        return [strip(v) for v in value] if isinstance(value, list) else value

    return orjson.dumps(strip(orjson.loads(row))).decode()


def csv_of(rows: Sequence[str], select: Select, table: TableInfo) -> bytes:
    """CSV with a header line; null is an empty cell, an object its JSON text."""
    documents = [orjson.loads(row) for row in rows]
    if select.shape.is_star:
        names = dict.fromkeys(table.fields if table.is_keyed else ("id", *table.fields))
    else:
        names = dict.fromkeys(item.name for item in select.shape.items if not item.is_star)
    for document in documents:
        names.update(dict.fromkeys(document))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for document in documents:
        writer.writerow([_cell(document.get(name)) for name in names])
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(value).decode() if isinstance(value, (dict, list)) else value


def page_status(offset: int, count: int, total: int | None) -> int:
    """200 for everything there is, 206 for a part of it.

    Raises:
        RangeNotSatisfiable: the page begins behind the last row.
    """
    if total is None:
        return 200
    if offset > total:
        raise RangeNotSatisfiable(
            "Requested range not satisfiable",
            details=f"An offset of {offset} was requested, but there are only {total} rows.",
        )
    return 206 if count < total else 200


def content_range(offset: int, count: int, total: int | None) -> str:
    """`0-19/100`, `*/0` for no rows, `*` for a total that nobody asked for."""
    rows = f"{offset}-{offset + count - 1}" if count else "*"
    return f"{rows}/{'*' if total is None else total}"


def answer(
    body: bytes | None,
    form: Form,
    preferences: Preferences,
    *,
    status: int = 200,
    range_text: str | None = None,
    etag: str | None = None,
    location: str | None = None,
) -> web.Response:
    """A response with the headers of this face. `etag` is a revision."""
    headers: CIMultiDict[str] = CIMultiDict()
    if body is not None:
        headers[hdrs.CONTENT_TYPE] = form.content_type
    if range_text is not None:
        headers[hdrs.CONTENT_RANGE] = range_text
    if preferences.applied:
        headers[_PREFERENCE_APPLIED] = ", ".join(preferences.applied)
    if etag is not None:
        headers[hdrs.ETAG] = f'"{etag}"'
    if location is not None:
        headers[hdrs.LOCATION] = location
    return web.Response(status=status, body=body, headers=headers)
