"""Numbers in JSON text that no double and no 64 bits keep as they were written.

Nearly all are free of them, and two searches for equal bytes show it, after a translation that leaves every
byte where it is. What these find stands mostly inside texts, as in revision ids: a look at the bytes around
tells. Only when something is written just like an inexact number are the texts taken away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

import orjson

_MIN, _MAX = -(2**63), 2**63 - 1
_DIGITS_AS_ZEROS = bytes(0x30 if 0x30 <= c <= 0x39 else c for c in range(256))
_SHAPE = _DIGITS_AS_ZEROS.replace(b".", b"0").replace(b"E", b"e")
_LONG = b"0" * 16
"""A double keeps fifteen digits whatever they are."""
_SMALL = b"0e-000"
"""A few characters may spell less than the smallest double."""
_NEARLY_64_BITS = b"0" * 19
_OF_NUMBERS = b"0123456789.eE+-"
_NUMBER_REST = re.compile(rb"[0-9.eE+-]*")
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_BEFORE, _BEHIND = b":,[ \t\r\n", b",]} \t\r\n"
_MANY = 20
"""Suspects that are looked at singly before it is tried whether all comes out as it went in."""

BEYOND_64_BITS = "a whole number beyond 64 bits"
BEYOND_A_DOUBLE = "a number beyond the range of a double"


def inexact_number(data: bytes, value: Any, *, may_be_wide: bool) -> tuple[str, str] | None:
    """A number in `data`, which is JSON and spells `value`, that would not be kept as it is written, and why.

    `may_be_wide` lets whole numbers beyond 64 bits pass that a double keeps.
    """
    for count, token in enumerate(_suspects(data)):
        if count == _MANY and orjson.dumps(value) == data:  # it comes out as it went in
            wide = _suspects(data, _DIGITS_AS_ZEROS, (_NEARLY_64_BITS,))
            if not any(why_inexact(number, may_be_wide=may_be_wide) for number in wide):
                return None
        if why_inexact(token, may_be_wide=may_be_wide) is not None:
            break
    else:
        return None
    for token in _suspects(_TEXT.sub(b"", data)):
        if reason := why_inexact(token, may_be_wide=may_be_wide):
            return token, reason
    return None


def _suspects(
    data: bytes, shape: bytes = _SHAPE, needles: Sequence[bytes] = (_LONG, _SMALL)
) -> Iterator[str]:
    """The longest and the smallest numbers of a JSON text, and what inside of texts looks like them."""
    shaped = data.translate(shape)
    for needle in needles:
        if needle is _SMALL and b"-" not in data:  # one byte is found sooner than several are
            continue
        end = 0
        while (at := shaped.find(needle, end)) >= 0:
            start, rest = at, _NUMBER_REST.match(data, at)
            assert rest is not None
            while start > end and data[start - 1] in _OF_NUMBERS:
                start -= 1
            end = rest.end()
            if (start == 0 or data[start - 1] in _BEFORE) and (end == len(data) or data[end] in _BEHIND):
                yield data[start:end].decode("ascii")


def why_inexact(text: str, *, may_be_wide: bool) -> str | None:
    """Why a number would not be kept as it was sent."""
    try:
        if text.lstrip("-").isdigit():
            if not is_64_bits(text):
                return None if may_be_wide and _is_double(text) else BEYOND_64_BITS
        elif float(text) == 0 and text.lower().partition("e")[0].strip("-0."):
            return BEYOND_A_DOUBLE
        elif not _is_double(text):
            return "a number with more digits than a double keeps"
    except ValueError:
        return None  # digits inside a text, such as a revision, a date or a version
    except ArithmeticError:
        return BEYOND_A_DOUBLE
    return None


def is_64_bits(text: str) -> bool:
    """Whether a whole number is one of 64 bits with a sign, which SQLite keeps."""
    return len(text) <= 20 and _MIN <= int(text) <= _MAX


def _is_double(text: str) -> bool:
    """Whether a double read from this text writes the same number."""
    if len(text) > 800:
        return False
    value = float(text)
    return repr(value) == text or (isfinite(value) and Decimal(text) == Decimal(repr(value)))
