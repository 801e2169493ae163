"""Query parameters as CouchDB reads them; what cannot be read is its `query_parse_error`.

Source: `couch_mrview_http.erl`, `parse_param`. A parameter in a JSON body (`queries`, POST) has its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localsrv.web.couch.bodies import parse
from localsrv.web.couch.errors import CouchError, query_parse_error

Parameters = Mapping[str, Any]
"""Texts of a query string, or values of a JSON body."""

MOST = 2**63 - 1
"""No number of rows is greater."""


def flag(parameters: Parameters, name: str, default: bool = False) -> bool:
    """`true` or `false`. Raises CouchError."""
    value = parameters.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    text = value.lower() if isinstance(value, str) else ""
    if text not in ("true", "false"):
        raise query_parse_error(f"Invalid boolean parameter: {_shown(value)}")
    return text == "true"


def natural(parameters: Parameters, name: str, default: int | None = None) -> int | None:
    """A whole number from 0. Raises CouchError."""
    value = parameters.get(name)
    if value is None:
        return default
    try:
        if isinstance(value, (bool, float)) or (isinstance(value, str) and not value.isascii()):
            raise ValueError
        number = int(value)
    except (ValueError, TypeError):
        raise query_parse_error(f"Invalid value for integer: {_shown(value)}") from None
    if number < 0:
        raise query_parse_error(f"Invalid value for positive integer: {_shown(value)}")
    return min(number, MOST)


def json_value(parameters: Parameters, name: str, *, decoded: bool = False) -> Any:
    """A parameter that is JSON; `decoded` when it comes from a JSON body. None when absent, or null.

    Raises:
        BadRequest, CouchError: it is no JSON.
    """
    value = parameters.get(name)
    if value is None or decoded:
        return value
    try:
        return parse(value.encode(), where=f"parameter `{name}`")
    except UnicodeEncodeError:
        raise CouchError(400, "bad_request", "invalid UTF-8 JSON") from None


def _shown(value: Any) -> str:
    return f'"{value[:80]}"' if isinstance(value, str) else str(value)[:80]
