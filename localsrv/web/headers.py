"""The headers that every answer carries."""

from __future__ import annotations

from aiohttp import hdrs, web
from multidict import istr

NOSNIFF = istr("X-Content-Type-Options")
RESOURCE_POLICY = istr("Cross-Origin-Resource-Policy")
REFERRER_POLICY = istr("Referrer-Policy")

EXPOSED_HEADERS = (
    "Accept-Ranges, Content-Disposition, Content-Location, Content-Range, ETag, Location, Preference-Applied"
)


def decorate(response: web.StreamResponse, cors_origin: str | None) -> None:
    """Adds them. A handler that starts its own stream calls this before; all others need not."""
    headers = response.headers
    headers[hdrs.SERVER] = "localsrv"  # without versions, which only help those who look for holes
    headers[NOSNIFF] = "nosniff"
    headers.setdefault(RESOURCE_POLICY, "same-origin")
    headers.setdefault(REFERRER_POLICY, "no-referrer")
    if cors_origin is not None:
        allow_origin(response, cors_origin)


def allow_origin(response: web.StreamResponse, origin: str) -> None:
    """Lets pages of `origin` read the answer. Cookies carry no authority here, so credentials stay off."""
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS
    response.headers.add(hdrs.VARY, "Origin")
