"""Answers made of bytes or a file: validators, conditions and ranges (RFC 9110, 13 and 14).

aiohttp's FileResponse does not know If-Range with an ETag and cannot answer from memory; attachments need
both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import BinaryIO

from aiohttp import ETag, hdrs, web

from localsrv.base.errors import PreconditionFailed, RangeNotSatisfiable
from localsrv.web.context import CORS
from localsrv.web.errors import render
from localsrv.web.headers import decorate

CHUNK = 256 * 1024
IN_MEMORY = 256 * 1024
"""A part of a file up to this size is read at once and sent with its headers."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is served. `source` is the bytes or their file; `modified` counts seconds since 1970."""

    source: bytes | Path
    length: int
    content_type: str
    etag: str
    modified: float | None = None
    weak: bool = False


async def send(request: web.Request, content: Content, headers: Mapping[str, str]) -> web.StreamResponse:
    """The answer to a GET or HEAD of `content`: 200, 206, 304, or 416 for a range behind its end.

    Raises:
        PreconditionFailed: If-Match or If-Unmodified-Since do not hold.
    """
    fields = {
        hdrs.ETAG: f'{"W/" if content.weak else ""}"{content.etag}"',
        hdrs.ACCEPT_RANGES: "bytes",
        **headers,
    }
    if content.modified is not None:
        fields[hdrs.LAST_MODIFIED] = format_datetime(
            datetime.fromtimestamp(content.modified, UTC), usegmt=True
        )
    if _not_modified(request, content):
        return web.Response(status=304, headers=fields)
    fields[hdrs.CONTENT_TYPE] = content.content_type
    start, end, status = 0, content.length, 200
    part = _range(request, content)
    if part is not None:
        start, end = part
        if start >= end:
            refused = render(RangeNotSatisfiable(f"The file has {content.length} bytes.", details="Range"))
            refused.headers[hdrs.CONTENT_RANGE] = f"bytes */{content.length}"
            return refused
        status = 206
        fields[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{content.length}"
    if request.method == "HEAD":
        return web.Response(status=status, headers={**fields, hdrs.CONTENT_LENGTH: str(end - start)})
    if isinstance(content.source, bytes):
        return web.Response(status=status, headers=fields, body=content.source[start:end])
    return await _send_file(request, content.source, start, end, status, fields)


def _not_modified(request: web.Request, content: Content) -> bool:
    if (wanted := request.if_match) is not None:
        if not _matches(wanted, content, weak=False):
            raise PreconditionFailed("The file has changed.", details="If-Match")
    elif content.modified is not None and (since := request.if_unmodified_since) is not None:  # noqa: SIM102
        if int(content.modified) > since.timestamp():
            raise PreconditionFailed("The file has changed.", details="If-Unmodified-Since")
    if (known := request.if_none_match) is not None:
        return _matches(known, content, weak=True)
    if content.modified is not None and (since := request.if_modified_since) is not None:
        return int(content.modified) <= since.timestamp()
    return False


def _matches(etags: tuple[ETag, ...], content: Content, *, weak: bool) -> bool:
    return any(
        e.value == "*" or (e.value == content.etag and (weak or not (e.is_weak or content.weak)))
        for e in etags
    )


def _range(request: web.Request, content: Content) -> tuple[int, int] | None:
    """Begin and end of the part asked for; None for the whole, also when the header makes no sense."""
    if hdrs.RANGE not in request.headers:
        return None
    condition = request.headers.get(hdrs.IF_RANGE, "").strip()
    if condition.startswith(('"', "W/")):
        if condition != f'"{content.etag}"' or content.weak:
            return None
    elif condition:
        since = request.if_range
        if since is None or content.modified is None or int(content.modified) != int(since.timestamp()):
            return None
    try:
        asked = request.http_range
    except ValueError:
        return None  # several ranges, or nonsense: the whole is a right answer to both (RFC 9110, 14.2)
    start, end = asked.start, asked.stop
    if start is None:
        return None
    if start < 0:
        start, end = max(0, content.length + start), content.length
    end = content.length if end is None else min(end, content.length)
    return start, end


async def _send_file(
    request: web.Request, path: Path, start: int, end: int, status: int, fields: dict[str, str]
) -> web.StreamResponse:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        if end - start <= IN_MEMORY:
            body = await asyncio.to_thread(_read, file, start, end - start)
            return web.Response(status=status, headers=fields, body=body)
        response = web.StreamResponse(
            status=status, headers={**fields, hdrs.CONTENT_LENGTH: str(end - start)}
        )
        decorate(response, request.get(CORS))
        await response.prepare(request)
        file.seek(start)
        left = end - start
        while left and (chunk := await asyncio.to_thread(file.read, min(CHUNK, left))):
            left -= len(chunk)
            await response.write(chunk)
        await response.write_eof()
        return response
    finally:
        file.close()


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)
