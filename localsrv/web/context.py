"""What a handler may ask of its request, typed: the services, the grant, the app's database, the path.

`services(request)`, `grant(request)`, `database(request)`, `param(request, name)`, `require(request, scope)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from localsrv.base.errors import Forbidden, LocalsrvError, NotFound, Unauthenticated
from localsrv.model.scopes import ADMIN
from localsrv.web.flight import Flight
from localsrv.web.headers import Cors

if TYPE_CHECKING:
    from localsrv.model.scopes import Grant
    from localsrv.services.apps import App, Apps
    from localsrv.services.audit import Audit
    from localsrv.services.codes import Codes
    from localsrv.services.grants import Grants
    from localsrv.services.ports import AppPorts
    from localsrv.services.signing import Signer
    from localsrv.store.database import Database
    from localsrv.web.addresses import Addresses, Site
    from localsrv.web.routes import Route


@dataclass(slots=True)
class Services:
    """Everything the web layer works with; `server` makes it, after the port is bound.

    `status` gives the part of /api/v1/status that only the process knows, and tries the vault first when
    called with True; `prove` proves knowledge of the owner token (`base.proof`, its last three);
    `stop` asks the process to leave.
    `max_body` bounds bodies that are read whole, `max_upload` those that are streamed, both in bytes.
    `sign_in_failed` notes an error of a sign-in that failed, if it is one, and gives the error to tell.
    `extra` holds services that come with a feature's own routes, each by its class.
    """

    addresses: Addresses
    apps: Apps
    ports: AppPorts
    grants: Grants
    audit: Audit
    codes: Codes
    signer: Signer
    status: Callable[[bool], Awaitable[Mapping[str, Any]]]
    prove: Callable[[str, str, int], str]
    stop: Callable[[], None]
    allowed_origins: frozenset[str] = frozenset()
    max_body: int = 64 << 20
    max_upload: int = 4 << 30
    sign_in_failed: Callable[[web.Request, LocalsrvError], LocalsrvError] = lambda request, error: error
    extra: dict[type, Any] = field(default_factory=dict)
    flight: Flight = field(default_factory=Flight)


@dataclass(slots=True)
class Call:
    """One request after the guard and the scope check. `grant` is None on open routes alone."""

    route: Route
    params: Mapping[str, str]
    site: Site
    app: App | None
    grant: Grant | None


SERVICES = web.AppKey("services", Services)
APPLICATION = web.RequestKey("application", web.Application)
"""aiohttp's own `request.app` comes with its router, which is not used (`web.dispatch`)."""
CALL = web.RequestKey("call", Call)
CORS = web.RequestKey("cors", Cors)
"""The other origin that may read the answer, where there is one. A handler that begins its own stream hands
it to `web.headers.decorate`."""


def services(request: web.Request) -> Services:
    return request[APPLICATION][SERVICES]


def call(request: web.Request) -> Call:
    return request[CALL]


def param(request: web.Request, name: str) -> str:
    """A segment of the path, decoded."""
    return request[CALL].params[name]


def params(request: web.Request) -> Mapping[str, str]:
    return request[CALL].params


def grant(request: web.Request) -> Grant:
    """Who asks.

    Raises:
        Unauthenticated: an open route, and no token came.
    """
    found = request[CALL].grant
    if found is None:
        raise Unauthenticated("This needs a token.", hint="Send `Authorization: Bearer <token>`.")
    return found


def app(request: web.Request) -> App:
    """The app that the path or the host names; its database is open."""
    found = request[CALL].app
    if found is None:
        raise NotFound("No app is named here.", code="app-not-found")
    return found


def database(request: web.Request) -> Database:
    """The database of the app that the path or the host names."""
    return app(request).database


def require(request: web.Request, *scopes: str) -> None:
    """Checks scopes that only the handler knows, such as those of embedded collections.

    Raises:
        Forbidden: the grant lacks one; the message names it.
    """
    here = request[CALL]
    holder = grant(request)
    app_id = None if here.app is None else here.app.id
    for scope in scopes:
        if not holder.allows(app_id, scope):
            raise scope_missing(scope)


def scope_missing(scope: str) -> Forbidden:
    """The error of a key that lacks a scope. What begins with an underscore is for admins alone."""
    if scope.startswith("_"):
        scope = ADMIN
    return Forbidden(
        f"This key lacks the scope `{scope}`.",
        code="scope-missing",
        details=scope,
        hint=f"Make a key that has it: localsrv key create NAME --scope {scope}",
    )
