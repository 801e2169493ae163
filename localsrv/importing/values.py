"""Values that JSON cannot hold, and what stands for them.

A document is JSON: no bytes, no infinity, no text that is not UTF-8 or holds NUL. Such a value becomes an
attachment named like its field, whose content type says what it was, so that an export gives it back exactly:

- BLOB: the bytes, with the content type they show (a picture is served as a picture).
- TEXT that is not valid UTF-8 or holds NUL: its bytes, as `application/vnd.localsrv.text`.
- REAL infinity: `Infinity` or `-Infinity`, as `application/vnd.localsrv.real`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from localsrv.base.errors import InvalidValue

TEXT_TYPE = "application/vnd.localsrv.text"
REAL_TYPE = "application/vnd.localsrv.real"
BYTES_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Opaque:
    """One value as an attachment: `kind` is the storage class it had (`blob`, `text`, `real`)."""

    kind: str
    data: bytes

    @property
    def content_type(self) -> str:
        if self.kind == "blob":
            return content_type_of(self.data)
        return TEXT_TYPE if self.kind == "text" else REAL_TYPE


_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (4, b"ftyp", "video/mp4"),
)


def content_type_of(data: bytes) -> str:
    """The content type that the first bytes show; never one that a browser would run."""
    for offset, magic, content_type in _MAGIC:
        if data.startswith(magic, offset):
            return content_type
    return BYTES_TYPE


def text_value(raw: bytes) -> str | Opaque:
    """A TEXT value of a SQLite file, from its bytes."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Opaque("text", raw)
    return Opaque("text", raw) if "\0" in text else text


def real_value(value: float) -> float | Opaque:
    """A REAL value of a SQLite file, which knows no NaN."""
    return value if math.isfinite(value) else Opaque("real", b"Infinity" if value > 0 else b"-Infinity")


def restored(content_type: str, data: bytes) -> Opaque:
    """What an attachment stood for.

    Raises:
        InvalidValue: it says that it is a REAL and is not one.
    """
    if content_type == TEXT_TYPE:
        return Opaque("text", data)
    if content_type == REAL_TYPE:
        if data not in (b"Infinity", b"-Infinity"):
            raise InvalidValue("An attachment of the type of an infinite number holds something else.")
        return Opaque("real", data)
    return Opaque("blob", data)
