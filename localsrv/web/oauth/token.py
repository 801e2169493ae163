"""`/oauth/device_authorization`, `/oauth/token`, `/oauth/revoke`: what clients call by themselves.

Pages of every origin may, without credentials: each of these is worth nothing without the person's yes, or
without a secret that this server gave out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from aiohttp import hdrs, web

from localsrv.services.asking import Asked, OAuthError
from localsrv.services.pairing import Pairing
from localsrv.services.tokens import Issued, RefusedScope, RefusedToken, Tokens
from localsrv.services.waiting import LIFETIME_S
from localsrv.web.admin.info import NUMBER, TEXT, obj
from localsrv.web.context import call, services
from localsrv.web.oauth import parameters
from localsrv.web.oauth.errors import NO_STORE
from localsrv.web.oauth.parameters import needed, read_form
from localsrv.web.routes import OPEN, Face, Route

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")


def origin_of(request: web.Request) -> str | None:
    """The page that asks; None for a program. The guard has refused `null`."""
    return request.headers.get(hdrs.ORIGIN)


async def device_authorization(request: web.Request) -> web.Response:
    form = await read_form(request)
    origin = origin_of(request)
    asked = _asked(request, form, origin)
    made, secret = services(request).extra[Pairing].ask(asked)
    pair = f"{services(request).addresses.url}/pair/"
    return _answer(
        {
            "device_code": secret,
            "user_code": made.user_code,
            "verification_uri": pair,
            "verification_uri_complete": f"{pair}?{urlencode({'user_code': made.user_code})}",
            "expires_in": LIFETIME_S,
            "interval": int(made.interval),
        }
    )


def _asked(request: web.Request, form: Mapping[str, str], origin: str | None) -> Asked:
    """Raises OAuthError."""
    site, addresses = call(request).site, services(request).addresses
    name, wanted, app = parameters.client_id(form, origin), parameters.scopes(form), parameters.app(form)
    if wanted is None:
        raise OAuthError("invalid_scope", "`scope` is missing: say what you need, such as items:read.")
    if app is None and site.app is not None and origin == site.origin:
        app = site.app
    is_first_page = site.app is None and origin in addresses.origins
    is_own = is_first_page or (app not in (None, "*") and origin in addresses.app_origins(app or ""))
    return Asked(name, wanted, app, origin, own_page=is_own)


async def token(request: web.Request) -> web.Response:
    form = await read_form(request)
    match needed(form, "grant_type"):
        case "authorization_code":
            issued = await _by_code(request, form)
        case "refresh_token":
            issued = await _by_refresh(request, form)
        case known if known == DEVICE_GRANT:
            pairing = services(request).extra[Pairing]
            name = needed(form, "client_id").strip()
            issued = await pairing.poll(needed(form, "device_code"), name, origin_of(request))
        case other:
            raise OAuthError("unsupported_grant_type", f"`{other[:100]}` is not among the grant types here.")
    return _answer(_told(issued))


async def _by_code(request: web.Request, form: Mapping[str, str]) -> Issued:
    verifier = needed(form, "code_verifier")
    if not _VERIFIER.match(verifier):
        raise OAuthError("invalid_request", "`code_verifier` must have 43 to 128 unreserved characters.")
    pairing: Pairing = services(request).extra[Pairing]
    return await pairing.redeem_code(
        needed(form, "code"),
        needed(form, "client_id").strip(),
        needed(form, "redirect_uri"),
        verifier,
        origin_of(request),
    )


async def _by_refresh(request: web.Request, form: Mapping[str, str]) -> Issued:
    tokens: Tokens = services(request).extra[Tokens]
    wanted = parameters.scopes(form)
    try:
        return await tokens.refresh(needed(form, "refresh_token"), wanted, origin=origin_of(request))
    except RefusedScope:
        raise OAuthError("invalid_scope", "A refresh cannot ask for more than was allowed.") from None
    except RefusedToken:
        raise OAuthError(
            "invalid_grant", "The refresh token is not known, too old, spent, or another page's. Ask anew."
        ) from None


def _told(issued: Issued) -> dict[str, Any]:
    """RFC 6749, 5.1. `app` and `grant_id` are ours: which app was allowed, and the name for Basic."""
    told = {
        "access_token": issued.access,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": " ".join(sorted(issued.scopes)),
        "app": issued.grant.app,
        "grant_id": issued.grant.id,
    }
    return told if issued.refresh is None else {**told, "refresh_token": issued.refresh}


async def revoke(request: web.Request) -> web.Response:
    """RFC 7009, 2.2: an unknown token is as good as a revoked one. Either token of a pair ends both."""
    form = await read_form(request)
    given = needed(form, "token")
    tokens: Tokens = services(request).extra[Tokens]
    if await tokens.revoke(given) is None and services(request).grants.find(given) is not None:
        raise OAuthError(
            "unsupported_token_type", "This is a key. Its owner ends it: localsrv key revoke", status=400
        )
    return web.Response(headers=NO_STORE)


def _answer(value: Mapping[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json", headers=NO_STORE)


_CLIENT = {"client_id": TEXT, "scope": TEXT}
DEVICE = obj(
    "device_code user_code verification_uri expires_in interval",
    device_code=TEXT,
    user_code=TEXT,
    verification_uri=TEXT,
    verification_uri_complete=TEXT,
    expires_in=NUMBER,
    interval=NUMBER,
)
TOKEN = obj(
    "access_token token_type expires_in scope",
    access_token=TEXT,
    token_type={"const": "Bearer"},
    expires_in=NUMBER,
    scope=TEXT,
    refresh_token=TEXT,
    app=TEXT,
    grant_id=TEXT,
)


def _route(path: str, handler: Any, summary: str, **more: Any) -> Route:
    return Route("POST", path, handler, OPEN, summary, face=Face.OAUTH, form=True, any_origin=True, **more)


ROUTES = (
    _route(
        "/oauth/device_authorization",
        device_authorization,
        "Asks the owner for access; the codes to wait with (RFC 8628)",
        request=obj("client_id scope", **_CLIENT, app=TEXT),
        response=DEVICE,
    ),
    _route(
        "/oauth/token",
        token,
        "The tokens for what the owner allowed, and their renewal",
        request=obj(
            "grant_type",
            grant_type={"enum": ["authorization_code", "refresh_token", DEVICE_GRANT]},
            **_CLIENT,
            code=TEXT,
            redirect_uri=TEXT,
            code_verifier=TEXT,
            device_code=TEXT,
            refresh_token=TEXT,
        ),
        response=TOKEN,
    ),
    _route(
        "/oauth/revoke",
        revoke,
        "Ends what a token stands for (RFC 7009)",
        request=obj("token", token=TEXT, token_type_hint=TEXT),
    ),
)
