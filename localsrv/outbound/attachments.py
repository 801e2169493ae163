"""Reading an attachment from a peer as a stream whose digest is checked at its end.

CouchDB keeps texts compressed, and its digest is then of the compressed bytes. So the stored form is asked
for, unpacked here, and either digest is right.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import AsyncIterator

import aiohttp

from localsrv.model.exchange import Stub
from localsrv.outbound.errors import PeerGarbage
from localsrv.outbound.session import Session

_PIECE = 1 << 18
_GZIP = 16 + zlib.MAX_WBITS


async def _large_pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Joins what comes in small chunks: whoever takes them hands each to a thread."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= _PIECE:
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
    unpacked = response.headers.get("Content-Encoding", "identity").lower() in ("gzip", "x-gzip")
    packer = zlib.decompressobj(_GZIP) if unpacked else None
    try:
        async for chunk in _large_pieces(response.content.iter_any()):
            session.received += len(chunk)
            raw.update(chunk)
            if packer is None:
                yield chunk
                continue
            left = chunk
            while left:  # in pieces: a small file may unpack to a huge one
                piece = packer.decompress(left, _PIECE)
                left = packer.unconsumed_tail
                plain.update(piece)
                if piece:
                    yield piece
    except zlib.error as error:
        raise PeerGarbage(f"{session.where} sent a broken attachment.", code="peer-digest") from error
    told = {base64.b64encode(digest.digest()).decode() for digest in (raw, plain if packer else raw)}
    if packer is not None and not packer.eof:
        raise PeerGarbage(f"{session.where} sent half an attachment.", code="peer-digest")
    if stub.md5 and stub.md5 not in told:
        raise PeerGarbage(
            f"{session.where} sent other bytes than the attachment's digest says.", code="peer-digest"
        )
