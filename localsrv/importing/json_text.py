"""Reading JSON a value at a time, in bounded memory, without losing a digit.

Numbers keep their value: whole numbers of 64 bits stay numbers; what neither such a number nor a double
holds exactly becomes a `BigNumber`, which is stored as text of type `decimal`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from localsrv.base.errors import BadRequest
from localsrv.importing.shapes import is_exact

LONGEST_VALUE = 64 << 20
"""Characters of one document; anything longer is taken for a syntax error."""

DEEPEST = 100
CHUNK = 1 << 18
DECIMAL_TEXT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
"""A number as JSON spells it."""

_SPACE = re.compile(r"[ \t\r\n]*")


class BigNumber(str):
    """A number that neither 64 bits nor a double hold; the text as the file had it."""

    __slots__ = ()


def _integer(text: str) -> int | str:
    value = int(text) if len(text) <= 20 else 1 << 64
    return value if -(1 << 63) <= value < 1 << 63 else BigNumber(text)


def _real(text: str) -> float | str:
    return float(text) if is_exact(text) else BigNumber(text)


class _NotANumberError(ValueError):
    pass


def _constant(text: str) -> Any:
    raise _NotANumberError(text)


class _TwiceError(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _TwiceError(name)
            seen.add(name)
    return made


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant
).raw_decode


class JsonReader:
    """A cursor over a JSON text."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self._ended = False
        self._line = 1  # of the character at `_counted`, which follows `_at`
        self._counted = 0

    @property
    def line(self) -> int:
        """The line of the next character, from 1."""
        self._line += self._buffer.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _more(self, size: int = CHUNK) -> bool:
        """Reads on, forgetting what was consumed."""
        if self._ended:
            return False
        self._line = self.line
        chunk = self._text.read(size)
        self._ended = not chunk
        self._buffer = self._buffer[self._at :] + chunk
        self._at = self._counted = 0
        return not self._ended

    def peek(self) -> str:
        """The next character that is not space; empty at the end."""
        while True:
            match = _SPACE.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return ""

    def take(self, expected: str) -> str:
        """Consumes one of the characters `expected`.

        Raises:
            BadRequest: another stands there.
        """
        found = self.peek()
        if not found or found not in expected:
            raise self.error(
                f"expected {' or '.join(repr(c) for c in expected)}, found {found or 'the end'!r}"
            )
        self._at += 1
        return found

    def value(self) -> Any:
        """The next JSON value.

        Raises:
            BadRequest: a syntax error, a name twice in one object, NaN, nested past 100.
        """
        self.peek()
        while True:
            try:
                value, end = _decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                held = len(self._buffer) - self._at
                if held < LONGEST_VALUE and self._more(max(CHUNK, held)):
                    continue
                raise self.error(error.msg.removesuffix(":").lower(), error.pos) from error
            except _TwiceError as error:
                raise self.error(f"the name `{error}` stands twice in one object") from error
            except _NotANumberError as error:
                raise self.error(f"{error} is not a number that JSON knows; write null or a text") from error
            except RecursionError as error:
                raise self.error(f"values are nested deeper than {DEEPEST}") from error
            if depth_of(value) > DEEPEST:
                raise self.error(f"values are nested deeper than {DEEPEST}")
            self._at = end
            return value

    def items(self) -> Iterator[tuple[int, Any]]:
        """The items of the array that begins here, each with its line."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            self.peek()
            line = self.line
            yield line, self.value()
            if self.take(",]") == "]":
                return

    def error(self, text: str, at: int | None = None) -> BadRequest:
        line = self.line + self._buffer.count("\n", self._at, self._at if at is None else at)
        return BadRequest(
            f"Line {line} is not JSON as it should be: {text}.", code="json-syntax", details=f"line {line}"
        )


def depth_of(value: Any) -> int:
    """How deep objects and arrays are nested; 0 for a scalar."""
    depth, level = 0, [value]
    while True:
        level = [v for v in level if isinstance(v, dict | list)]
        if not level:
            return depth
        depth += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
