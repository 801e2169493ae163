"""What the admin face says of apps, collections and keys, with the JSON Schemas of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from localsrv.base.errors import LocalsrvError
from localsrv.model.schema_json import as_json
from localsrv.model.scopes import Grant
from localsrv.services.apps import App
from localsrv.store.database import Database
from localsrv.web.context import Services

Json = dict[str, Any]


def timestamp(seconds: int | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def collection_info(database: Database, name: str) -> Json:
    state = database.collections[name]
    return {
        "name": name,
        "title": state.definition.title,
        "documents": state.documents,
        "definition": as_json(state.definition),
    }


def collections_info(database: Database) -> list[Json]:
    """The collections that hold people's documents: CouchDB's system databases are none of them."""
    names = sorted(name for name in database.collections if not name.startswith("_"))
    return [collection_info(database, name) for name in names]


async def changed_at(app: App) -> str:
    """When the app was last changed, be it its data or what it is, as ISO 8601 in UTC."""
    return max(await app.database.updated_at() or "", timestamp(app.row.updated_at) or "")


async def app_info(services: Services, app: str) -> Json:
    """An app as it stands. One whose file refuses says why in `error` instead of its collections."""
    row = services.apps.row(app)
    info: Json = {
        "id": app,
        "title": row.title,
        "version": row.version,
        "url": services.addresses.app_url(app),
        "path_url": services.addresses.path_url(app),
        "port": services.ports.chosen(app),
        "port_error": error.as_dict() if (error := services.ports.errors.get(app)) else None,
        "has_ui": services.apps.hosted(app).ui is not None,
        "size_bytes": await services.apps.size_bytes(app),
        "created_at": timestamp(row.created_at),
        "updated_at": timestamp(row.updated_at),
        "collections": [],
        "error": None,
    }
    try:
        opened = await services.apps.open(app)
        info["collections"] = collections_info(opened.database)
        info["updated_at"] = await changed_at(opened)
    except LocalsrvError as refusal:
        info["error"] = refusal.as_dict()
    return info


def key_info(grant: Grant) -> Json:
    return {
        "id": grant.id,
        "kind": grant.kind,
        "name": grant.name,
        "app": grant.app,
        "scopes": sorted(grant.scopes),
        "origin": grant.origin,
        "created_at": timestamp(grant.created_at),
        "last_used_at": timestamp(grant.last_used_at),
        "expires_at": timestamp(grant.expires_at),
    }


# ── JSON Schemas ───────────────────────────────────────────────────────────────────────────────────────────

TEXT: Mapping[str, Any] = {"type": "string"}
NUMBER: Mapping[str, Any] = {"type": "integer"}
FLAG: Mapping[str, Any] = {"type": "boolean"}
TEXT_OR_NULL: Mapping[str, Any] = {"type": ["string", "null"]}
ANY_VALUE: Mapping[str, Any] = {}


def obj(required: str = "", **properties: Mapping[str, Any]) -> Json:
    """An object's schema. `required` lists names, separated by spaces; `*` means all."""
    names = list(properties) if required == "*" else required.split()
    return {"type": "object", "properties": dict(properties), **({"required": names} if names else {})}


def array(items: Mapping[str, Any]) -> Json:
    return {"type": "array", "items": dict(items)}


ERROR = obj("code message", code=TEXT, message=TEXT, details=TEXT_OR_NULL, hint=TEXT_OR_NULL)
ERROR_OR_NULL: Json = {"anyOf": [ERROR, {"type": "null"}]}
DEFINITION: Json = {"type": "object", "description": "A collection's definition, as in app.toml."}
COLLECTION = obj("*", name=TEXT, title=TEXT_OR_NULL, documents=NUMBER, definition=DEFINITION)
APP = obj(
    "*",
    id=TEXT,
    title=TEXT_OR_NULL,
    version=TEXT_OR_NULL,
    url=TEXT,
    path_url=TEXT,
    port={"type": ["integer", "null"]},
    port_error=ERROR_OR_NULL,
    has_ui=FLAG,
    size_bytes=NUMBER,
    created_at=TEXT,
    updated_at=TEXT,
    collections=array(COLLECTION),
    error=ERROR_OR_NULL,
)
SCOPES = array({"type": "string", "examples": ["items:read", "*:write", "sync", "admin"]})
KIND = {"enum": ["key", "page", "paired", "publishable"]}
KEY = obj(
    "*",
    id=TEXT,
    kind=KIND,
    name=TEXT,
    app=TEXT,
    scopes=SCOPES,
    origin=TEXT_OR_NULL,
    created_at=TEXT,
    last_used_at=TEXT_OR_NULL,
    expires_at=TEXT_OR_NULL,
)
CHANGES = array(TEXT)
