"""Reading an attachment from a peer as a stream whose digest is checked at its end.

CouchDB keeps texts compressed, and its digest is then of the compressed bytes. So the stored form is asked
for, unpacked here, and either digest is right.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator

import aiohttp

from localsrv.base.errors import BadRequest
from localsrv.base.unpacking import PIECE, unpacked
from localsrv.model.exchange import Stub
from localsrv.outbound.errors import PeerGarbage
from localsrv.outbound.session import Session


async def _large_pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Joins what comes in small chunks: whoever takes them hands each to a thread."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


async def checked(response: aiohttp.ClientResponse, stub: Stub, session: Session) -> AsyncIterator[bytes]:
    """The uncompressed bytes.

    Raises:
        PeerGarbage: (`code="peer-digest"`) at the end, when they are not what the stub says.
    """
    raw, plain = hashlib.md5(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
    packed = response.headers.get("Content-Encoding", "identity").lower() in ("gzip", "x-gzip")

    async def sent() -> AsyncIterator[bytes]:
        async for chunk in _large_pieces(response.content.iter_any()):
            session.received += len(chunk)
            raw.update(chunk)
            yield chunk

    try:
        async for piece in unpacked(sent(), "gzip", "attachment") if packed else sent():
            if packed:
                plain.update(piece)
            yield piece
    except BadRequest as error:
        raise PeerGarbage(f"{session.where} sent a broken attachment.", code="peer-digest") from error
    told = {base64.b64encode(digest.digest()).decode() for digest in (raw, plain if packed else raw)}
    if stub.md5 and stub.md5 not in told:
        raise PeerGarbage(
            f"{session.where} sent other bytes than the attachment's digest says.", code="peer-digest"
        )
