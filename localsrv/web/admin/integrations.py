"""/api/v1/apps/{app}/integrations: which outside services an app may call, and how.

What the manifest asks for is shown beside what the owner set. Secrets are written and never read back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from localsrv.base.errors import Forbidden, InvalidValue, LocalsrvError
from localsrv.model.integrations import Integration
from localsrv.services.integrations.calls import Asked, Calls
from localsrv.services.integrations.registry import Registry
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import FLAG, NUMBER, TEXT, TEXT_OR_NULL, array, obj, timestamp
from localsrv.web.body import read_object
from localsrv.web.context import app, grant, param, services
from localsrv.web.routes import ADMIN, Route

PATH = "/api/v1/apps/{app}/integrations"


def _registry(request: web.Request) -> Registry:
    found: Registry = services(request).extra[Registry]
    return found


async def list_all(request: web.Request) -> web.Response:
    own, here = _registry(request), app(request).id
    return json_answer({"integrations": [await _info(own, here, name) for name in own.names(here)]})


async def show(request: web.Request) -> web.Response:
    return await _answer(request)


async def put(request: web.Request) -> web.Response:
    body = dict(
        await read_object(
            request,
            base_url=str,
            auth=(str, dict),
            methods=list,
            paths=list,
            hosts=list,
            limits=dict,
            cache=bool,
            secret=str,
            client_secret=str,
        )
    )
    secret, client_secret = body.pop("secret", None), body.pop("client_secret", None)
    _check_hosts(request, body.get("hosts", ()))
    await _registry(request).set(
        app(request).id,
        param(request, "integration"),
        body,
        secret=secret,
        client_secret=client_secret,
        grant=grant(request),
    )
    return await _answer(request)


def _check_hosts(request: web.Request, hosts: Sequence[object]) -> None:
    """Raises Forbidden when an app's own administrator names a host that may be reached though it is not
    public: what listens on this computer and around it is not that app's."""
    if grant(request).allows(None, ADMIN):
        return
    found = _registry(request).find(app(request).id, param(request, "integration"))
    known = found.hosts if found else ()
    if any(not isinstance(host, str) or host.lower() not in known for host in hosts):
        raise Forbidden(
            "Hosts that are not public are named by who owns the server.",
            code="owner-needed",
            details="hosts",
            hint="Use a key with the scope admin for all apps, or leave `hosts` out.",
        )


async def remove(request: web.Request) -> web.Response:
    await _registry(request).remove(app(request).id, param(request, "integration"), grant(request))
    return json_answer({"removed": param(request, "integration")})


async def clear(request: web.Request) -> web.Response:
    count = await _registry(request).clear(app(request).id, param(request, "integration"))
    return json_answer({"cleared": count})


async def test(request: web.Request) -> web.Response:
    """One GET as an app would make it; what the service says beyond its status is nobody's business here."""
    calls: Calls = services(request).extra[Calls]
    body = await read_object(request, path=str) if request.can_read_body else {}
    path = body.get("path", "")
    if path and not path.startswith("/"):
        raise InvalidValue("`path` must begin with a slash.", details="path")
    raw, _, query = path.partition("?")
    _registry(request).get(app(request).id, param(request, "integration"))
    asked = Asked("GET", raw, query, (("Accept", "*/*"), ("Cache-Control", "no-store")))
    began = time.monotonic()
    try:
        answer = await calls.call(app(request).id, param(request, "integration"), grant(request), asked)
    except LocalsrvError as error:
        return json_answer({"ok": False, "status": None, "ms": _ms(began), "error": error.as_dict()})
    answer.close()
    is_fine = answer.status < 400
    return json_answer({"ok": is_fine, "status": answer.status, "ms": _ms(began), "error": None})


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


async def _answer(request: web.Request) -> web.Response:
    own, name = _registry(request), param(request, "integration")
    if name not in own.names(app(request).id):
        own.get(app(request).id, name)
    return json_answer(await _info(own, app(request).id, name))


async def _info(own: Registry, app_id: str, name: str) -> dict[str, Any]:
    """An integration as it stands, without its secret."""
    asked, found = own.asked(app_id).get(name), own.find(app_id, name)
    return {
        "app": app_id,
        "name": name,
        "title": asked.title if asked else name,
        "asked": asked.as_json() if asked else None,
        "settings": found.as_json() if found else None,
        "health": await _health(own, app_id, name) if found else None,
        "more_asked": _more(found, own, app_id, name),
    }


def _more(found: Integration | None, own: Registry, app_id: str, name: str) -> list[str]:
    """What the manifest asks for that the owner did not allow, such as after an update of the app."""
    asked = own.asked(app_id).get(name)
    if found is None or asked is None:
        return []
    methods = [m for m in asked.methods if m not in found.methods]
    return methods + [p for p in asked.paths if p not in found.paths and "/**" not in found.paths]


async def _health(own: Registry, app_id: str, name: str) -> dict[str, Any]:
    health = own.health((app_id, name))
    now = asyncio.get_running_loop().time()
    count, size = await own.cached(app_id, name)
    return {
        "state": health.breaker.state(now),
        "next_try_in_s": round(health.breaker.left_s(now), 1),
        "failures": health.breaker.failures,
        "calls": health.calls,
        "last_error": health.error,
        "last_error_at": timestamp(health.error_at),
        "cached": count,
        "cached_bytes": size,
    }


_AUTH = {"description": "A kind of authentication, or {kind, …}: see docs/integrations.md."}
_LIMITS = {"type": "object", "additionalProperties": {"type": "number"}}
_TEXTS = array(TEXT)
_SETTINGS = {
    "base_url": TEXT,
    "auth": _AUTH,
    "methods": _TEXTS,
    "paths": _TEXTS,
    "hosts": _TEXTS,
    "limits": _LIMITS,
    "cache": FLAG,
}
_ASK = obj("", title=TEXT, why=TEXT, base_url=TEXT_OR_NULL, auth=_AUTH, methods=_TEXTS, paths=_TEXTS)
_OR_NULL = {"type": ["object", "null"]}
_INFO = obj(
    "*",
    app=TEXT,
    name=TEXT,
    title=TEXT,
    asked={**_ASK, **_OR_NULL},
    settings={**obj("*", **_SETTINGS), **_OR_NULL},
    health={
        **obj(
            "*",
            state={"enum": ["closed", "open", "half-open"]},
            next_try_in_s={"type": "number"},
            failures=NUMBER,
            calls=NUMBER,
            last_error=TEXT_OR_NULL,
            last_error_at=TEXT_OR_NULL,
            cached=NUMBER,
            cached_bytes=NUMBER,
        ),
        **_OR_NULL,
    },
    more_asked=_TEXTS,
)

ROUTES = (
    Route(
        "GET",
        PATH,
        list_all,
        ADMIN,
        "The outside services that the app asks for or may call, and how they fare",
        response=obj("*", integrations=array(_INFO)),
    ),
    Route("GET", PATH + "/{integration}", show, ADMIN, "One of them", response=_INFO),
    Route(
        "PUT",
        PATH + "/{integration}",
        put,
        ADMIN,
        "Sets one up or changes it; what is not given stays, or is as asked for; secrets go to the vault",
        request=obj("", **_SETTINGS, secret=TEXT, client_secret=TEXT),
        response=_INFO,
    ),
    Route(
        "DELETE",
        PATH + "/{integration}",
        remove,
        ADMIN,
        "Forgets the settings of one, its secret and its answers",
        response=obj("*", removed=TEXT),
    ),
    Route(
        "DELETE",
        PATH + "/{integration}/cache",
        clear,
        ADMIN,
        "Forgets the answers that were kept of one",
        response=obj("*", cleared=NUMBER),
    ),
    Route(
        "POST",
        PATH + "/{integration}/test",
        test,
        ADMIN,
        "Tries one with a GET of its base, or of `path`; the answer's content is not told",
        request=obj("", path=TEXT),
        response=obj(
            "*", ok=FLAG, status={"type": ["integer", "null"]}, ms=NUMBER, error={"type": ["object", "null"]}
        ),
    ),
)
