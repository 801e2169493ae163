"""The headers that every answer carries."""

from __future__ import annotations

from dataclasses import dataclass
from random import getrandbits

from aiohttp import hdrs, web
from multidict import istr

REQUEST_ID = istr("X-Couch-Request-ID")
NOSNIFF = istr("X-Content-Type-Options")
RESOURCE_POLICY = istr("Cross-Origin-Resource-Policy")
REFERRER_POLICY = istr("Referrer-Policy")
OPENER_POLICY = istr("Cross-Origin-Opener-Policy")
CONTENT_POLICY = istr("Content-Security-Policy")

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy of what is no page: opened by itself it loads nothing, and nobody may frame it."""

EXPOSED_HEADERS = (
    "Accept-Ranges, Content-Disposition, Content-Location, Content-Range, ETag, Integration-Error, Location, "
    "Preference-Applied, Retry-After"
)


@dataclass(frozen=True, slots=True)
class Cors:
    """The other origin that may read an answer, and whether when it asked with credentials too."""

    origin: str
    with_credentials: bool = False


def name_request(response: web.StreamResponse) -> None:
    """The sync face's `X-Couch-Request-ID`: what a person quotes of an answer; it proves nothing."""
    response.headers[REQUEST_ID] = f"{getrandbits(40):010x}"


def decorate(response: web.StreamResponse, cors: Cors | None) -> None:
    """Adds them. A handler that starts its own stream calls this before; all others need not."""
    headers = response.headers
    headers[hdrs.SERVER] = "localsrv"  # without versions, which only help those who look for holes
    headers[NOSNIFF] = "nosniff"
    headers.setdefault(RESOURCE_POLICY, "same-origin")
    headers.setdefault(REFERRER_POLICY, "no-referrer")
    headers.setdefault(OPENER_POLICY, "same-origin")
    headers.setdefault(CONTENT_POLICY, NOTHING)
    if cors is not None:
        allow_origin(response, cors)


def allow_origin(response: web.StreamResponse, cors: Cors) -> None:
    """Lets pages of the origin read the answer.

    Cookies carry no authority here, so credentials stay off. The sync face alone allows them: PouchDB asks
    for everything with `credentials: "include"`, and browsers hide the answer from it otherwise.
    """
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = cors.origin
    if cors.with_credentials:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
    response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS
    response.headers.add(hdrs.VARY, "Origin")
