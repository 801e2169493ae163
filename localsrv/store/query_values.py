"""A filter's literal as the value that its column holds, and casts of returned values.

Codes of the errors are this project's; the data face maps them to PostgreSQL's (22P02, 22003, 22007).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

import orjson

from localsrv.base.errors import InvalidValue, UnknownName
from localsrv.model.moments import SORTABLE
from localsrv.model.query import Path
from localsrv.model.schema import FieldType
from localsrv.model.values import is_writable

SqlValue = str | int | float | None

_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*\Z")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\s*\Z")
_BOOLEANS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"), 1),
        **dict.fromkeys(("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"), 0),
    }
)
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?\Z")


_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "integer": "Write digits alone, such as 42 or -7.",
        "double precision": "Write a number such as 1.5 or 1e9.",
        "numeric": "Write a number such as 19.90.",
        "boolean": "Write true or false.",
        "date": "Write a date such as 2026-01-31.",
        "time": "Write a time such as 14:30 or 14:30:00.5.",
        "timestamp": "Write a moment such as 2026-01-31T14:30:00.",
        "timestamp with time zone": "Write a moment such as 2026-01-31T14:30:00Z.",
        "uuid": "Write 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.",
        "json": 'Write JSON; a text stands in double quotes: "a".',
    }
)


def bad_literal(kind: str, text: str, code: str = "invalid-literal") -> InvalidValue:
    """The error for a literal that its type does not take."""
    return InvalidValue(
        f'invalid input syntax for type {kind}: "{text[:200]}"', code=code, hint=_SPELLINGS.get(kind)
    )


def _integer(text: str) -> SqlValue:
    if not _INTEGER.match(text):
        raise bad_literal("integer", text)
    value = int(text) if len(text) <= 40 else 2**63
    if not -(2**63) <= value < 2**63:
        raise InvalidValue(
            f'value "{text[:50]}" is out of range for type integer',
            code="out-of-range",
            hint="Integers have 64 bits: up to 9223372036854775807.",
        )
    return value


def _number(text: str) -> SqlValue:
    if not _NUMBER.match(text):
        word = text.strip().lower().lstrip("+-")
        if word not in ("nan", "infinity", "inf"):
            raise bad_literal("double precision", text)
        return None if word == "nan" else float(text)
    return float(text)


def _decimal(text: str) -> SqlValue:
    # Left as text: the column's NUMERIC affinity converts it as it converted the stored value.
    if not _NUMBER.match(text):
        raise bad_literal("numeric", text)
    return text.strip()


def _boolean(text: str) -> SqlValue:
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise bad_literal("boolean", text)
    return value


def _moment(kind: FieldType, name: str) -> Callable[[str], SqlValue]:
    parse = SORTABLE[kind]

    def convert(text: str) -> SqlValue:
        try:
            return parse(text.strip())
        except (ValueError, OverflowError) as error:
            raise bad_literal(name, text, "invalid-datetime") from error

    return convert


def _uuid(text: str) -> SqlValue:
    try:
        return str(uuid.UUID(text.strip()))
    except ValueError as error:
        raise bad_literal("uuid", text) from error


def _json(text: str) -> SqlValue:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise bad_literal("json", text) from error
    if isinstance(value, (dict, list)):
        return orjson.dumps(value).decode()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)


def _text(text: str) -> SqlValue:
    return text


CONVERT: Mapping[FieldType, Callable[[str], SqlValue]] = MappingProxyType(
    {
        FieldType.TEXT: _text,
        FieldType.INTEGER: _integer,
        FieldType.NUMBER: _number,
        FieldType.DECIMAL: _decimal,
        FieldType.BOOLEAN: _boolean,
        FieldType.DATE: _moment(FieldType.DATE, "date"),
        FieldType.TIME: _moment(FieldType.TIME, "time"),
        FieldType.TIMESTAMP: _moment(FieldType.TIMESTAMP, "timestamp"),
        FieldType.TIMESTAMPTZ: _moment(FieldType.TIMESTAMPTZ, "timestamp with time zone"),
        FieldType.UUID: _uuid,
        FieldType.JSON: _json,
    }
)


def untyped(text: str) -> SqlValue:
    """A literal for a value of no declared type: a number where it is spelt as JSON spells numbers."""
    if _JSON_NUMBER.match(text) is None:
        return text
    if text.lstrip("-").isdigit():
        value = int(text) if len(text) < 20 else 2**64
        return value if -(2**63) <= value < 2**63 else text
    return float(text)


def plain_text(text: str) -> SqlValue:
    """A literal compared as text, whatever it looks like."""
    return text


def json_path(path: Path) -> str:
    """The place inside the body, as SQLite writes it; key names in JSON's own quoting."""
    out = ["$.", orjson.dumps(path.column).decode()]
    for step in path.steps:
        if isinstance(step, int):
            out.append(f"[{step}]" if step >= 0 else f"[#{step}]")
        else:
            out.append("." + orjson.dumps(step).decode())
    return "".join(out)


def container(text: str) -> str:
    """The literal of `cs`, `cd` or `ov` as JSON: itself, or a PostgreSQL array such as `{a,"b c"}`.

    Raises:
        InvalidValue: neither.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return orjson.dumps(_array(text)).decode()
    return orjson.dumps(value).decode()


def _array(text: str) -> list[Any]:
    from localsrv.base.errors import QuerySyntaxError
    from localsrv.model.query.filters import parse_list
    from localsrv.model.query.scan import Scanner

    scanner = Scanner(text.strip(), "array")
    try:
        found = parse_list(scanner, "{", "}")
        scanner.expect_end()
    except QuerySyntaxError as error:
        raise InvalidValue(
            f'malformed array literal: "{text[:200]}"',
            code="invalid-literal",
            hint='Write {a,b}, or JSON such as ["a","b"] or {"key":"value"}.',
        ) from error
    return [item.strip() for item in found]


# ---- casts of what is returned

CAST_TYPES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("text", "varchar", "character varying", "char", "bpchar", "name", "citext"), "text"),
        **dict.fromkeys(("int", "int2", "int4", "int8", "integer", "bigint", "smallint"), "integer"),
        **dict.fromkeys(("float", "float4", "float8", "real", "double precision"), "number"),
        **dict.fromkeys(("numeric", "decimal"), "decimal"),
        **dict.fromkeys(("bool", "boolean"), "boolean"),
        **dict.fromkeys(("json", "jsonb"), "json"),
        "date": "date",
        "time": "time",
        **dict.fromkeys(("timestamp", "timestamp without time zone"), "timestamp"),
        **dict.fromkeys(("timestamptz", "timestamp with time zone"), "timestamptz"),
        "uuid": "uuid",
    }
)


def cast_kind(name: str) -> str:
    """The kind of a cast's type name. Raises UnknownName (`code="unknown-type"`)."""
    kind = CAST_TYPES.get(name)
    if kind is None:
        raise UnknownName(
            f'type "{name[:100]}" does not exist',
            code="unknown-type",
            hint=f"Known are {', '.join(sorted(set(CAST_TYPES.values())))}.",
        )
    return kind


def cast_text(kind: Any, value: Any) -> str | None:
    """JSON text `value` cast to `kind`, as JSON text; None for null and for what cannot be cast.

    PostgreSQL would refuse the whole query for one bad value; documents of mixed shapes are normal here.
    """
    if value is None:
        return None
    loaded = orjson.loads(value)
    if loaded is None:
        return None
    if kind == "json":
        return str(value)
    text = loaded if isinstance(loaded, str) else str(value)
    try:
        return _CASTS[kind](text)
    except (InvalidValue, ValueError, InvalidOperation, OverflowError):
        return None


def _cast_integer(text: str) -> str:
    # PostgreSQL rounds halves away from zero.
    number = Decimal("1") if text == "true" else Decimal("0") if text == "false" else Decimal(text.strip())
    rounded = int(number.quantize(Decimal(1), rounding="ROUND_HALF_UP"))
    if not -(2**63) <= rounded < 2**63:
        raise ValueError
    return str(rounded)


def _cast_decimal(text: str) -> str:
    number = Decimal(text.strip())
    if not is_writable(number):
        raise ValueError
    return format(number, "f")


def _quoted(convert: Callable[[str], object]) -> Callable[[str], str]:
    return lambda text: orjson.dumps(str(convert(text))).decode()


_CASTS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "text": _quoted(lambda text: text),
        "integer": _cast_integer,
        "number": lambda text: orjson.dumps(float(text)).decode(),
        "decimal": _cast_decimal,
        "boolean": lambda text: "true" if _boolean(text) else "false",
        "date": _quoted(SORTABLE[FieldType.DATE]),
        "time": _quoted(SORTABLE[FieldType.TIME]),
        "timestamp": _quoted(SORTABLE[FieldType.TIMESTAMP]),
        "timestamptz": _quoted(SORTABLE[FieldType.TIMESTAMPTZ]),
        "uuid": _quoted(lambda text: uuid.UUID(text)),
    }
)
