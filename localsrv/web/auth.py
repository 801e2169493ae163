"""From a credential to a grant. Memory only: the store is not asked while a request waits."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from multidict import istr

from localsrv.base.errors import BadRequest, Forbidden, Unauthenticated
from localsrv.model.scopes import ALL, Grant
from localsrv.services.grants import Grants
from localsrv.services.sessions import COOKIE, Sessions
from localsrv.web.addresses import Site
from localsrv.web.context import Services, scope_missing
from localsrv.web.context import services as services_of
from localsrv.web.guard import SEC_FETCH_SITE
from localsrv.web.routes import ANY, Face, Route, decoded_segments

if TYPE_CHECKING:
    from collections.abc import Mapping

APIKEY = istr("apikey")


class Authenticator:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._grants = services.grants
        self._signer = services.signer

    def grant(
        self, request: web.Request, route: Route, site: Site, app: str | None, scope: str
    ) -> Grant | None:
        """Who asks, after the scope check. None only for a WebSocket that will send its token first.

        Raises:
            Unauthenticated: no token, an unknown, expired or revoked one.
            Forbidden: it is bound to another origin or app, or lacks the scope.
        """
        signed = False
        if route.face is Face.COUCH:
            found, _ = signed_in(self._services, request, site)
            if found is None:
                raise Unauthenticated(
                    "This needs a token.", hint="Sign in with Basic: `owner` or a key's name, and the token."
                )
        elif (token := token_of(request.headers)) is not None:
            found = self._grants.find(token)
        elif route.signable and "signature" in request.query:
            signed = True
            found = self._grants.by_id(self._signer.verify(decoded_segments(request.raw_path), request.query))
        elif route.late_token and is_websocket(request):
            return None
        else:
            raise Unauthenticated(
                "This needs a token.", hint="Send `Authorization: Bearer <token>` or `apikey`."
            )
        if found is None:
            raise _unknown()
        check(found, request, site, app, scope, signed=signed)
        return found


def late(
    grants: Grants, request: web.Request, token: str, site: Site, app: str | None, scope: str = ANY
) -> Grant:
    """The grant of a token that came in a WebSocket's first message. Raises as `Authenticator.grant`."""
    found = grants.find(token)
    if found is None:
        raise _unknown()
    check(found, request, site, app, scope)
    return found


def check(
    grant: Grant, request: web.Request, site: Site, app: str | None, scope: str, *, signed: bool = False
) -> None:
    """Refuses a grant that is bound to another origin or app, or lacks `scope`.

    A signed URL is not held to the origin: images are asked for without an Origin header.
    """
    if not signed and (grant.origin is not None or grant.kind == "publishable"):
        _check_origin(grant, request, site)
    if scope == ANY:
        if app is not None and grant.app not in (ALL, app):
            raise Forbidden("This token belongs to another app.", code="wrong-app", details=app)
    elif not grant.allows(app, scope):
        if grant.app not in (ALL, app):
            where = "another app" if app else "one app; this is about the whole server"
            raise Forbidden(f"This token belongs to {where}.", code="wrong-app", details=app)
        raise scope_missing(scope)


def _check_origin(grant: Grant, request: web.Request, site: Site) -> None:
    """A page's token is its own; a program may use it, since it is a secret. A publishable key is none, so it
    counts only where a browser says that the app's own page asks.

    `Sec-Fetch-Site: none` is what extensions send that may ask without an Origin; pages cannot make it.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None and request.headers.get(SEC_FETCH_SITE, "none") != "none":
        origin = site.origin
    if grant.kind == "publishable":
        if origin not in services_of(request).addresses.app_origins(grant.app):
            raise Forbidden(
                "A publishable key works in pages of its own app alone.",
                code="wrong-origin",
                details=(origin or "no page")[:200],
                hint="Programs and other pages need a key of their own: localsrv key create NAME",
            )
    elif origin is not None and origin != grant.origin:
        raise Forbidden("This token belongs to another origin.", code="wrong-origin", details=origin[:200])


def signed_in(services: Services, request: web.Request, site: Site) -> tuple[Grant | None, str]:
    """Who signs in on the sync face, and in which of CouchDB's ways (`default` or `cookie`).

    A cookie counts on the face's own port alone, where cookies are switched on, and not for what a browser
    asks on behalf of another page than the one that signed in. Raises as `named`.
    """
    found = named(services.grants, request.headers)
    sessions: Sessions | None = services.extra.get(Sessions) if site.is_couch else None
    if found is not None or sessions is None or not (value := request.cookies.get(COOKIE)):
        return found, "default"
    is_foreign = request.headers.get(SEC_FETCH_SITE, "none") not in ("same-origin", "none")
    if is_foreign and hdrs.ORIGIN not in request.headers:
        return None, "cookie"
    return sessions.find(value, other_page(request, site)), "cookie"


def other_page(request: web.Request, site: Site) -> str | None:
    """The origin of the page that asks, where it is not the site's own; the guard has looked at it."""
    origin = request.headers.get(hdrs.ORIGIN)
    return None if origin == site.origin else origin


def named(grants: Grants, headers: Mapping[str, str]) -> Grant | None:
    """Who signs in on the sync face: by Basic (`owner` or the key's name, and the token) or as elsewhere.

    None when there are no credentials.

    Raises:
        Unauthenticated: name and token do not belong together, or are not known.
        BadRequest: as `token_of`.
    """
    scheme, _, value = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "basic":
        token = token_of(headers)
        found = None if token is None else grants.find(token)
        if token is not None and found is None:
            raise _unknown()
        return found
    try:
        # A token holds no colon, so the last one divides, whatever a key is called.
        name, _, token = base64.b64decode(value.strip(), validate=True).decode().rpartition(":")
    except (binascii.Error, ValueError):
        raise _unknown() from None
    found = grants.find(token)
    if found is None or name not in (found.name, found.id):
        raise _unknown()
    return found


def token_of(headers: Mapping[str, str]) -> str | None:
    """The token that came as `Authorization: Bearer` or `apikey`; the first goes before the second.

    Raises:
        BadRequest: an Authorization header of another scheme or shape.
    """
    value = headers.get(hdrs.AUTHORIZATION)
    if value is None:
        return headers.get(APIKEY)
    if value[:7].lower() != "bearer " or not value[7:].strip():
        raise BadRequest(
            "The Authorization header is not understood.",
            code="malformed-header",
            hint="Send `Authorization: Bearer <token>`.",
        )
    return value[7:].strip()


def is_websocket(request: web.Request) -> bool:
    return request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"


def _unknown() -> Unauthenticated:
    return Unauthenticated(
        "This token is not known, has expired or was revoked.",
        code="bad-token",
        hint="Make another with localsrv key create, or open the page with localsrv open.",
    )
