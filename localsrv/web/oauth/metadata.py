"""`/.well-known/oauth-authorization-server` (RFC 8414)."""

from __future__ import annotations

from aiohttp import web

from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import TEXT, array, obj
from localsrv.web.context import call
from localsrv.web.oauth.token import DEVICE_GRANT
from localsrv.web.routes import OPEN, Face, Route

SCOPES = (
    "*:read", "*:write", "files:*:read", "files:*:write", "sync", "functions:*", "integrations:*:use",
    "cache:use", "secrets:use", "admin",
)  # fmt: skip


async def metadata(request: web.Request) -> web.Response:
    """By whichever of the server's names it is asked, so that the issuer is the address that was asked."""
    issuer = call(request).site.origin
    return json_answer(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/oauth/authorize",
            "token_endpoint": f"{issuer}/oauth/token",
            "device_authorization_endpoint": f"{issuer}/oauth/device_authorization",
            "revocation_endpoint": f"{issuer}/oauth/revoke",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_GRANT],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": True,
            "scopes_supported": list(SCOPES),
        }
    )


ROUTES = (
    Route(
        "GET",
        "/.well-known/oauth-authorization-server",
        metadata,
        OPEN,
        "Where everything about access is (RFC 8414)",
        response=obj("issuer token_endpoint", issuer=TEXT, token_endpoint=TEXT, scopes_supported=array(TEXT)),
        face=Face.OAUTH,
        any_origin=True,
    ),
)
