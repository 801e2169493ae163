"""multipart/related and multipart/mixed (RFC 2046, 5.1), read and written piece by piece.

Theory of operation. `MultipartParser` is fed pieces of any size and gives events in order: `Head` when a part
begins, `bytes` of its content, `END_OF_PART`. It holds back no more than a delimiter's length of content, so
a part of any size passes in constant memory. A delimiter is CRLF, two hyphens and the boundary, followed by
white space and CRLF, or by two more hyphens at the end; whatever else begins the same is content. What stands
before the first and behind the last delimiter is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from localsrv.base.errors import BadRequest

MAX_HEADERS = 16 << 10
"""Bytes of the headers of one part."""

MAX_PREAMBLE = 64 << 10
"""Bytes before the first delimiter: a body with another boundary is refused early."""

_MAX_PADDING = 256
_MAX_BOUNDARY = 200  # RFC 2046 allows 70; longer ones are seen and do no harm

_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)')
_QUOTED_PAIR = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Head:
    """A part begins. Names of headers are in lower case."""

    headers: Mapping[str, str]


class End(Enum):
    """The type of END_OF_PART."""

    PART = "part"


END_OF_PART = End.PART

Event = Head | bytes | End


class _At(Enum):
    PREAMBLE, HEADERS, CONTENT, EPILOGUE = range(4)


class MultipartParser:
    """Takes one multipart body apart. `feed` it in order, then `close` it."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"\r\n--" + boundary.encode()
        # The first delimiter may stand at the very beginning, without its CRLF.
        self._buffer = b"\r\n"
        self._at = _At.PREAMBLE
        self._passed = 0
        self._shared = 0  # bytes at the buffer's beginning that end the headers

    def feed(self, data: bytes) -> Iterator[Event]:
        """What the next piece of the body completes, each found when it is asked for.

        All of it must have been asked for before the next piece is fed.

        Raises:
            BadRequest: (`code="malformed-multipart"`) headers that are none or too long, or no delimiter in
                the first `MAX_PREAMBLE` bytes.
        """
        if self._at is _At.EPILOGUE:
            return
        self._buffer += data
        events: list[Event] = []
        while self._step(events):
            yield from events
            events.clear()
        yield from events

    def close(self) -> None:
        """Says that the body has ended. Raises BadRequest when it did so before its closing delimiter."""
        if self._at is _At.PREAMBLE:
            raise _no_delimiter()
        if self._at is not _At.EPILOGUE:
            raise malformed("The multipart body ends before its closing boundary.")

    def _step(self, events: list[Event]) -> bool:
        """Reads one thing from the buffer. False when it needs more."""
        if self._at is _At.HEADERS:
            return self._read_headers(events)
        if self._at is _At.EPILOGUE:
            self._buffer = b""
            return False
        return self._read_content(events)

    def _read_content(self, events: list[Event]) -> bool:
        found = self._buffer.find(self._delimiter)
        if found < 0:
            self._emit(max(0, len(self._buffer) - len(self._delimiter) + 1), events)
            return False
        behind = found + len(self._delimiter)
        rest = self._buffer[behind : behind + _MAX_PADDING]
        if rest.startswith(b"--"):
            self._emit(found, events)
            self._end_part(events)
            self._at, self._buffer = _At.EPILOGUE, b""
            return False
        padding, line_end, _ = rest.partition(b"\r\n")
        if line_end and not padding.strip(b" \t"):
            self._emit(found, events)
            self._end_part(events)
            # The CRLF stays: headers that are none begin with the next one.
            self._at, self._buffer = _At.HEADERS, self._buffer[len(self._delimiter) + len(padding) :]
            return True
        if len(rest) < _MAX_PADDING and not line_end and rest.strip(b" \t") in (b"", b"\r", b"-"):
            self._emit(found, events)
            return False  # what it is shows with the next piece
        self._emit(behind, events)  # it only begins like a delimiter
        return True

    def _end_part(self, events: list[Event]) -> None:
        if self._at is _At.CONTENT:
            events.append(END_OF_PART)

    def _emit(self, length: int, events: list[Event]) -> None:
        """Takes `length` bytes off the buffer: content, or what stands before the first delimiter."""
        if not length:
            return
        if self._at is _At.CONTENT:
            if length > self._shared:
                events.append(self._buffer[self._shared : length])
            self._shared = max(0, self._shared - length)
        else:
            self._passed += length
            if self._passed > MAX_PREAMBLE:
                raise _no_delimiter()
        self._buffer = self._buffer[length:]

    def _read_headers(self, events: list[Event]) -> bool:
        # The buffer begins with the CRLF that ends the delimiter's line, which is the first of two if there
        # are no headers.
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > MAX_HEADERS:
            if len(self._buffer) > MAX_HEADERS:
                raise malformed(f"The headers of a part are longer than {MAX_HEADERS:,} bytes.")
            return False
        events.append(Head(_headers(self._buffer[2:end])))
        # The delimiter behind an empty content may share the CRLF that ends the headers.
        self._at, self._buffer, self._shared = _At.CONTENT, self._buffer[end + 2 :], 2
        return True


def _headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    name = ""
    for line in block.decode("utf-8", "replace").split("\r\n") if block else ():
        if line[:1] in (" ", "\t") and name:
            headers[name] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not name:
            raise malformed("A part of the multipart body has a header without a colon.")
        headers[name] = value.strip()
    return headers


def malformed(message: str) -> BadRequest:
    """The error of a body that is not what its content type says."""
    return BadRequest(message, code="malformed-multipart")


def _no_delimiter() -> BadRequest:
    return malformed("The boundary of the Content-Type header does not occur in the body.")


def boundary_of(content_type: str) -> str:
    """The boundary that a Content-Type header names.

    Raises:
        BadRequest: (`code="malformed-multipart"`) there is none, or one that no line can hold.
    """
    boundary = parameters_of(content_type).get("boundary", "")
    if not boundary:
        raise malformed("The Content-Type header of a multipart body must name its boundary.")
    if len(boundary) > _MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise malformed("The boundary in the Content-Type header cannot be one.")
    return boundary


def parameters_of(value: str) -> dict[str, str]:
    """The parameters of a header such as Content-Type or Content-Disposition, names in lower case."""
    return {name.lower(): _unquoted(text.strip()) for name, text in _PARAMETER.findall(value)}


def _unquoted(text: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", text[1:-1]) if text[:1] == '"' and len(text) > 1 else text


def part_head(headers: Mapping[str, str]) -> bytes:
    """What stands between the delimiter of a part and its content: its headers, and an empty line."""
    lines = "".join(f"\r\n{name}: {_one_line(value)}" for name, value in headers.items())
    return f"{lines}\r\n\r\n".encode()


def _one_line(value: str) -> str:
    """No value may begin a header of its own."""
    return value.replace("\r", " ").replace("\n", " ")


def quoted(text: str) -> str:
    """A text as a quoted parameter. What would end it is escaped."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
