"""OpenAPI 3.1 documents made from the route table: the whole server's, and each app's for its collections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

import localsrv
from localsrv.model.schema import Collection, Field, FieldType
from localsrv.model.scopes import read
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import ERROR
from localsrv.web.context import APPLICATION, app, database, grant, services
from localsrv.web.routes import ADMIN, ANY, OPEN, Face, Route

Json = dict[str, Any]

SERVED = web.AppKey("served", tuple[tuple[str, Route], ...])
"""Every route with the path that the server's own host serves it at."""

_STATUS_TEXTS = {
    200: "Done",
    201: "Created",
    202: "Begun",
    204: "Done; no body",
    206: "A part",
    304: "Unchanged",
}

_FIELD_SCHEMAS: Mapping[FieldType, Mapping[str, Any]] = {
    FieldType.TEXT: {"type": "string"},
    FieldType.INTEGER: {"type": "integer", "format": "int64"},
    FieldType.NUMBER: {"type": "number"},
    FieldType.DECIMAL: {
        "type": ["number", "string"],
        "description": "A text where a number would lose digits.",
    },
    FieldType.BOOLEAN: {"type": "boolean"},
    FieldType.DATE: {"type": "string", "format": "date"},
    FieldType.TIME: {"type": "string", "format": "time"},
    FieldType.TIMESTAMP: {"type": "string"},
    FieldType.TIMESTAMPTZ: {"type": "string", "format": "date-time"},
    FieldType.UUID: {"type": "string", "format": "uuid"},
    FieldType.JSON: {},
}


async def server_document(request: web.Request) -> web.Response:
    """The document of all routes."""
    paths: dict[str, Json] = {}
    for path, route in request[APPLICATION][SERVED]:
        paths.setdefault(plain_path(path), {})[member(route.method)] = operation(path, route)
    return json_answer(_document("localsrv", services(request).addresses.url, paths, {}))


async def app_document(request: web.Request) -> web.Response:
    """The document of one app: each collection that the grant may read, with its fields."""
    here, holder = app(request), grant(request)
    base = services(request).addresses.path_url(here.id)
    routes = [route for _, route in request[APPLICATION][SERVED] if route.face is Face.REST]
    known = database(request).collections
    readable = {n: s.definition for n, s in sorted(known.items()) if holder.allows(here.id, read(n))}
    paths, schemas = collection_paths(routes, readable)
    return json_answer(_document(here.row.title or here.id, base, paths, schemas))


def _document(title: str, url: str, paths: Mapping[str, Json], schemas: Mapping[str, Json]) -> Json:
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": localsrv.__version__},
        "servers": [{"url": url}],
        "security": [{"bearer": []}, {"apikey": []}],
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR, **schemas},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apikey": {"type": "apiKey", "in": "header", "name": "apikey"},
            },
        },
    }


def plain_path(path: str) -> str:
    """A route's path as OpenAPI writes it: it has no word for parameters that take the rest of the path."""
    return path.replace("...}", "}")


def member(method: str) -> str:
    """The name of an operation in a path item. COPY, which OpenAPI does not know, is an extension."""
    return "x-copy" if method == "COPY" else method.lower()


def operation(path: str, route: Route, fixed: Mapping[str, str] | None = None) -> Json:
    """A route as an OpenAPI operation. `fixed` are path parameters that `path` has values for already."""
    fixed = fixed or {}
    path = plain_path(path)
    names = re.findall(r"\{(\w+)\}", path)
    parameters: list[Json] = [
        {"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names
    ]
    parameters += [
        {"name": n, "in": "query", "description": text, "schema": {"type": "string"}}
        for n, text in route.query.items()
    ]
    words = re.findall(r"\w+", path)
    described: Json = {
        "operationId": "_".join([route.method.lower(), *words]),
        "summary": route.summary,
        "tags": [route.face.value],
        "responses": _responses(route),
    }
    if parameters:
        described["parameters"] = parameters
    if route.request is not None:
        media_type = "application/x-www-form-urlencoded" if route.form else "application/json"
        described["requestBody"] = {"content": {media_type: {"schema": _plain(route.request)}}}
    if route.scope is OPEN:
        described["security"] = []
    else:
        scope = route.scope
        for name, value in fixed.items():
            scope = scope.replace(f"{{{name}}}", value)
        described["x-scope"] = {ANY: "any grant of the app", ADMIN: "admin"}.get(scope, scope)
    return described


def _plain(value: Any) -> Any:
    """A schema without the read-only mappings that route tables are made of."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _responses(route: Route) -> Json:
    answers: Json = {}
    for status in route.statuses:
        answer: Json = {"description": _STATUS_TEXTS.get(status, "Done")}
        if route.response is not None and status not in (204, 304):
            answer["content"] = {"application/json": {"schema": _plain(route.response)}}
        answers[str(status)] = answer
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    answers["default"] = {"description": "Refused or failed", "content": error}
    return answers


def collection_paths(
    routes: Iterable[Route], collections: Mapping[str, Collection]
) -> tuple[dict[str, Json], dict[str, Json]]:
    """Paths (below the app's base) and schemas of the collections."""
    paths: dict[str, Json] = {}
    schemas: dict[str, Json] = {}
    routes = list(routes)
    for name, definition in collections.items():
        schemas[name] = collection_schema(definition)
        for route in routes:
            if "{collection}" not in route.path:
                continue
            path = route.path.replace("{collection}", name)
            described = operation(path, route, {"collection": name})
            row: Json = {"$ref": f"#/components/schemas/{name}"}
            if route.method == "GET":
                content = {"application/json": {"schema": {"type": "array", "items": row}}}
                described["responses"]["200"] = {"description": "Rows", "content": content}
            elif route.method in ("POST", "PUT", "PATCH"):
                schema = {"anyOf": [row, {"type": "array", "items": row}]} if route.method == "POST" else row
                described["requestBody"] = {"content": {"application/json": {"schema": schema}}}
            paths.setdefault(path, {})[route.method.lower()] = described
    return paths, schemas


def collection_schema(collection: Collection) -> Json:
    """The JSON Schema of a row."""
    properties: dict[str, Json] = {}
    if not collection.key:
        properties["id"] = {"type": "string"}
    properties |= {f.name: _field_schema(f, collection) for f in collection.fields}
    schema: Json = {"type": "object", "properties": properties}
    if collection.title:
        schema["title"] = collection.title
    if collection.strict:
        schema["additionalProperties"] = False
    if required := [
        f.name for f in collection.fields if f.required and f.default is None and not f.default_call
    ]:
        schema["required"] = required
    return schema


def _field_schema(field: Field, collection: Collection) -> Json:
    schema: Json = dict(_FIELD_SCHEMAS[field.type])
    if "type" in schema and not field.required and field.name not in collection.key:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*kinds, "null"]
    if field.default is not None:
        schema["default"] = field.default
    return schema


_DOCUMENT: Mapping[str, Any] = {"type": "object", "required": ["openapi", "info", "paths"]}

ROUTES = (
    Route("GET", "/api/v1/openapi.json", server_document, ADMIN, "This document", response=_DOCUMENT),
    Route(
        "GET",
        "/api/v1/apps/{app}/openapi.json",
        app_document,
        ANY,
        "The collections that the token may read, as OpenAPI",
        response=_DOCUMENT,
    ),
)

APP_ROUTES = (
    Route(
        "GET",
        "/rest/v1/",
        app_document,
        ANY,
        "The collections that the token may read, as OpenAPI",
        response=_DOCUMENT,
        face=Face.REST,
    ),
)
