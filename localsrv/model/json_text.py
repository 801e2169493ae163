"""JSON as it comes from outside, read strictly: what could not be kept as it was sent is refused.

orjson is strict about the grammar, UTF-8, NaN and lone surrogates, but bends three things in silence: a whole
number beyond 64 bits becomes a double, a fraction loses the digits that a double cannot hold, and NUL is let
through, which SQLite's text functions end at. These, and depth, are looked for here. Every look begins with a
search in the bytes that an ordinary body does not match.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import orjson

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.model.json_numbers import (
    BEYOND_64_BITS,
    BEYOND_A_DOUBLE,
    inexact_number,
    is_64_bits,
    why_inexact,
)

MAX_NESTING = 100
"""How deep arrays and objects may nest."""

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_NO_NUMBER = re.compile(r".?-?(?:NaN|Infinity)", re.DOTALL)
_NOT_BRACKETS = bytes(c for c in range(256) if c not in b"[]{}")


def parse_json(
    data: bytes, *, where: str = "body", may_hold_nul: bool = False, may_be_wide: bool = False
) -> Any:
    """The value that `data` spells. `where` names the input in messages.

    `may_hold_nul` lets NUL through, and `may_be_wide` whole numbers beyond 64 bits that a double keeps (1e20,
    as JavaScript writes it with all its zeros): for documents that other devices have already.

    Raises:
        BadRequest: `code="invalid-json"`: not JSON, not UTF-8, NaN, a lone surrogate, nested more than
            `MAX_NESTING` deep.
        InvalidValue: `code="inexact-number"` for a number that would lose digits or is beyond a double's
            range, `code="nul"` for a NUL in a text or a name.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _not_json(error, data, where) from error
    if found := inexact_number(data, value, may_be_wide=may_be_wide):
        raise _inexact(*found, where)
    # One byte is found at once, several are not.
    if not may_hold_nul and b"\\" in data and b"\\u0000" in data and _holds_nul(value):
        raise InvalidValue(
            f"The {where} holds a NUL character, which a text cannot contain.",
            code="nul",
            hint="Leave \\u0000 out, or send the bytes as an attachment or in base64.",
        )
    if _is_deep(data) and not _nests_within(value, MAX_NESTING):
        raise _too_deep(where)
    return value


class InexactNumber:
    """A number that would not be kept as it was sent. No JSON is made of it, so what holds one is refused."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def parse_marking(data: bytes) -> Any:
    """What `data` spells, each number that would lose digits being an `InexactNumber`.

    For many documents in one text of which one may be refused: it must not take the others with it.

    Raises:
        orjson.JSONDecodeError: not JSON. RecursionError: nested some hundreds deep around such a number.
    """
    value = orjson.loads(data)
    if inexact_number(data, value, may_be_wide=True):
        return json.loads(data, parse_int=partial(_marked, int), parse_float=partial(_marked, float))
    return value


def _marked(kind: type[int] | type[float], text: str) -> int | float | InexactNumber:
    if why_inexact(text, may_be_wide=True) is not None:
        return InexactNumber(text)
    return float(text) if kind is int and not is_64_bits(text) else kind(text)


def dump(value: Any) -> bytes:
    """A value as compact JSON."""
    return orjson.dumps(value)


def _not_json(error: orjson.JSONDecodeError, data: bytes, where: str) -> BadRequest:
    if not data.strip():
        return BadRequest(
            f"The {where} is empty; JSON was expected.", code="invalid-json", hint="Send {} for nothing."
        )
    number = _NUMBER.match(error.doc, error.pos)
    if number is not None and abs(float(number.group())) == float("inf"):
        is_whole = number.group().lstrip("-").isdigit()
        return _inexact(number.group(), where, BEYOND_64_BITS if is_whole else BEYOND_A_DOUBLE)
    if not error.doc:
        return _not_utf8(data, where)
    if _opens_deep(error.doc[: error.pos]):  # orjson gives up before it has seen the end
        return _too_deep(where)
    reason = error.msg.split(":", 1)[0]
    return BadRequest(
        f"The {where} is not valid JSON: {reason}.",
        code="invalid-json",
        details=f"line {error.lineno}, column {error.colno}",
        hint="NaN and Infinity are no JSON; send null or a text."
        if _NO_NUMBER.match(error.doc, max(0, error.pos - 1))
        else None,
    )


def _too_deep(where: str) -> BadRequest:
    return BadRequest(
        f"The {where} nests more than {MAX_NESTING} deep.",
        code="invalid-json",
        hint="Store the inner part as text, or split it into documents of its own.",
    )


def _not_utf8(data: bytes, where: str) -> BadRequest:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        lines = data[: error.start].split(b"\n")
        return BadRequest(
            f"The {where} is not UTF-8.",
            code="invalid-json",
            details=f"line {len(lines)}, byte {len(lines[-1]) + 1}",
            hint="Send the text in UTF-8, without escapes for half characters.",
        )
    return BadRequest(f"The {where} is not valid JSON.", code="invalid-json")


def _inexact(text: str, where: str, reason: str) -> InvalidValue:
    return InvalidValue(
        f"The {where} holds {text[:60]}, {reason}.",
        code="inexact-number",
        hint='Send it as a text ("…") in a field of type decimal or text; then every digit is kept.',
    )


def _holds_nul(value: Any) -> bool:
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            if "\0" in one:
                return True
        elif isinstance(one, dict):
            pending.extend(one)
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)
    return False


def _is_deep(data: bytes) -> bool:
    """Whether the brackets alone, those in texts included, might nest too deep."""
    brackets = data.translate(None, _NOT_BRACKETS)
    if len(brackets) <= 2 * MAX_NESTING:
        return False
    for _ in range(MAX_NESTING):
        shorter = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not shorter:
            return False
        if len(shorter) == len(brackets):
            return True
        brackets = shorter
    return bool(brackets)


def _opens_deep(text: str) -> bool:
    """Whether the beginning of a JSON text opens more than `MAX_NESTING` brackets one in the other."""
    depth = 0
    for match in _TEXT_OR_BRACKET.finditer(text):
        bracket = match.group()
        depth += 1 if bracket in "[{" else -1 if bracket in "]}" else 0
        if depth > MAX_NESTING:
            return True
    return False


def _nests_within(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return not any(isinstance(one, (dict, list)) for one in level)
