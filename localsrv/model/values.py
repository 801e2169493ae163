"""Declared types: whether a JSON value fits one, and what it becomes.

Rules follow PostgreSQL's casts of JSON input: a text that reads as the type is taken, anything else is
refused. Values that fit already are returned as they are.
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from localsrv.base.errors import InvalidValue
from localsrv.model.schema import FieldType

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,19}\s*\Z")
_DECIMAL = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?\s*\Z")
DECIMAL_DIGITS = 131_072
"""Most digits before or behind a decimal's point, about PostgreSQL's: `1e999999999` is ten characters that
would be a gigabyte when they are written out."""

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


def fitted(kind: FieldType, name: str, value: Any) -> Any:
    """`value` as a value of `kind`; None stays None.

    Raises:
        InvalidValue: (`code="invalid-value"`; the data face says 22P02) it does not fit.
    """
    if value is None:
        return None
    try:
        return _FITS[kind](value)
    except (ValueError, TypeError, OverflowError, InvalidOperation):
        shown = value if isinstance(value, str) else orjson.dumps(value).decode()
        raise InvalidValue(
            f'invalid input syntax for type {kind.value}: "{str(shown)[:80]}"', details=f"Field `{name}`."
        ) from None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise ValueError


def _integer(value: Any) -> int:
    if isinstance(value, str) and _INTEGER.match(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    raise ValueError


def _number(value: Any) -> int | float:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, int | float):
        return value
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def _decimal(value: Any) -> int | float | str:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, str):
        if not _DECIMAL.match(value) or not is_writable(Decimal(value)):
            raise ValueError
        return value.strip()
    if isinstance(value, int | float):
        return value
    raise TypeError


def is_writable(number: Decimal) -> bool:
    """Whether a decimal is finite and has at most `DECIMAL_DIGITS` digits on each side of its point."""
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -DECIMAL_DIGITS and number.adjusted() < DECIMAL_DIGITS


def _uuid(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(uuid.UUID(value))


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    raise ValueError


def _parsed(parse: Callable[[str], object]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError
        parse(value)
        return value

    return check


_FITS: Mapping[FieldType, Callable[[Any], Any]] = {
    FieldType.TEXT: _text,
    FieldType.INTEGER: _integer,
    FieldType.NUMBER: _number,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _parsed(datetime.date.fromisoformat),
    FieldType.TIME: _parsed(datetime.time.fromisoformat),
    FieldType.TIMESTAMP: _parsed(datetime.datetime.fromisoformat),
    FieldType.TIMESTAMPTZ: _parsed(datetime.datetime.fromisoformat),
    FieldType.UUID: _uuid,
    FieldType.JSON: lambda value: value,
}

EXACT: Mapping[FieldType, frozenset[type]] = {
    FieldType.TEXT: frozenset({str, type(None)}),
    FieldType.INTEGER: frozenset({int, type(None)}),
    FieldType.NUMBER: frozenset({int, float, type(None)}),
    FieldType.DECIMAL: frozenset({int, float, type(None)}),
    FieldType.BOOLEAN: frozenset({bool, type(None)}),
    FieldType.JSON: frozenset({str, int, float, bool, dict, list, type(None)}),
}
"""Python types that fit without a look at the value; fields of other types always need `fitted`."""
