"""Bytes of attachments while they arrive: checked and uncompressed piece by piece.

The checks stand inside the stream: what is refused ends it with an error, and the store keeps nothing of it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import AsyncIterator

from localsrv.store.blobs import Blob
from localsrv.store.database import Database
from localsrv.web.couch.enclosures import mismatch
from localsrv.web.couch.errors import CouchError

PIECE = 256 << 10
"""Bytes that are read, uncompressed or sent at once."""

_GZIP = zlib.MAX_WBITS | 16


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
        CouchError: another length, another digest, or no gzip. TooLarge: more than `limit` bytes.
    """
    stream = _checked(chunks, sent_length, digest) if sent_length is not None or digest else chunks
    if is_gzip:
        stream = _uncompressed(stream)
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


async def _uncompressed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The content of a gzip stream of one or more members, never more than `PIECE` bytes at once."""
    inflate = zlib.decompressobj(_GZIP)
    try:
        async for chunk in chunks:
            left = chunk
            while left:
                if inflate.eof:
                    inflate = zlib.decompressobj(_GZIP)
                yield inflate.decompress(left, PIECE)
                left = inflate.unused_data or inflate.unconsumed_tail
        while not inflate.eof and (rest := inflate.decompress(b"", PIECE)):  # what did not fit in a piece
            yield rest
    except zlib.error:
        raise _no_gzip() from None
    if not inflate.eof:
        raise _no_gzip()


def _no_gzip() -> CouchError:
    return CouchError(400, "bad_request", "The attachment says it is gzip and is not, or its end is missing.")
