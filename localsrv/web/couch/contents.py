"""Answers that hold attachments: texts and attachments in turn, sent without gathering them.

The length of everything is known before, since the store knows that of each attachment: answers have a
Content-Length, and an answer that stops half-way shows. Attachments are read when their turn comes, a piece
at a time; small answers are sent at once.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import BinaryIO

from aiohttp import hdrs, web

from localsrv.base.errors import NotFound
from localsrv.store.database import Database
from localsrv.web.context import CORS
from localsrv.web.headers import decorate, name_request

PIECE = 255 << 10
"""Bytes of an attachment that are in memory at once. A multiple of three, so that base64 needs no filling."""

AT_ONCE = 256 << 10
"""Answers up to this size are one write."""


@dataclass(frozen=True, slots=True)
class Enclosed:
    """The bytes from `start` to `end` of an attachment, as they are or in base64."""

    collection: str
    document: str
    revision: str
    name: str
    start: int
    end: int
    is_base64: bool = False

    def __len__(self) -> int:
        length = self.end - self.start
        return (length + 2) // 3 * 4 if self.is_base64 else length


Segment = bytes | Enclosed


async def send(
    request: web.Request,
    db: Database,
    segments: Sequence[Segment],
    headers: Mapping[str, str],
    *,
    status: int = 200,
) -> web.StreamResponse:
    """The answer made of `segments`; to HEAD its headers.

    Raises:
        NotFound: an attachment is gone. When the answer has begun, the connection is cut.
    """
    length = sum(map(len, segments))
    if request.method == "HEAD":
        return web.Response(status=status, headers={**headers, hdrs.CONTENT_LENGTH: str(length)})
    if length <= AT_ONCE:
        body = b"".join([piece async for piece in pieces_of(db, segments)])
        return web.Response(status=status, headers=headers, body=body)
    response = web.StreamResponse(status=status, headers={**headers, hdrs.CONTENT_LENGTH: str(length)})
    decorate(response, request.get(CORS))
    name_request(response)
    await response.prepare(request)
    async with aclosing(_joined(pieces_of(db, segments))) as pieces:  # a client that leaves ends it half-way
        async for piece in pieces:
            await response.write(piece)
    await response.write_eof()
    return response


async def _joined(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same bytes in fewer writes."""
    waiting: list[bytes] = []
    size = 0
    async with aclosing(pieces):
        async for piece in pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= PIECE:
                yield b"".join(waiting)
                waiting.clear()
                size = 0
    if waiting:
        yield b"".join(waiting)


async def pieces_of(db: Database, segments: Iterable[Segment]) -> AsyncGenerator[bytes, None]:
    """The bytes of segments, those of attachments read when their turn comes. Raises NotFound.

    Whoever may stop before the end closes it (`aclosing`), and with it the file that is being read.
    """
    for segment in segments:
        if isinstance(segment, bytes):
            yield segment
            continue
        async with aclosing(_read(db, segment)) as content:
            async for piece in content:
                yield base64.b64encode(piece) if segment.is_base64 else piece


async def _read(db: Database, segment: Enclosed) -> AsyncGenerator[bytes, None]:
    found = db.attachment(segment.collection, segment.document, segment.name, segment.revision)
    if found is None:
        raise _gone(segment)
    if found.data is not None:
        yield found.data[segment.start : segment.end]
        return
    if found.path is None:
        raise _gone(segment)
    try:
        file = await asyncio.to_thread(found.path.open, "rb")
    except FileNotFoundError:
        raise _gone(segment) from None
    try:
        left = segment.end - segment.start
        file.seek(segment.start)
        while left:
            piece = await asyncio.to_thread(_full, file, min(PIECE, left))
            left -= len(piece)
            yield piece
    finally:
        file.close()


def _full(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise EOFError("an attachment's file is shorter than the database knows")
    return data


def _gone(segment: Enclosed) -> NotFound:
    return NotFound(f"The content of `{segment.name[:200]}` was forgotten.", code="attachment-not-found")
