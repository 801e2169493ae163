"""Reading JSON bodies strictly: what cannot be kept as it was sent is refused, never bent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue, UnsupportedMediaType

MAX_NESTING = 100
MAX_INTEGER, MIN_INTEGER = 2**63 - 1, -(2**63)

_LONG_NUMBER = re.compile(rb"[0-9]{19}")


async def read_json(request: web.Request) -> Any:
    """The body as JSON.

    Raises:
        UnsupportedMediaType: the content type is not JSON, so that no foreign form can pass for it.
        BadRequest, InvalidValue: as `parse_json`.
    """
    media_type = request.content_type
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(
            "This takes JSON.", details=media_type, hint="Send Content-Type: application/json."
        )
    return parse_json(await request.read())


async def read_object(request: web.Request, **known: type | tuple[type, ...]) -> Mapping[str, Any]:
    """The body as a JSON object whose members have these names and types; none is required here.

    Raises:
        BadRequest: not an object, a member that is not known, or of another type.
    """
    value = await read_json(request)
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    for name, member in value.items():
        if name not in known:
            raise BadRequest(
                f"`{name}` is not understood.", details=name, hint=f"Known are: {', '.join(known)}."
            )
        wanted = known[name]
        names = wanted if isinstance(wanted, tuple) else (wanted,)
        if not isinstance(member, wanted) or (isinstance(member, bool) and bool not in names):
            kinds = " or ".join(_KINDS[k] for k in names)
            raise InvalidValue(f"`{name}` must be {kinds}.", details=name)
    return value


_KINDS = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false",
    list: "a list", dict: "an object", type(None): "null",
}  # fmt: skip


def parse_json(data: bytes) -> Any:
    """The JSON value that `data` spells.

    Raises:
        BadRequest: `code="invalid-json"`: not JSON or not UTF-8 (NaN and lone surrogates are neither), a
            number beyond a double's range, or nested more than `MAX_NESTING` deep.
        InvalidValue: a whole number beyond 64 bits.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if data else None
        message = "The body is not valid JSON." if data else "The body is empty; JSON was expected."
        raise BadRequest(message, code="invalid-json", details=where, hint=_reason(error)) from error
    if data.count(b"[") + data.count(b"{") > MAX_NESTING:
        _check_nesting(value)
    if _LONG_NUMBER.search(data):
        _check_numbers(data)
    return value


def _reason(error: orjson.JSONDecodeError) -> str:
    text = str(error.msg)
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _check_nesting(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_NESTING):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
    if level:
        raise BadRequest(f"The JSON is nested more than {MAX_NESTING} deep.", code="invalid-json")


def _check_numbers(data: bytes) -> None:
    """Refuses what orjson would silently turn into a double: a whole number beyond 64 bits."""

    def whole(text: str) -> int:
        if len(text) > 20 or not MIN_INTEGER <= int(text) <= MAX_INTEGER:
            raise InvalidValue(
                f"The number {text[:40]} does not fit 64 bits.",
                hint="Send it as a text; a field of type decimal keeps every digit.",
            )
        return 0

    json.loads(data, parse_int=whole)
