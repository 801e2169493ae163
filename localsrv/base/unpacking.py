"""Uncompressing what others send: in small steps, and never taking a part of a stream for the whole.

A few kilobytes may stand for gigabytes, so no step makes more than `PIECE` bytes or reads more than `_STEP`;
whoever takes the pieces bounds their sum.

Source: RFC 1952 (gzip: one member or more), RFC 1950 and 1951 (deflate).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator

from localsrv.base.errors import BadRequest

PIECE = 256 << 10
"""The most bytes that one step makes."""

_STEP = 64 << 10
"""The most bytes that one step reads: what is left of a step is copied when a member of it ends."""

_GZIP, _ZLIB, _RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS

ENCODINGS = ("gzip", "deflate")
"""What can be uncompressed."""


class Unpacker:
    """One compressed stream. Feed it all of it, then `close`.

    `encoding` is one of `ENCODINGS`; `what` names the stream in errors, which are BadRequest with
    `code="bad-encoding"`.
    """

    def __init__(self, encoding: str, what: str = "body") -> None:
        self._encoding, self._what = encoding, what
        self._inflate = zlib.decompressobj(_GZIP)
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The uncompressed bytes, one piece for each step. A piece may be empty: a step that made nothing.

        Raises:
            BadRequest: this is no such stream, or something stands behind its end.
        """
        if data and not self._has_begun:
            self._begin(data[0])
        view = memoryview(data)
        for at in range(0, len(data), _STEP):
            yield from self._unpack(view[at : at + _STEP])

    def close(self) -> Iterator[bytes]:
        """What did not fit into the last piece. Raises BadRequest when the stream's end is missing."""
        while self._has_begun and not self._inflate.eof:
            piece = self._step(b"")
            if not piece:
                break
            yield piece
        if not self._inflate.eof:
            raise BadRequest(
                f"The {self._what} ends before its {self._encoding} data does.",
                code="bad-encoding",
                details=self._encoding,
                hint="Send it again, whole.",
            )

    def _begin(self, first: int) -> None:
        self._has_begun = True
        if self._encoding == "deflate":
            # Clients that take the name literally send the bare form, without zlib's two bytes.
            self._inflate = zlib.decompressobj(_ZLIB if first & 0x0F == 8 else _RAW)

    def _unpack(self, left: bytes | memoryview) -> Iterator[bytes]:
        while left:
            if self._inflate.eof:
                if self._encoding != "gzip":
                    raise self._broken("goes on behind the end of its")
                self._inflate = zlib.decompressobj(_GZIP)
                yield self._member(left)
            else:
                yield self._step(left)
            left = self._inflate.unused_data or self._inflate.unconsumed_tail

    def _member(self, left: bytes | memoryview) -> bytes:
        """The first step of one more member, which is none when something else follows the stream."""
        try:
            return self._inflate.decompress(left, PIECE)
        except zlib.error:
            raise self._broken("goes on behind the end of its") from None

    def _step(self, left: bytes | memoryview) -> bytes:
        try:
            return self._inflate.decompress(left, PIECE)
        except zlib.error:
            raise self._broken("says that it is compressed and is no") from None

    def _broken(self, how: str) -> BadRequest:
        return BadRequest(
            f"The {self._what} {how} {self._encoding} data.", code="bad-encoding", details=self._encoding
        )


async def unpacked(chunks: AsyncIterator[bytes], encoding: str, what: str = "body") -> AsyncIterator[bytes]:
    """A compressed stream, uncompressed; other requests go on between two steps. Raises as `Unpacker`."""
    unpacker = Unpacker(encoding, what)
    async for chunk in chunks:
        for piece in unpacker.feed(chunk):
            if piece:
                yield piece
            await asyncio.sleep(0)
    for piece in unpacker.close():
        yield piece
