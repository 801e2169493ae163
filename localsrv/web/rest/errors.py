"""Every error as PostgREST would word it: `{"code", "message", "details", "hint"}`.

Codes are PostgREST's own (`PGRST…`) where the request is at fault, and PostgreSQL's SQLSTATEs where the
database would have said no. What neither knows is `PT` with the HTTP status, PostgREST's custom form.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import orjson
from aiohttp import web

from localsrv.base import errors as e
from localsrv.web.errors import MethodNotAllowed

_BY_CODE: Mapping[str, str] = MappingProxyType(
    {
        "query-syntax": "PGRST100",
        "invalid-json": "PGRST102",
        "invalid-body": "PGRST102",
        "range-not-satisfiable": "PGRST103",
        "unknown-schema": "PGRST106",
        "not-acceptable": "PGRST107",
        "unsupported-media-type": "PGRST107",
        "unknown-embed": "PGRST108",
        "put-with-page": "PGRST114",
        "put-key-mismatch": "PGRST115",
        "not-singular": "PGRST116",
        "method-not-allowed": "PGRST117",
        "invalid-preferences": "PGRST122",
        "aggregates-disabled": "PGRST123",
        "max-affected": "PGRST124",
        "no-such-route": "PGRST125",
        "unknown-relation": "PGRST200",
        "undeclared-field": "PGRST204",
        "unknown-payload-column": "PGRST204",
        "bad-token": "PGRST301",
        "unauthenticated": "PGRST302",
        "out-of-range": "22003",
        "invalid-datetime": "22007",
        "invalid-id": "22023",
        "key-immutable": "22023",
        "invalid-pattern": "22025",
        "inexact-number": "22003",
        "nul": "22P05",
        "invalid-regex": "2201B",
        "required-field": "23502",
        "document-exists": "23505",
        "revision-conflict": "40001",
        "invalid-text-query": "42601",
        "invalid-field": "42602",
        "unknown-column": "42703",
        "unknown-type": "42704",
        "no-full-text-index": "42883",
        "no-full-text-filter": "42P10",
        "no-such-unique": "42P10",
        "no-collection": "42P01",
        "collection-not-found": "42P01",
        "app-not-found": "3D000",
        "storage-full": "53100",
        "storage-memory": "53200",
        "storage-read-only": "25006",
        "storage-busy": "55006",
        "storage-damaged": "XX001",
        "storage-io": "58030",
        "overloaded": "53400",
        "closing": "57P01",
    }
)

_BY_CLASS: tuple[tuple[type[e.LocalsrvError], str], ...] = (
    (e.UniqueViolation, "23505"),
    (e.RelationViolation, "23503"),
    (e.SchemaViolation, "23514"),
    (e.InvalidValue, "22P02"),
    (e.UnknownName, "42703"),
    (e.QueryTimeout, "57014"),
    (e.Unauthenticated, "PGRST301"),
    (e.Forbidden, "42501"),
    (e.StorageError, "XX000"),
    (e.Unavailable, "57P03"),
)


def code_of(error: e.LocalsrvError) -> str:
    """The PostgREST code or SQLSTATE of an error."""
    found = _BY_CODE.get(error.code)
    if found is not None:
        return found
    if isinstance(error, e.DesignError) and error.status < 500:
        return "42501"  # a rule of the collection's own refuses the row, as row security would
    for kind, code in _BY_CLASS:
        if isinstance(error, kind):
            return code
    return "XX000" if error.status == 500 else f"PT{error.status}"


def render(error: e.LocalsrvError) -> web.Response:
    """The data face's error body. One place, by class and code."""
    body = {
        "code": code_of(error),
        "message": error.message,
        "details": error.details,
        "hint": error.hint,
    }
    response = web.Response(
        status=error.status,
        body=orjson.dumps(body),
        content_type="application/json",
        charset="utf-8",
    )
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allowed)
    return response
