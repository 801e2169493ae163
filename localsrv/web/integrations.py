"""`/integrations/v1/{name}/…`: calls to outside services, with a secret that the client never sees.

Whatever the service answers is told as it comes, piece by piece, and made harmless for our origin: its
cookies and its rules for origins are dropped, and a browser that opens it directly runs nothing of it. What
we have to say ourselves is an error of ours with the header `Integration-Error`, so that a client can tell
the two apart. A client that leaves ends the call, and so does the end of its grant.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from aiohttp import hdrs, web
from multidict import istr

from localsrv.base.errors import LocalsrvError, TooLarge
from localsrv.model.integration_headers import value_of
from localsrv.model.scopes import Grant
from localsrv.services.integrations.answer import Answer
from localsrv.services.integrations.calls import Asked, Calls
from localsrv.services.integrations.exchange import CircuitOpen
from localsrv.services.integrations.registry import Registry
from localsrv.web import errors
from localsrv.web.context import CORS, app, call, grant, param, services
from localsrv.web.endings import Ending, ending_of, still_live
from localsrv.web.headers import CONTENT_POLICY, decorate
from localsrv.web.protocol import Protocol
from localsrv.web.routes import Face, Route, decoded_segments

SMALL = 256 * 1024
"""Bodies up to this many bytes are read first, so that a request can be repeated."""

SEND_SECONDS = 60.0
"""How long a client may take nothing of an answer."""

KEEP_SECONDS = 5.0
"""How long putting an answer into the cache may take when its client has left."""

ERROR = istr("Integration-Error")

_HARMLESS = re.compile(r"(?:image/(?!svg)|audio/|video/|text/plain\b|text/event-stream\b|application/json\b)")
_BODILESS = frozenset({204, 205, 304})


@dataclass(slots=True)
class _Progress:
    """What of a call is known outside of it: whether it is a stream of events, and whether the client has got
    everything, so that it may leave while the answer is put into the cache."""

    is_events: bool = False
    is_told: bool = False


async def forward(request: web.Request) -> web.StreamResponse:
    """Relays one call until it, its client or its grant ends."""
    holder, progress = grant(request), _Progress()
    with ending_of(request, holder) as ending, _leaving(request) as left, _expiring(request, holder, ending):
        work = asyncio.ensure_future(_relay(request, holder, progress))
        over = asyncio.ensure_future(ending.event.wait())
        try:
            await asyncio.wait((work, left, over), return_when=asyncio.FIRST_COMPLETED)
            if over.done() and ending.error is None and not progress.is_events:
                await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
            if left.done() and progress.is_told:
                await asyncio.wait((work,), timeout=KEEP_SECONDS)
        finally:
            over.cancel()
            if not work.done():
                work.cancel()
            await asyncio.gather(work, over, return_exceptions=True)
    if not work.cancelled():
        return work.result()
    if ending.error is not None:
        raise ending.error
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionError("the client left")


@contextlib.contextmanager
def _expiring(request: web.Request, holder: Grant, ending: Ending) -> Iterator[None]:
    """Ends what goes on when its grant expires."""
    if holder.expires_at is None:
        yield
        return
    is_live = still_live(request, holder)

    def expire() -> None:
        if not is_live():
            ending.revoke()

    left_s = max(0.0, holder.expires_at - time.time()) + 0.05
    timer = asyncio.get_running_loop().call_later(left_s, expire)
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _leaving(request: web.Request) -> Iterator[asyncio.Future[None]]:
    """A future that is done when the client has left."""
    left: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell() -> None:
        if not left.done():
            left.set_result(None)

    protocol = request.protocol
    assert isinstance(protocol, Protocol)
    protocol.on_lost.append(tell)
    if request.transport is None or request.transport.is_closing():
        tell()
    try:
        yield left
    finally:
        protocol.on_lost.remove(tell)
        left.cancel()


async def _relay(request: web.Request, holder: Grant, progress: _Progress) -> web.StreamResponse:
    own, name = services(request), param(request, "name")
    calls: Calls = own.extra[Calls]
    asked = await _asked(request, own.extra[Registry])
    answer = await calls.call(app(request).id, name, holder, asked)
    progress.is_events = answer.is_events
    try:
        return await _send(request, answer, progress)
    except TimeoutError as error:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionError("the client takes nothing") from error
    finally:
        answer.close()


async def _asked(request: web.Request, registry: Registry) -> Asked:
    body: bytes | None = None
    stream = None
    length = request.content_length
    found = registry.find(app(request).id, param(request, "name"))
    if request.can_read_body:
        most = int(found.limits.request_mb * (1 << 20)) if found else SMALL
        if length is not None and length > most:
            raise _too_large(most)
        if length is not None and length <= SMALL:
            body = await request.content.read(-1)
        else:

            async def chunks() -> AsyncIterator[bytes]:
                left = most
                async for chunk in request.content.iter_any():
                    left -= len(chunk)
                    if left < 0:
                        raise _too_large(most)
                    yield chunk

            stream = chunks
    headers = tuple(request.headers.items())
    query = request.raw_path.partition("?")[2]
    return Asked(request.method, _rest(request), query, headers, stream or body, length if stream else None)


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than this integration allows ({most / (1 << 20):g} MB).",
        details="request_mb",
        hint="The owner can raise the limit `request_mb` of this integration.",
    )


def _rest(request: web.Request) -> str:
    """The raw path behind the integration's name; empty, or with a slash first."""
    raw = request.raw_path.partition("?")[0]
    by_path = call(request).site.app is None or decoded_segments(raw)[0] == "apps"
    above = 6 if by_path else 4  # apps/{app}/integrations/v1/{name}, or without the first two
    rest = raw.split("/")[above:]
    return "".join(f"/{segment}" for segment in rest)


async def _send(request: web.Request, answer: Answer, progress: _Progress) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    for name, value in answer.headers:
        response.headers.add(name, value)
    _make_harmless(response, value_of(answer.headers, "content-type"))
    decorate(response, request.get(CORS))
    if request.get(CORS) is not None:
        names = ", ".join(dict.fromkeys(name for name, _ in answer.headers))
        exposed = response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS]
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = f"{exposed}, {names}".rstrip(", ")
    has_body = request.method != "HEAD" and answer.status not in _BODILESS
    if answer.length is not None and has_body:
        response.content_length = answer.length
    await response.prepare(request)
    sent = 0
    if has_body:
        async with contextlib.aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                async with asyncio.timeout(SEND_SECONDS):
                    sent += len(chunk)
                    progress.is_told = sent == answer.length
                    await response.write(chunk)
    await response.write_eof()
    return response


def _make_harmless(response: web.StreamResponse, content_type: str | None) -> None:
    """What a browser opens directly runs as nobody: as stored attachments, in a sandbox without sources."""
    response.headers[CONTENT_POLICY] = "sandbox; default-src 'none'; frame-ancestors 'none'"
    if content_type is None or not _HARMLESS.match(content_type.lower()):
        response.headers[hdrs.CONTENT_DISPOSITION] = "attachment"
    response.headers.setdefault(hdrs.CACHE_CONTROL, "private, no-cache")


def render(error: LocalsrvError) -> web.Response:
    """An error of ours, marked as such."""
    response = errors.render(error)
    response.headers[ERROR] = error.code
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    if isinstance(error, CircuitOpen):
        response.headers[hdrs.RETRY_AFTER] = str(max(1, round(error.after_s)))
    return response


_PATH = "/integrations/v1/{name}"
_SCOPE = "integrations:{name}:use"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _route(method: str, path: str) -> Route:
    return Route(
        method,
        path,
        forward,
        _SCOPE,
        "Calls an outside service with the owner's secret; the answer is the service's",
        face=Face.INTEGRATIONS,
        streams_body=True,
    )


ROUTES = (
    *(_route(method, _PATH) for method in _METHODS),
    *(_route(method, _PATH + "/{path...}") for method in _METHODS),
)
