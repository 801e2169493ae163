"""Bytes of attachments while they arrive: checked and uncompressed piece by piece.

The checks stand inside the stream: what is refused ends it with an error, and the store keeps nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from localsrv.base.unpacking import unpacked
from localsrv.store.blobs import Blob
from localsrv.store.database import Database
from localsrv.web.couch.enclosures import mismatch
from localsrv.web.couch.errors import CouchError


async def receive(
    db: Database,
    chunks: AsyncIterator[bytes],
    *,
    limit: int,
    sent_length: int | None = None,
    digest: bytes | None = None,
    is_gzip: bool = False,
    length: int | None = None,
) -> Blob:
    """Takes in one attachment. `sent_length` and `digest` are of the bytes as they come, `length` of what is
    kept, where that is another.

    Raises:
        CouchError: another length, another digest. BadRequest: no gzip, or a part of one. TooLarge: more than
        `limit` bytes.
    """
    stream = _checked(chunks, sent_length, digest) if sent_length is not None or digest else chunks
    if is_gzip:
        stream = unpacked(stream, "gzip", "attachment")
        if length is not None:
            stream = _checked(stream, length, None)
    blob: Blob = await db.receive(stream, limit)
    return blob


async def one_piece(data: bytes) -> AsyncIterator[bytes]:
    """Bytes at hand as a stream."""
    if data:
        yield data


async def _checked(
    chunks: AsyncIterator[bytes], length: int | None, digest: bytes | None
) -> AsyncIterator[bytes]:
    came, seen = 0, hashlib.md5(usedforsecurity=False)
    async for chunk in chunks:
        came += len(chunk)
        if length is not None and came > length:
            raise CouchError(400, "bad_request", "attachment longer than expected")
        if digest is not None:
            seen.update(chunk)
        yield chunk
    if length is not None and came < length:
        raise CouchError(400, "bad_request", "attachment shorter than expected")
    if digest is not None and seen.digest() != digest:
        raise mismatch()
