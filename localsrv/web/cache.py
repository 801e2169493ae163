"""`/cache/v1/{key}`: an app's own cache."""

from __future__ import annotations

import re
import time

from aiohttp import hdrs, web

from localsrv.base.errors import BadRequest, InvalidValue, NotFound, PreconditionFailed, TooLarge
from localsrv.model.scopes import CACHE
from localsrv.services.cache import ALWAYS, LONGEST_LIFE_S, MOST_KEY, MOST_VALUE, Cache, Condition, Item
from localsrv.services.caches import Caches
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import FLAG, NUMBER, TEXT_OR_NULL, obj, timestamp
from localsrv.web.body import read_object
from localsrv.web.context import app, param, services
from localsrv.web.headers import CONTENT_POLICY
from localsrv.web.incoming import read_body
from localsrv.web.routes import Face, Route

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:\s*;[\x20-\x7e]*)?\Z")
_TAG = re.compile(r'\s*(?:W/)?"([0-9a-f]*)"\s*\Z')
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=(\d{1,9})(?=[,\s]|$)")
_HARMLESS = re.compile(r"(?:image/(?!svg)|audio/|video/|text/plain\b|application/json\b)")


async def _cache(request: web.Request) -> Cache:
    found: Caches = services(request).extra[Caches]
    return await found.cache()


async def get(request: web.Request) -> web.Response:
    found = await (await _cache(request)).get(app(request).id, _key(request))
    if found is None:
        raise NotFound("The cache has nothing of this key.", code="cache-miss")
    headers = {
        hdrs.ETAG: f'"{found.etag}"',
        hdrs.CACHE_CONTROL: "private, no-cache",
        str(CONTENT_POLICY): "sandbox; default-src 'none'; frame-ancestors 'none'",
    }
    if not _HARMLESS.match(found.content_type.lower()):
        headers[hdrs.CONTENT_DISPOSITION] = "attachment"
    if found.expires_at is not None:
        headers["Cache-Expires"] = timestamp(int(found.expires_at)) or ""
    tags = request.headers.get(hdrs.IF_NONE_MATCH, "")
    if tags.strip() == "*" or found.etag in re.findall(r'"([0-9a-f]*)"', tags):
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = found.content_type
    return web.Response(body=found.value, headers=headers)


async def put(request: web.Request) -> web.Response:
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "application/octet-stream")
    if not _MEDIA_TYPE.match(content_type) or len(content_type) > 200:
        raise BadRequest("The Content-Type header is malformed.", code="malformed-header")
    key, condition, ends = _key(request), _condition(request), _expires_at(request.query.get("ttl"), request)
    length = request.content_length
    if length is not None and length > MOST_VALUE:
        raise TooLarge(f"A value in the cache has at most {MOST_VALUE} bytes.", details=f"{length} bytes")
    item = Item(await read_body(request), content_type, ends)
    if not await (await _cache(request)).set(app(request).id, key, item, condition):
        raise PreconditionFailed("The cache has another value of this key.", code="cache-changed")
    return web.Response(status=204, headers={hdrs.ETAG: f'"{item.etag}"'})


async def delete(request: web.Request) -> web.Response:
    was_there = await (await _cache(request)).delete(app(request).id, _key(request))
    return json_answer({"deleted": was_there})


async def increment(request: web.Request) -> web.Response:
    body = await read_object(request, by=int, ttl=(int, float)) if request.can_read_body else {}
    by = body.get("by", 1)
    if not -(1 << 63) <= by < 1 << 63:
        raise InvalidValue("`by` is outside of 64 bits.", details="by")
    ends = _expires_at(str(body["ttl"]) if "ttl" in body else request.query.get("ttl"), request)
    value = await (await _cache(request)).increment(app(request).id, _key(request), by, ends)
    return json_answer({"value": value, "expires_at": None if ends is None else timestamp(int(ends))})


def _key(request: web.Request) -> str:
    key = param(request, "key")
    if len(key.encode()) > MOST_KEY or not key.isprintable():
        raise InvalidValue(
            f"A key has 1 to {MOST_KEY} bytes of printable characters.", details="key", code="bad-key"
        )
    return key


def _condition(request: web.Request) -> Condition:
    absent, same = request.headers.get(hdrs.IF_NONE_MATCH), request.headers.get(hdrs.IF_MATCH)
    if absent is not None:
        if absent.strip() != "*" or same is not None:
            raise BadRequest(
                "A value is set with `If-None-Match: *`, or with `If-Match` and its ETag, or with neither.",
                code="malformed-header",
            )
        return Condition(absent=True)
    if same is None:
        return ALWAYS
    found = _TAG.match(same)
    if found is None:
        raise BadRequest("`If-Match` takes the ETag of one value.", code="malformed-header")
    return Condition(etag=found[1])


def _expires_at(ttl: str | None, request: web.Request) -> float | None:
    """From `?ttl=` in seconds, or `Cache-Control: max-age=`; None: until there is no more room."""
    if ttl is None:
        found = re.search(
            r"(?:^|[,\s])max-age=(\d{1,9})(?=[,\s]|$)", request.headers.get(hdrs.CACHE_CONTROL, "")
        )
        ttl = found[1] if found and request.method == "PUT" else None
    if ttl is None:
        return None
    try:
        seconds = float(ttl)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_LIFE_S:
        raise InvalidValue(
            f"`ttl` must be more than 0 and at most {LONGEST_LIFE_S} seconds.",
            details="ttl",
            hint="Such as ?ttl=60.",
        )
    return time.time() + seconds


_PATH = "/cache/v1/{key}"
_TTL = {"ttl": "How many seconds it lives; for ever unless given, as long as there is room"}

ROUTES = (
    Route("GET", _PATH, get, CACHE, "A value, as it was set", statuses=(200, 304), face=Face.CACHE),
    Route(
        "PUT",
        _PATH,
        put,
        CACHE,
        "Sets a value of any content type; with `If-None-Match: *` or `If-Match` only then",
        query=_TTL,
        statuses=(204,),
        face=Face.CACHE,
    ),
    Route(
        "DELETE", _PATH, delete, CACHE, "Forgets a value", response=obj("*", deleted=FLAG), face=Face.CACHE
    ),
    Route(
        "POST",
        _PATH + "/increment",
        increment,
        CACHE,
        "Adds to a counter, nothing in between; one that is missing begins at 0",
        query=_TTL,
        request=obj("", by=NUMBER, ttl={"type": "number"}),
        response=obj("*", value=NUMBER, expires_at=TEXT_OR_NULL),
        face=Face.CACHE,
    ),
)
