"""What a text looks like: a whole number, a decimal, a date, a time, a UUID.

A column has a type only if every one of its texts has it, so a `Shapes` begins with all of them and loses
those that a text does not fit. Texts whose spelling would be lost stay texts: leading zeros (postal codes,
article numbers), a leading `+`, spaces, and whole numbers that JavaScript cannot hold (2^53 and more).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal

MAX_SAFE_INTEGER = 2**53 - 1

_INTEGER = re.compile(r"(?:0|-?[1-9][0-9]{0,15})\Z")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\Z")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?\Z")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.[0-9]{1,6})?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?\Z"
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")  # the store lowercases others


def is_integer(text: str) -> bool:
    return _INTEGER.match(text) is not None and abs(int(text)) <= MAX_SAFE_INTEGER


def is_decimal(text: str) -> bool:
    """Fixed notation. A whole number too big for JavaScript is none: it is nearly always a name."""
    return _DECIMAL.match(text) is not None and ("." in text or is_integer(text)) and text != "-0"


def is_number(text: str) -> bool:
    """Fixed or scientific notation that a double holds exactly enough to be written the same again."""
    return (
        _NUMBER.match(text) is not None
        and is_exact(text)
        and (not text.lstrip("-").isdigit() or is_integer(text))
    )


def is_exact(text: str) -> bool:
    """Whether a double, written in its shortest form, is the same number."""
    value = float(text)
    return abs(value) != float("inf") and Decimal(repr(value)) == Decimal(text)


def is_date(text: str) -> bool:
    if _DATE.match(text) is None:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_time(text: str) -> bool:
    if _TIME.match(text) is None:
        return False
    try:
        time.fromisoformat(text[:8])
    except ValueError:
        return False
    return True


def _is_moment(text: str, *, zoned: bool) -> bool:
    match = _MOMENT.match(text)
    if match is None or (match[3] is not None) is not zoned or not is_date(match[1]):
        return False
    try:
        time.fromisoformat(match[2])
    except ValueError:
        return False
    return True


def is_timestamp(text: str) -> bool:
    return _is_moment(text, zoned=False)


def is_timestamptz(text: str) -> bool:
    return _is_moment(text, zoned=True)


def is_uuid(text: str) -> bool:
    return _UUID.match(text) is not None


def is_boolean(text: str) -> bool:
    return text in ("true", "false")


def is_title_boolean(text: str) -> bool:
    return text in ("True", "False")


def is_upper_boolean(text: str) -> bool:
    return text in ("TRUE", "FALSE")


TESTS: dict[str, Callable[[str], bool]] = {
    "integer": is_integer,
    "decimal": is_decimal,
    "number": is_number,
    "boolean": is_boolean,
    "Boolean": is_title_boolean,
    "BOOLEAN": is_upper_boolean,
    "date": is_date,
    "time": is_time,
    "timestamp": is_timestamp,
    "timestamptz": is_timestamptz,
    "uuid": is_uuid,
}
"""Shape → test, the narrower before the wider."""


class Shapes:
    """The shapes that every text seen so far has."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left: list[str] = list(TESTS)

    def add(self, text: str) -> None:
        if self.left:
            self.left = [shape for shape in self.left if TESTS[shape](text)]
