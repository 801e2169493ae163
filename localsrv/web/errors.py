"""Errors as /api/v1 answers them, and the few that only HTTP has."""

from __future__ import annotations

import orjson
from aiohttp import web

from localsrv.base.errors import BadRequest, Forbidden, LocalsrvError, TooLarge


class MethodNotAllowed(BadRequest):
    """The path exists, the method does not. `allowed` lists those that do."""

    status = 405
    code = "method-not-allowed"

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        names = ", ".join(allowed)
        super().__init__(f"{method} is not possible here.", details=names, hint=f"Possible: {names}.")
        self.allowed = allowed


class MisdirectedRequest(BadRequest):
    """The Host header names something that this server is not (RFC 9110, 421)."""

    status = 421
    code = "foreign-host"


class ForeignOrigin(Forbidden):
    """A page that holds no grant asked for something."""

    code = "foreign-origin"


def render(error: LocalsrvError) -> web.Response:
    """The admin face's error body: {"code", "message", "details", "hint"}."""
    response = web.Response(
        status=error.status, body=orjson.dumps(error.as_dict()), content_type="application/json"
    )
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allowed)
    return response


def from_aiohttp(error: web.HTTPException) -> LocalsrvError:
    """aiohttp's own refusals in our tree."""
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return TooLarge(
            "The body is too large.", hint="Send it in parts, or raise `max_body_mb` in the settings."
        )
    if 400 <= error.status < 500:
        wrapped: LocalsrvError = BadRequest(error.reason or "The request cannot be understood.")
        wrapped.status = error.status  # type: ignore[misc]
        return wrapped
    return LocalsrvError("Something went wrong in the server.", hint="Its log says what.")
