"""The body of `_find` and `_explain`, checked as CouchDB checks it. Source: CouchDB's `mango_opts.erl`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from localsrv.model.mango_errors import MangoError, shown
from localsrv.model.mango_index import parse_sort
from localsrv.model.selector import Selector, parse_selector
from localsrv.model.selector_parse import parse_field

DEFAULT_LIMIT = 25


@dataclass(frozen=True, slots=True)
class FindRequest:
    """A query. `fields` is empty for whole documents, `bookmark` None for the first page."""

    selector: Selector
    use_index: tuple[str, ...] = ()
    """() or a design document's name (without `_design/`), and an index's name behind it."""
    bookmark: str | None = None
    limit: int = DEFAULT_LIMIT
    skip: int = 0
    sort: tuple[tuple[str, str], ...] = ()
    fields: tuple[str, ...] = ()
    partition: str = ""
    r: int = 1
    conflicts: bool = False
    stale: str | bool = False
    update: bool = True
    stable: bool = False
    execution_stats: bool = False
    allow_fallback: bool = True

    @property
    def descending(self) -> bool:
        return bool(self.sort) and self.sort[0][1] == "desc"

    @property
    def sort_fields(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.sort)

    @property
    def may_update(self) -> bool:
        """Whether indexes that are not built yet shall be."""
        return self.update and self.stale != "ok"

    def options(self) -> dict[str, Any]:
        """`opts` of `_explain`."""
        return {
            "use_index": list(self.use_index),
            "bookmark": self.bookmark or "nil",
            "limit": self.limit,
            "skip": self.skip,
            "sort": dict(self.sort),
            "fields": list(self.fields),
            "partition": self.partition,
            "r": self.r,
            "conflicts": self.conflicts,
            "stale": self.stale,
            "update": self.update,
            "stable": self.stable,
            "execution_stats": self.execution_stats,
            "allow_fallback": self.allow_fallback,
        }


def parse_find(body: Any) -> FindRequest:
    """The request of a JSON body. Raises MangoError (`missing_required_key`, `invalid_key`, …)."""
    if not isinstance(body, dict):
        raise MangoError("bad_request", "Request body must be a JSON object")
    if "selector" not in body:
        raise MangoError("missing_required_key", "Missing required key: selector")
    values = {key: check(body[key]) for key, check in _CHECKS.items() if key in body}
    for key in body:
        if key not in _CHECKS:
            raise MangoError("invalid_key", f"Invalid key {key[:300]} for this request.")
    return FindRequest(**values)


def parse_use_index(value: Any) -> tuple[str, ...]:
    """`use_index`: a design document's name, or it and an index's, as a list or joined by `/`."""
    if value is None or value == []:
        return ()
    parts = value.split("/") if isinstance(value, str) else value
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
        if isinstance(value, str) and parts[0] == "_design" and len(parts) > 1:
            parts = parts[1:]
        if len(parts) in (1, 2):
            return (parts[0].removeprefix("_design/"), *parts[1:])
    raise MangoError("invalid_index_name", f"Invalid index name: {shown(value)}")


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise MangoError("invalid_boolean", f"Invalid boolean value: {shown(value)}")
    return value


def _whole(lowest: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            name, words = (
                ("invalid_pos_integer", "greater than zero")
                if lowest
                else ("invalid_non_neg_integer", "greater than or equal to zero")
            )
            raise MangoError(name, f"{shown(value)} is not an integer {words}")
        return value

    return check


def _bookmark(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid_bookmark(value)
    return None if value == "nil" else value


def invalid_bookmark(value: Any) -> MangoError:
    return MangoError("invalid_bookmark", f"Invalid bookmark value: {shown(value)}")


def _fields(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise MangoError("invalid_fields", f"Fields must be an array of strings, not: {shown(value)}")
    for name in value:
        if not isinstance(name, str):
            raise MangoError("invalid_field", f"Invalid JSON for field spec: {shown(name)}")
        parse_field(name)
    return tuple(value)


def _partition(value: Any) -> str:
    if value != "":
        raise MangoError("bad_request", "`partition` is not supported on this database")
    return ""


def _stale(value: Any) -> str | bool:
    if value is not False and value not in ("ok", "false"):
        raise MangoError("invalid_value", f"Invalid value for stale: {shown(value)}")
    return "ok" if value == "ok" else False


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "selector": parse_selector,
    "use_index": parse_use_index,
    "bookmark": _bookmark,
    "limit": _whole(0),
    "skip": _whole(0),
    "sort": parse_sort,
    "fields": _fields,
    "partition": _partition,
    "r": _whole(1),
    "conflicts": _boolean,
    "stale": _stale,
    "update": _boolean,
    "stable": _boolean,
    "execution_stats": _boolean,
    "allow_fallback": _boolean,
}
