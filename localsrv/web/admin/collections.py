"""/api/v1/apps/{app}/collections: definitions, and documents in bulk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from localsrv.base.errors import BadRequest, UnsupportedMediaType
from localsrv.model.json_text import parse_json
from localsrv.model.schema_parse import parse_collection
from localsrv.store.database import Database
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import (
    CHANGES,
    COLLECTION,
    DEFINITION,
    NUMBER,
    TEXT,
    array,
    changed_at,
    collection_info,
    collections_info,
    obj,
)
from localsrv.web.body import read_json
from localsrv.web.context import app, database, param
from localsrv.web.incoming import read_body
from localsrv.web.routes import ADMIN, Route
from localsrv.web.users import reviewer

IN_THREAD = 256 * 1024
"""Bodies from this size on are parsed in a thread, so that others need not wait."""


async def list_collections(request: web.Request) -> web.Response:
    here = app(request)
    return json_answer({"collections": collections_info(here.database), "updated_at": await changed_at(here)})


async def put_collection(request: web.Request) -> web.Response:
    db, name = database(request), param(request, "collection")
    created = name not in db.collections
    changes = await _define(db, {name: await read_json(request)})
    return json_answer({"collection": collection_info(db, name), "changes": changes}, 201 if created else 200)


async def put_collections(request: web.Request) -> web.Response:
    """Several at once, so that relations between them resolve together; all or none."""
    db, body = database(request), await read_json(request)
    if not isinstance(body, dict) or not body:
        raise BadRequest("The body must be an object: collection → definition.")
    created = any(name not in db.collections for name in body)
    changes = await _define(db, body)
    infos = [collection_info(db, name) for name in sorted(body)]
    return json_answer({"collections": infos, "changes": changes}, 201 if created else 200)


async def _define(db: Database, definitions: Mapping[str, Any]) -> list[str]:
    parsed = {}
    for name, value in definitions.items():
        if not isinstance(value, dict):
            raise BadRequest(f"The definition of `{name}` must be an object.", details=name)
        parsed[name] = parse_collection(name, value)
    return await db.define(parsed)


async def drop_collection(request: web.Request) -> web.Response:
    db, name = database(request), param(request, "collection")
    await db.drop(name)
    return json_answer({"removed": name})


async def import_documents(request: web.Request) -> web.Response:
    db, name = database(request), param(request, "collection")
    db.collection(name)
    documents = await _documents(request)
    result = await db.import_documents(name, documents, await reviewer(request, name))
    shown = [{"id": v.id, "kind": v.kind, "message": v.message} for v in result.violations]
    return json_answer(
        {
            "created": result.created,
            "updated": result.updated,
            "unchanged": result.unchanged,
            "violations": shown,
            "violation_count": result.violation_count,
        }
    )


async def _documents(request: web.Request) -> list[dict[str, Any]]:
    reader = _READERS.get(request.content_type)
    if reader is None:
        raise UnsupportedMediaType(
            "This takes JSON or NDJSON.",
            details=request.content_type,
            hint="Send Content-Type: application/json or application/x-ndjson.",
        )
    data = await read_body(request)
    documents = reader(data) if len(data) < IN_THREAD else await asyncio.to_thread(reader, data)
    if not isinstance(documents, list):
        raise BadRequest("The body must be a list of documents.")
    for at, document in enumerate(documents):
        if not isinstance(document, dict):
            raise BadRequest("A document must be a JSON object.", details=f"document {at + 1}")
    return documents


def _lines(data: bytes) -> list[Any]:
    return [
        parse_json(line, where=f"document in line {number}")
        for number, line in enumerate(data.split(b"\n"), 1)
        if line.strip()
    ]


_READERS: Mapping[str, Callable[[bytes], Any]] = {
    "application/json": parse_json,
    "application/x-ndjson": _lines,
    "application/ndjson": _lines,
    "application/jsonl": _lines,
}

_BASE = "/api/v1/apps/{app}/collections"
_VIOLATION = obj("*", id=TEXT, kind=TEXT, message=TEXT)

ROUTES = (
    Route(
        "GET",
        _BASE,
        list_collections,
        "*:read",
        "The app's collections with their definitions and counts, and when it was last changed",
        response=obj("*", collections=array(COLLECTION), updated_at=TEXT),
    ),
    Route(
        "PUT",
        _BASE,
        put_collections,
        ADMIN,
        "Creates or changes several collections at once",
        request={"type": "object", "additionalProperties": DEFINITION},
        response=obj("*", collections=array(COLLECTION), changes=CHANGES),
        statuses=(200, 201),
    ),
    Route(
        "PUT",
        _BASE + "/{collection}",
        put_collection,
        ADMIN,
        "Creates a collection, or changes its definition",
        request=DEFINITION,
        response=obj("*", collection=COLLECTION, changes=CHANGES),
        statuses=(200, 201),
    ),
    Route(
        "DELETE",
        _BASE + "/{collection}",
        drop_collection,
        ADMIN,
        "Drops a collection with its documents",
        response=obj("*", removed=TEXT),
    ),
    Route(
        "POST",
        _BASE + "/{collection}/import",
        import_documents,
        ADMIN,
        "Takes documents as they are: unchanged ones stay, what breaks a rule is stored and listed",
        request=array({"type": "object"}),
        response=obj(
            "*",
            created=NUMBER,
            updated=NUMBER,
            unchanged=NUMBER,
            violations=array(_VIOLATION),
            violation_count=NUMBER,
        ),
    ),
)
