"""/api/v1/secrets, /api/v1/apps/{app}/secrets: named secrets are written, listed, removed, never read."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from localsrv.base.errors import BadRequest
from localsrv.services.secrets import OF_INTEGRATIONS, Secret, Secrets
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import TEXT, TEXT_OR_NULL, array, obj, timestamp
from localsrv.web.body import read_object
from localsrv.web.context import grant, param, params, require, services
from localsrv.web.routes import ADMIN, Route

SECRETS_USE = "secrets:use"


async def list_all(request: web.Request) -> web.Response:
    return json_answer({"secrets": [_info(secret) for secret in _secrets(request).all()]})


async def list_own(request: web.Request) -> web.Response:
    return json_answer({"secrets": [_info(s) for s in _secrets(request).names(param(request, "app"))]})


async def put(request: web.Request) -> web.Response:
    body = await read_object(request, value=str)
    if "value" not in body:
        raise BadRequest("`value` is missing.", details="value")
    app, name = _place(request)
    is_new = await _secrets(request).set(app, name, body["value"], grant=grant(request))
    return json_answer({"name": name, "app": app}, status=201 if is_new else 200)


async def remove(request: web.Request) -> web.Response:
    app, name = _place(request)
    await _secrets(request).remove(app, name, grant=grant(request))
    return json_answer({"removed": name, "app": app})


def _place(request: web.Request) -> tuple[str | None, str]:
    """App and name. Those of integrations are the owner's alone: whoever replaced one would have what an app
    sends go to an account of another."""
    name = param(request, "name")
    if name.lower().startswith(OF_INTEGRATIONS):
        require(request, ADMIN)
    return params(request).get("app"), name


def _secrets(request: web.Request) -> Secrets:
    found: Secrets = services(request).extra[Secrets]
    return found


def _info(secret: Secret) -> dict[str, Any]:
    return {"name": secret.name, "app": secret.app, "updated_at": timestamp(secret.updated_at)}


_LIST = obj("*", secrets=array(obj("*", name=TEXT, app=TEXT_OR_NULL, updated_at=TEXT)))
_VALUE = obj("value", value=TEXT)
_STORED = obj("*", name=TEXT, app=TEXT_OR_NULL)
_REMOVED = obj("*", removed=TEXT, app=TEXT_OR_NULL)


def _routes(place: str, scope: str, whose: str) -> tuple[Route, ...]:
    one = place + "/{name}"
    return (
        Route(
            "PUT", one, put, scope, f"Stores or replaces a secret of {whose}; nobody can read it back",
            request=_VALUE, response=_STORED, statuses=(200, 201),
        ),
        Route("DELETE", one, remove, scope, f"Removes a secret of {whose}", response=_REMOVED),
    )  # fmt: skip


ROUTES = (
    Route("GET", "/api/v1/secrets", list_all, ADMIN, "The names of all secrets", response=_LIST),
    *_routes("/api/v1/secrets", ADMIN, "the server, which all apps may use"),
    Route(
        "GET",
        "/api/v1/apps/{app}/secrets",
        list_own,
        SECRETS_USE,
        "The names of the app's own secrets",
        response=_LIST,
    ),
    *_routes("/api/v1/apps/{app}/secrets", SECRETS_USE, "the app"),
)
