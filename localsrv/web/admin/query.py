"""/api/v1/apps/{app}/query: read-only SQL on an app's file, for its owner."""

from __future__ import annotations

from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import FLAG, NUMBER, TEXT, array, obj
from localsrv.web.body import read_object
from localsrv.web.context import database
from localsrv.web.routes import ADMIN, Route

USUAL_LIMIT = 1000
HIGHEST_LIMIT = 1_000_000


async def run_query(request: web.Request) -> web.Response:
    body = await read_object(request, sql=str, params=(list, dict), limit=int)
    if "sql" not in body:
        raise BadRequest("`sql` is missing.", details="sql")
    limit = body.get("limit", USUAL_LIMIT)
    if not 0 < limit <= HIGHEST_LIMIT:
        raise InvalidValue(f"`limit` must be 1 to {HIGHEST_LIMIT}.", details="limit")
    result = await database(request).raw_query(body["sql"], body.get("params", []), limit)
    rows = [[_value(v) for v in row] for row in result.rows]
    return json_answer({"columns": list(result.columns), "rows": rows, "truncated": result.truncated})


def _value(value: object) -> object:
    """Bytes as SQLite writes them in text: hexadecimal, so that they are told apart from it."""
    return f"x'{value.hex()}'" if isinstance(value, bytes) else value


ROUTES = (
    Route(
        "POST",
        "/api/v1/apps/{app}/query",
        run_query,
        ADMIN,
        "Runs a read-only SQL query on the app's file",
        request=obj("sql", sql=TEXT, params={"type": ["array", "object"]}, limit=NUMBER),
        response=obj("*", columns=array(TEXT), rows=array({"type": "array"}), truncated=FLAG),
    ),
)
