"""`_find`, `_explain` and `_index`: Mango queries and their indexes.

Source: CouchDB's `mango_httpd.erl` and its documentation of `_find`. `r`, `stable` and `w` are accepted and
change nothing but the figures that name them: there is one copy of each document. An index is built when it
is made; CouchDB builds it at the first query.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from localsrv.base.errors import Conflict
from localsrv.model.mango_errors import MangoError, shown
from localsrv.model.mango_explain import explanation
from localsrv.model.mango_fields import extract
from localsrv.model.mango_index import (
    ALL_DOCS,
    DESIGN,
    Index,
    generated_name,
    parse_definition,
    with_index,
    without_index,
)
from localsrv.model.mango_request import FindRequest, parse_find, parse_use_index
from localsrv.model.selector_parse import parse_field
from localsrv.store.editing import Edit
from localsrv.store.mango import Found, Search
from localsrv.web.context import database, param
from localsrv.web.couch.answers import document_text, json_answer, text_of
from localsrv.web.couch.bodies import read_object
from localsrv.web.couch.contents import Segment
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.streaming import send_parts
from localsrv.web.couch.writing import write_one
from localsrv.web.routes import Face, Route

ATTEMPTS = 3
"""How often a design document is written anew when another writer was faster."""

# ── queries ────────────────────────────────────────────────────────────────────────────────────────────────


async def find(request: web.Request) -> web.StreamResponse:
    started = time.perf_counter()
    asked = parse_find(await read_object(request))
    db, name = database(request), param(request, "db")
    search = await db.mango.find(name, asked)
    return await send_parts(request, db, _answer(search, asked, started))


async def _answer(search: Search, asked: FindRequest, started: float) -> AsyncGenerator[list[Segment], None]:
    text = _text_of(asked)
    before = b'{"docs":[\n'
    if search.first:
        yield [before + b",\n".join(map(text, search.first))]
        before = b",\n"
    async for page in search.rest():
        if page:
            yield [before + b",\n".join(map(text, page))]
            before = b",\n"
    tail: dict[str, Any] = {"bookmark": search.bookmark}
    if asked.execution_stats:
        elapsed = round((time.perf_counter() - started) * 1000, 3)
        tail["execution_stats"] = {**search.statistics(), "execution_time_ms": elapsed}
    if warnings := search.warnings():
        tail["warning"] = "\n".join(warnings)
    head = b"" if search.returned else before
    yield [head + b"\n]," + text_of(tail)[1:].encode() + b"\n"]


def _text_of(asked: FindRequest) -> Callable[[Found], bytes]:
    """How a result is written: whole, or the fields that were asked for."""
    paths = [parse_field(name) for name in asked.fields]

    def whole(found: Found) -> str:
        conflicts = {"_conflicts": text_of(found.conflicts)} if found.conflicts else {}
        return document_text(found.document, fields=conflicts)

    if not paths:
        return lambda found: whole(found).encode()

    def part(found: Found) -> bytes:
        document = orjson.loads(whole(found)) if found.covered is None else found.covered
        return orjson.dumps(extract(document, paths))

    return part


async def explain(request: web.Request) -> web.Response:
    asked = parse_find(await read_object(request))
    name = param(request, "db")
    return json_answer(explanation(name, await database(request).mango.plan(name, asked)))


# ── indexes ────────────────────────────────────────────────────────────────────────────────────────────────


async def list_indexes(request: web.Request) -> web.Response:
    defined = await database(request).mango.indexes(param(request, "db"))
    found = [ALL_DOCS, *sorted(defined, key=lambda index: index.key)]
    # CouchDB's own tests part the parameters by semicolons, as it allows.
    parameters = dict(parse_qsl(request.query_string.replace(";", "&")))
    limit = _bound(parameters, "limit", len(found), lowest=1)
    skip = _bound(parameters, "skip", 0, lowest=0)
    listed = [index.as_json() for index in found[skip : skip + limit]]
    return json_answer({"total_rows": len(found), "indexes": listed})


def _bound(parameters: Mapping[str, str], name: str, default: int, *, lowest: int) -> int:
    try:
        number = int(parameters.get(name, default))
    except ValueError:
        number = -1
    if number < lowest:
        reason = "Index parameter ranges: limit > 1, skip > 0"
        raise CouchError(500, "invalid_list_index_params", reason)
    return number


async def create_index(request: web.Request) -> web.Response:
    body = await read_object(request)
    index, definition = _index_of(body)
    name = param(request, "db")
    result = await _rewrite(
        request, name, index.ddoc or "", lambda design: with_index(design, index, definition)
    )
    await database(request).mango.build_indexes(name)
    return json_answer({"result": "created" if result else "exists", "id": index.ddoc, "name": index.name})


def _index_of(body: Mapping[str, Any]) -> tuple[Index, Mapping[str, Any]]:
    """The index that a request describes, and its `index` as it was sent. Raises MangoError, CouchError."""
    if "index" not in body:
        raise MangoError("missing_required_key", "Missing required key: index")
    for key in body:
        if key not in ("index", "type", "name", "ddoc", "w", "partitioned"):
            raise MangoError("invalid_key", f"Invalid key {key[:300]} for this request.")
    _check_type(body.get("type", "json"))
    _check_rest(body)
    name, ddoc = _name(body.get("name")), _name(body.get("ddoc"))
    fields, partial_filter = parse_definition(body["index"])
    if not fields:
        raise MangoError("invalid_index", "An index needs at least one field.")
    generated = generated_name({"def": body["index"], "name": name, "ddoc": ddoc})
    design_id = DESIGN + (ddoc or generated).removeprefix(DESIGN)
    if design_id == DESIGN:
        raise CouchError(400, "illegal_docid", f"Illegal document id `{DESIGN}`")
    return Index(design_id, name or generated, fields, partial_filter), body["index"]


def _check_type(kind: Any) -> None:
    if not isinstance(kind, str):
        raise MangoError("invalid_string", f"Invalid string: {shown(kind)}")
    if kind in ("text", "nouveau"):
        raise CouchError(503, "required index service unavailable", kind)
    if kind != "json":
        raise MangoError("invalid_index", f"Invalid type for index: {kind[:300]}")


def _check_rest(body: Mapping[str, Any]) -> None:
    w = body.get("w", 2)
    if isinstance(w, bool) or not isinstance(w, int) or w < 1:
        raise MangoError("invalid_pos_integer", f"{shown(w)} is not an integer greater than zero")
    partitioned = body.get("partitioned", False)
    if not isinstance(partitioned, bool):
        raise MangoError("invalid_value", f"Invalid value for partitioned: {shown(partitioned)}")
    if partitioned:
        raise MangoError("bad_request", "There are no partitioned databases here.")


def _name(value: Any) -> str | None:
    if value == "":
        raise MangoError("invalid_empty_string", "Index name or ddoc cannot be empty string")
    if value is not None and not isinstance(value, str):
        raise MangoError("invalid_string", f"Invalid string: {shown(value)}")
    return value


async def delete_index(request: web.Request) -> web.Response:
    name, kind = param(request, "db"), param(request, "type")
    ddoc = DESIGN + param(request, "ddoc").removeprefix(DESIGN)
    defined = await database(request).mango.indexes(name)
    wanted = (ddoc, param(request, "name"))
    if kind != "json" or not any(index.key == wanted for index in defined):
        raise CouchError(404, "not_found", "missing")
    await _remove(request, name, wanted)
    await database(request).mango.build_indexes(name)
    return json_answer({"ok": True})


async def bulk_delete(request: web.Request) -> web.Response:
    body = await read_object(request)
    for key in body:
        if key not in ("docids", "w"):
            raise MangoError("invalid_key", f"Invalid key {key[:300]} for this request.")
    if "docids" not in body:
        raise MangoError("missing_required_key", "Missing required key: docids")
    ids = body["docids"]
    if not isinstance(ids, list):
        raise MangoError(
            "invalid_bulk_docs", f"Bulk Delete requires an array of non-null docids. Docids: {shown(ids)}"
        )
    for one in ids:
        parse_use_index(one)
        if not isinstance(one, str):
            raise MangoError("invalid_index_name", f"Invalid index name: {shown(one)}")
    return json_answer(await _delete_all(request, param(request, "db"), ids))


async def _delete_all(request: web.Request, name: str, ids: Sequence[str]) -> dict[str, Any]:
    mango = database(request).mango
    success: list[dict[str, Any]] = []
    fail: list[dict[str, Any]] = []
    for one in ids:
        ddoc = DESIGN + one.removeprefix(DESIGN)
        found = [index for index in await mango.indexes(name) if index.ddoc == ddoc]
        if not found:
            fail.append({"id": ddoc, "error": "not_found"})
            continue
        for index in found:
            await _remove(request, name, index.key)
        success.append({"id": ddoc, "ok": True})
    await mango.build_indexes(name)
    return {"success": success, "fail": fail}


async def _remove(request: web.Request, name: str, key: tuple[str, str]) -> None:
    await _rewrite(
        request, name, key[0], lambda design: None if design is None else without_index(design, key[1])
    )


async def _rewrite(
    request: web.Request,
    name: str,
    design_id: str,
    change: Callable[[Mapping[str, Any] | None], dict[str, Any] | None],
) -> bool:
    """Changes a design document, None being an absent one; returns whether it was another then.

    Raises:
        MangoError: `error_saving_ddoc`, when others write it all the time.
    """
    db = database(request)
    db.collection(name)
    for _ in range(ATTEMPTS):
        stored = db.get_document(name, design_id)
        is_live = stored is not None and not stored.deleted
        design = orjson.loads(stored.body or "{}") if stored is not None and is_live else None
        body = change(design)
        if orjson.dumps(body) == orjson.dumps(design):  # the order of an index's fields counts
            return False
        parent: str | None = None
        kept: tuple[str, ...] = ()
        if stored is not None and is_live:
            parent = stored.rev
            kept = () if body is None else tuple(info.name for info in stored.attachments)
        edit = Edit(design_id, body or {}, parent, deleted=body is None, kept=kept)
        try:
            await write_one(request, name, edit)
        except Conflict:
            continue
        return True
    reason = "Encountered a conflict while saving the design document."
    raise MangoError("error_saving_ddoc", reason, status=500)


def _route(method: str, path: str, handler: Any, scope: str, summary: str) -> Route:
    return Route(method, f"/couch/{{db}}/{path}", handler, scope, summary, face=Face.COUCH)


ROUTES = (
    _route("POST", "_find", find, "{db}:read", "Documents that match a Mango selector"),
    _route("POST", "_explain", explain, "{db}:read", "Which index a Mango query uses, and why"),
    _route("GET", "_index", list_indexes, "{db}:read", "A database's Mango indexes"),
    _route("POST", "_index", create_index, "sync", "Makes a Mango index"),
    _route("POST", "_index/_bulk_delete", bulk_delete, "sync", "Removes the indexes of design documents"),
    _route("DELETE", "_index/{ddoc}/{type}/{name}", delete_index, "sync", "Removes a Mango index"),
    _route("DELETE", "_index/_design/{ddoc}/{type}/{name}", delete_index, "sync", "Removes a Mango index"),
)
