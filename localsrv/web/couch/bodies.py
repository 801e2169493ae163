"""Reading the JSON bodies of the sync face."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from aiohttp import hdrs, web

from localsrv.model.json_text import parse_json
from localsrv.web.couch.errors import JSON, CouchError
from localsrv.web.incoming import read_body

parse = partial(parse_json, may_hold_nul=True, may_be_wide=True)
"""As every body and parameter of the face is read: documents that are on other devices already must sync."""

_INLINE_BYTES = 1 << 20
"""Larger bodies are parsed in a thread: a hop costs as much as parsing a small one."""


def require_json(request: web.Request) -> None:
    """A POST must say that it sends JSON, so that no page's form can pass for it.

    Raises:
        CouchError: 415.
    """
    if request.headers.get(hdrs.CONTENT_TYPE) is None or request.content_type != JSON:
        raise CouchError(415, "bad_content_type", "Content-Type must be application/json")


async def read_json(request: web.Request) -> Any:
    """The body as a value, strictly (`model.json_text`). Raises BadRequest, InvalidValue."""
    data = await read_body(request)
    return parse(data) if len(data) <= _INLINE_BYTES else await asyncio.to_thread(parse, data)


async def read_object(request: web.Request) -> dict[str, Any]:
    """The body of a POST as a JSON object. Raises as `require_json` and `read_json`, and CouchError."""
    require_json(request)
    value = await read_json(request)
    if not isinstance(value, dict):
        raise CouchError(400, "bad_request", "Request body must be a JSON object")
    return value
