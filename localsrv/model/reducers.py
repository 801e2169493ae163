"""CouchDB's built-in reduce functions, over all values of a group at once.

Source: `couch_query_servers.erl`, whose words the errors have. `_approx_count_distinct` counts exactly here:
the keys come sorted, so it costs nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce as fold
from typing import Any

from localsrv.base.errors import DesignError
from localsrv.model.collation import sort_key

SUM_ERROR = (
    "The _sum function requires that map values be numbers, arrays of numbers, or objects. Objects cannot be"
    " mixed with other data structures. Objects can be arbitrarily nested, provided that the values for all"
    " fields are themselves numbers, arrays of numbers, or objects."
)

Entry = tuple[bytes, str, Any]
"""`(key bytes, document id, value)`, in view order."""


class InvalidInput(DesignError):
    """A value that the function cannot take; the whole query fails."""

    def __init__(self, reason: str) -> None:
        super().__init__("invalid_value", reason)


class _NotSummable(Exception):
    def __init__(self, cause: Any) -> None:
        super().__init__()
        self.cause = cause


def reduce_group(function: str, entries: Sequence[Entry]) -> Any:
    """The value of a group of at least one row.

    Raises:
        InvalidInput: of `_stats`. `_sum` answers an error object instead, as CouchDB does.
    """
    values = [value for _, _, value in entries]
    if function.startswith("_count"):
        return len(entries)
    if function.startswith("_sum"):
        return sum_of(values)
    if function.startswith("_stats"):
        return stats_of(values)
    if function.startswith("_approx_count_distinct"):
        return len({key for key, _, _ in entries})
    if function.startswith("_first"):
        return min(entries, key=lambda entry: entry[:2])[2]
    if function.startswith("_last"):
        return max(entries, key=lambda entry: entry[:2])[2]
    kind, _, rank = function.lstrip("_").partition("_")
    return sorted(values, key=sort_key, reverse=kind == "top")[: int(rank)]


def sum_of(values: Sequence[Any]) -> Any:
    """The sum of numbers, arrays of numbers, or objects of them; else an object that says what is wrong."""
    try:
        return fold(_add, values, 0)
    except _NotSummable as error:
        return {"error": "builtin_reduce_error", "reason": SUM_ERROR, "caused_by": error.cause}


def _add(total: Any, value: Any) -> Any:
    if _is_number(value) and _is_number(total):
        return total + value
    if isinstance(value, dict) and (total == 0 or isinstance(total, dict)):
        return _add_objects(total or {}, value)
    is_row = isinstance(value, list) or isinstance(total, list)
    if is_row and not isinstance(value, dict) and not isinstance(total, dict):
        return _add_arrays(_as_list(total, value), _as_list(value, value))
    raise _NotSummable(value)


def _add_objects(total: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    made = dict(total)
    for name, inner in value.items():
        made[name] = _add(made[name], inner) if name in made else inner
    return dict(sorted(made.items()))


def _add_arrays(total: list[Any], value: list[Any]) -> list[Any]:
    if not all(map(_is_number, value)) or not all(map(_is_number, total)):
        raise _NotSummable(value)
    longer, shorter = (total, value) if len(total) >= len(value) else (value, total)
    return [a + b for a, b in zip(longer, shorter, strict=False)] + longer[len(shorter) :]


def _as_list(value: Any, cause: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if _is_number(value):
        return [value]
    raise _NotSummable(cause)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# ── _stats ─────────────────────────────────────────────────────────────────────────────────────────────────

_FIELDS = ("sum", "count", "min", "max", "sumsqr")


def stats_of(values: Sequence[Any]) -> Any:
    """`{"sum", "count", "min", "max", "sumsqr"}` of numbers, a list of those for arrays of one length."""
    return fold(_add_stats, values[1:], _stats(values[0]))


def packed(total: Any, count: int, least: Any, most: Any, squares: Any) -> dict[str, Any]:
    return dict(zip(_FIELDS, (total, count, least, most, squares), strict=True))


def _stats(value: Any) -> Any:
    if isinstance(value, list):
        return [_stats(inner) for inner in value]
    if _is_number(value):
        return packed(value, 1, value, value, value * value)
    if isinstance(value, dict):
        return _given(value)
    raise InvalidInput(f"non-numeric _stats input: {_shown(value)}")


def _given(value: dict[str, Any]) -> dict[str, Any]:
    """Statistics that a map function emitted ready-made."""
    for name in _FIELDS:
        if name not in value:
            raise InvalidInput(f"user _stats input missing required field {name} ({_shown(value)})")
        if not _is_number(value[name]):
            raise InvalidInput(f"non-numeric _stats input received for {name}: {_shown(value[name])}")
    return {name: value[name] for name in _FIELDS}


def _add_stats(total: Any, value: Any) -> Any:
    if isinstance(total, list) or isinstance(value, list):
        if not isinstance(total, list) or not isinstance(value, list) or len(total) != len(value):
            raise InvalidInput(
                "The _stats function requires that map values be numbers or arrays of numbers, not"
                f" '{_shown(value)}'"
            )
        return [_add_stats(a, b) for a, b in zip(total, value, strict=True)]
    more = _stats(value)
    return packed(
        total["sum"] + more["sum"],
        total["count"] + more["count"],
        min(total["min"], more["min"]),
        max(total["max"], more["max"]),
        total["sumsqr"] + more["sumsqr"],
    )


def _shown(value: Any) -> str:
    return repr(value)[:200]
