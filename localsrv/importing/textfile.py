"""Text files: their encoding, and exactly where it breaks."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from localsrv.base.errors import BadRequest

CHUNK = 1 << 16

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(head: bytes, asked: str | None = None) -> str:
    """The encoding: what a byte order mark says, else what was asked, else UTF-8.

    Raises:
        BadRequest: an encoding by that name does not exist.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if asked is None:
        return "utf-8"
    try:
        return codecs.lookup(asked).name
    except LookupError as error:
        raise BadRequest(
            f"The encoding `{asked}` does not exist.", code="unknown-encoding", hint="Try cp1252 or utf-16."
        ) from error


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """The file as text with its line ends as they are; reading never replaces a character.

    Raises:
        BadRequest: at the first byte that is not of the encoding; `details` has line and byte.
    """
    with path.open(encoding=encoding, newline="") as file:
        try:
            yield file
        except UnicodeError as error:
            raise _undecodable(path, encoding) from error


def _undecodable(path: Path, encoding: str) -> BadRequest:
    """Where the file stops being text, found by reading it again: readers decode in chunks and do not say."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line, offset = 1, 0
    bad: int | None = None
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK)
            held = len(decoder.getstate()[0])
            try:
                line += decoder.decode(chunk, final=not chunk).count("\n")
            except UnicodeDecodeError as error:
                start = error.start - held
                line += error.object[: error.start].count(b"\n")
                offset += start
                bad = error.object[error.start] if error.start < len(error.object) else None
                break
            offset += len(chunk)
            if not chunk:
                break
    seen = "" if bad is None else f" (0x{bad:02X})"
    return BadRequest(
        f"Line {line} is not valid {encoding.removesuffix('-sig').upper()}: byte {offset}{seen}.",
        code="invalid-encoding",
        details=f"line {line}, byte {offset}",
        hint="Save the file as UTF-8, or name its encoding, for example --encoding cp1252.",
    )
