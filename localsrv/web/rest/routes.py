"""The data face's routes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from localsrv.web.rest.read import get_rows
from localsrv.web.rest.write import delete_rows, patch_rows, post_rows, put_row
from localsrv.web.routes import ANY, Face, Handler, Route

_ROW: Mapping[str, Any] = MappingProxyType({"type": "object"})
_ROWS: Mapping[str, Any] = MappingProxyType({"type": "array", "items": {"type": "object"}})
_ROW_OR_ROWS: Mapping[str, Any] = MappingProxyType({"oneOf": [dict(_ROW), dict(_ROWS)]})

_FILTERS = {
    "select": "Columns to return: `a,alias:b,c::text,data->x->>y`.",
    "<column>": "A filter: `operator.value`, such as `eq.5`, `in.(1,2)`, `not.is.null`, `ilike.*x*`.",
    "and": "Conditions joined: `(a.eq.1,or(b.gt.2,c.is.null))`.",
    "or": "Alternatives: `(a.eq.1,b.eq.2)`.",
    "order": "`column.desc.nullslast,…`.",
    "limit": "How many rows at most.",
    "offset": "How many rows to leave out.",
}
_INSERT = {
    "select": _FILTERS["select"],
    "columns": "The columns to take from the rows of the body.",
    "on_conflict": "The unique columns that decide whether a row exists already.",
}
_PUT = {"<key>": "`eq.` and the key's value.", "select": _FILTERS["select"]}


async def options(request: web.Request) -> web.Response:
    """The methods of a collection."""
    return web.Response(status=204, headers={"Allow": "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"})


def _route(method: str, handler: Handler, scope: str, summary: str, **more: Any) -> Route:
    return Route(method, "/rest/v1/{collection}", handler, scope, summary, face=Face.REST, **more)


_READ, _WRITE = "{collection}:read", "{collection}:write"

ROUTES: tuple[Route, ...] = (
    _route(
        "GET",
        get_rows,
        _READ,
        "Rows of a collection",
        response=_ROWS,
        query=_FILTERS,
        statuses=(200, 206, 304),
    ),
    _route(
        "POST",
        post_rows,
        _WRITE,
        "Insert or upsert rows",
        request=_ROW_OR_ROWS,
        response=_ROWS,
        query=_INSERT,
        statuses=(201, 200),
    ),
    _route(
        "PATCH",
        patch_rows,
        _WRITE,
        "Change the rows that match",
        request=_ROW,
        response=_ROWS,
        query=_FILTERS,
        statuses=(204, 200),
    ),
    _route(
        "PUT",
        put_row,
        _WRITE,
        "Create or update one row by its key",
        request=_ROW,
        response=_ROWS,
        query=_PUT,
        statuses=(201, 200, 204),
    ),
    _route(
        "DELETE",
        delete_rows,
        _WRITE,
        "Delete the rows that match",
        response=_ROWS,
        query=_FILTERS,
        statuses=(204, 200),
    ),
    _route("OPTIONS", options, ANY, "The methods of a collection", statuses=(204,)),
)
