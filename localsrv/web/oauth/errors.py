"""OAuth's error bodies (RFC 6749, 5.2), and those of everything else that refuses at these addresses."""

from __future__ import annotations

import re

import orjson
from aiohttp import hdrs, web

from localsrv.base.errors import LocalsrvError
from localsrv.services.asking import OAuthError
from localsrv.web.errors import MethodNotAllowed

NO_STORE = {hdrs.CACHE_CONTROL: "no-store", hdrs.PRAGMA: "no-cache"}
"""RFC 6749, 5.1: for every answer that has a token in it; and an error may be about one."""

_NOT_TOLD = re.compile(r"[^ !#-\[\]-~]")
"""What may not stand in `error_description`: RFC 6749, 5.2."""

_WORDS = {401: "invalid_client", 403: "access_denied", 429: "temporarily_unavailable"}


def render(error: LocalsrvError) -> web.Response:
    """`error` in OAuth's words, and what happened in ours."""
    text = " ".join(part for part in (error.message, error.hint) if part)
    body = {"error": word(error), "error_description": told(text)}
    response = web.Response(
        status=error.status, body=orjson.dumps(body), content_type="application/json", headers=NO_STORE
    )
    if isinstance(error, MethodNotAllowed):
        response.headers[hdrs.ALLOW] = ", ".join(error.allowed)
    if isinstance(error, OAuthError) and error.retry_after_s is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after_s)
    return response


def word(error: LocalsrvError) -> str:
    """OAuth's word for an error."""
    if isinstance(error, OAuthError):
        return error.error
    if error.status >= 500:
        return "server_error" if error.status != 503 else "temporarily_unavailable"
    return _WORDS.get(error.status, "invalid_request")


def told(text: str) -> str:
    """A text as `error_description` may have it."""
    return _NOT_TOLD.sub("'", text)
