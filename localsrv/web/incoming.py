"""Bodies of requests, uncompressed where they come compressed: the one place that reads them.

aiohttp would uncompress them by itself (`web.app.Runner` tells it not to): on the event loop, as much at once
as the largest body may have, and taking a stream that was cut for a whole one.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from functools import partial

from aiohttp import hdrs, web

from localsrv.base.errors import BadRequest, TooLarge, UnsupportedMediaType
from localsrv.base.threads import in_thread
from localsrv.base.unpacking import ENCODINGS, PIECE, Unpacker, unpacked
from localsrv.web.context import services

_AT_ONCE = 2 << 10
"""Shorter bodies are uncompressed on the event loop: they become a thousand times as long at most."""


def encoding_of(request: web.Request) -> str | None:
    """How the body is compressed, one of `base.unpacking.ENCODINGS`; None when it is not.

    Raises:
        UnsupportedMediaType: in a way that is not known here. BadRequest: in more than one.
    """
    named = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, ()))
    if not named:
        return None
    encodings = [name.strip().lower() for name in named.split(",")]
    if len(encodings) > 1:
        raise BadRequest(
            "A body can be compressed once.",
            code="bad-encoding",
            details=named[:100],
            hint=f"Send it with one of: {', '.join(ENCODINGS)}; or as it is.",
        )
    encoding = "gzip" if encodings[0] == "x-gzip" else encodings[0]  # RFC 9110, 8.4.1.3
    if encoding in ("", "identity"):
        return None
    if encoding not in ENCODINGS:
        raise UnsupportedMediaType(
            f"The Content-Encoding `{named[:100]}` is not known here.",
            details=named[:100],
            hint=f"Known are: {', '.join(ENCODINGS)}.",
        )
    return encoding


async def read_body(request: web.Request) -> bytes:
    """The whole body.

    Raises:
        TooLarge, web.HTTPRequestEntityTooLarge: it has more than `max_body` bytes, or becomes more.
        BadRequest, UnsupportedMediaType: as `encoding_of` and `base.unpacking.Unpacker`.
    """
    encoding = encoding_of(request)
    data = await request.read()
    if encoding is None:
        return data
    unpack = partial(_unpacked, data, encoding, services(request).max_body)
    return unpack() if len(data) <= _AT_ONCE else await in_thread(unpack)


def _unpacked(data: bytes, encoding: str, limit: int) -> bytes:
    """All of it. That it is too large is known before any of it is kept: it is uncompressed twice."""
    length = 0
    for piece in _all_pieces(data, encoding):
        length += len(piece)
        if length > limit:
            raise TooLarge(
                f"The body has more than {limit >> 20} MB when it is uncompressed.",
                hint="Send it in parts, or raise `max_body_mb` in the settings.",
            )
    whole = io.BytesIO()  # gives what was written without a copy
    whole.writelines(_all_pieces(data, encoding))
    return whole.getvalue()


def _all_pieces(data: bytes, encoding: str) -> Iterator[bytes]:
    unpacker = Unpacker(encoding)
    yield from unpacker.feed(data)
    yield from unpacker.close()


async def body_pieces(request: web.Request) -> AsyncIterator[bytes]:
    """The body piece by piece, of any length; who takes them bounds it.

    Raises:
        BadRequest, UnsupportedMediaType: as `encoding_of` and `base.unpacking.Unpacker`.
    """
    encoding = encoding_of(request)
    chunks = sent_pieces(request)
    if encoding is not None:
        chunks = unpacked(chunks, encoding)
    async for chunk in chunks:
        yield chunk


async def sent_pieces(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes, compressed or not."""
    async for chunk in request.content.iter_chunked(PIECE):
        yield chunk
