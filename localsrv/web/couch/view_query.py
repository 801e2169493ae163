"""What a client asks of a view: parameters as values, and the words for those that make no sense together.

Source: `couch_mrview_http.erl`, `parse_param`, and `couch_mrview_util.erl`, `validate_args`. `stable` and
`sorted` are accepted and change nothing: there is one copy of the index, and it is always sorted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from localsrv.base.errors import LocalsrvError
from localsrv.model.design_document import View
from localsrv.services.reducing import EXACT
from localsrv.store.view_snapshot import Bound, Range
from localsrv.web.couch.bodies import parse
from localsrv.web.couch.errors import CouchError, query_parse_error
from localsrv.web.couch.included import Included
from localsrv.web.couch.parameters import Parameters, flag, natural


class Update(Enum):
    """Whether the index is brought up to date before the answer, behind it, or not at all."""

    FIRST, LATER, NEVER = "true", "lazy", "false"


_KEYS: Mapping[str, str] = {
    "key": "key",
    "keys": "keys",
    "startkey": "startkey",
    "start_key": "startkey",
    "endkey": "endkey",
    "end_key": "endkey",
}
"""Parameters that are JSON, and the name that each has here."""

_IDS: Mapping[str, str] = {
    "startkey_docid": "startkey_docid",
    "start_key_doc_id": "startkey_docid",
    "start_key_docid": "startkey_docid",
    "endkey_docid": "endkey_docid",
    "end_key_doc_id": "endkey_docid",
    "end_key_docid": "endkey_docid",
}

_NO_ROWS = "No rows can match your key range, reverse your start_key and end_key or set descending={}"


@dataclass(frozen=True, slots=True)
class ViewQuery:
    """A query that makes sense. `ranges` are in the order in which their rows are told.

    `level` is 0 (everything), `EXACT` or a number of elements; it matters when `reduces`.
    """

    ranges: tuple[Range, ...]
    descending: bool
    skip: int
    limit: int | None
    reduces: bool
    level: int
    included: Included | None
    update: Update
    with_update_seq: bool


def decoded(parameters: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of a query string with those decoded that are JSON. Raises CouchError."""
    return {
        name: _json(name, value) if name in _KEYS else value for name, value in parameters.items() if name
    }


def _json(name: str, value: str) -> Any:
    try:
        return parse(value.encode("utf-8", "strict"), where=f"parameter `{name}`")
    except (LocalsrvError, UnicodeEncodeError):
        raise CouchError(400, "bad_request", f"invalid UTF-8 JSON in `{name}`") from None


def view_query(parameters: Parameters, view: View) -> ViewQuery:
    """The query of a view that parameters make, those that are JSON decoded (`decoded`).

    Raises:
        CouchError: one that cannot be read, or two that exclude each other.
    """
    given = {_KEYS.get(name) or _IDS.get(name) or name: value for name, value in parameters.items()}
    if "partition" in given:
        raise query_parse_error("`partition` parameter is not supported in this design doc")
    for name in ("stable", "sorted"):
        _flag(given, name)
    reduces = _reduces(given, view.reduce is not None)
    keys = _keys(given)
    level = _level(given, reduces, keys)
    descending = flag(given, "descending")
    ranges = _ranges(given, view, keys, descending)
    included = Included.of(given)
    if flag(given, "include_docs") and reduces:
        raise query_parse_error("`include_docs` is invalid for reduce")
    if given.get("conflicts") is not None and reduces:
        raise query_parse_error("`conflicts` is invalid for reduce views.")
    return ViewQuery(
        ranges,
        descending,
        natural(given, "skip", 0) or 0,
        natural(given, "limit"),
        reduces,
        level,
        included if flag(given, "include_docs") else None,
        _update(given),
        flag(given, "update_seq"),
    )


def _flag(given: Parameters, name: str) -> None:
    value = given.get(name)
    if value not in (None, True, False, "true", "false"):
        raise query_parse_error(f"Invalid value for `{name}`.")


def _reduces(given: Parameters, can_reduce: bool) -> bool:
    if given.get("reduce") is None:
        return can_reduce
    wanted = flag(given, "reduce")
    if wanted and not can_reduce:
        raise query_parse_error("Reduce is invalid for map-only views.")
    return wanted


def _keys(given: dict[str, Any]) -> Sequence[Any] | None:
    """The keys asked for one by one. A single one is the same as `key`."""
    keys = given.pop("keys", None)
    if keys is None:
        return None
    if not isinstance(keys, list):
        raise query_parse_error("`keys` must be an array of strings.")
    if keys and any(name in given for name in ("key", "startkey", "endkey")):
        raise query_parse_error("`keys` is incompatible with `key`, `start_key` and `end_key`")
    if len(keys) == 1:
        given["key"] = keys[0]
        return None
    return keys


def _level(given: Parameters, reduces: bool, keys: Sequence[Any] | None) -> int:
    group = None if given.get("group") is None else flag(given, "group")
    asked = natural(given, "group_level")
    if group is False and asked:
        raise query_parse_error("Can't specify group=false and group_level>0 at the same time")
    level = asked if asked is not None else EXACT if group else 0
    if level and not reduces:
        raise query_parse_error("Invalid use of grouping on a map view.")
    if reduces and keys is not None and level != EXACT:
        raise query_parse_error("Multi-key fetches for reduce views must use `group=true`")
    return level


def _update(given: Parameters) -> Update:
    stale = given.get("stale")
    if stale is not None:
        if stale not in ("ok", "update_after"):
            raise query_parse_error("Invalid value for `stale`.")
        return Update.NEVER if stale == "ok" else Update.LATER
    value = given.get("update")
    if value is None:
        return Update.FIRST
    text = str(value).lower() if isinstance(value, bool) else value
    if text not in ("true", "false", "lazy"):
        raise query_parse_error("Invalid value for `update`.")
    return Update(text)


# ── ranges ─────────────────────────────────────────────────────────────────────────────────────────────────


def _ranges(
    given: dict[str, Any], view: View, keys: Sequence[Any] | None, descending: bool
) -> tuple[Range, ...]:
    ids = {name: _id(given, name) for name in ("startkey_docid", "endkey_docid")}
    inclusive = flag(given, "inclusive_end", True)
    if keys is not None:
        ordered = reversed(keys) if descending else keys
        return tuple(_of_key(view, key, ids, descending, True) for key in ordered)
    if "key" in given:
        return (_of_key(view, given["key"], ids, descending, inclusive),)
    start = end = None
    if "startkey" in given:
        start = Bound(view.sort_key(given["startkey"]), ids["startkey_docid"])
    if "endkey" in given:
        end = Bound(view.sort_key(given["endkey"]), ids["endkey_docid"], inclusive)
    low, high = (end, start) if descending else (start, end)
    _check_order(low, high, descending)
    return (Range(view.number, low, high),)


def _of_key(view: View, key: Any, ids: Mapping[str, str | None], descending: bool, inclusive: bool) -> Range:
    key_bytes = view.sort_key(key)
    start = Bound(key_bytes, ids["startkey_docid"])
    end = Bound(key_bytes, ids["endkey_docid"], inclusive)
    return Range(view.number, end, start) if descending else Range(view.number, start, end)


def _check_order(low: Bound | None, high: Bound | None, descending: bool) -> None:
    if low is None or high is None or low.key < high.key:
        return
    if low.key > high.key or (low.id is not None and high.id is not None and low.id > high.id):
        raise query_parse_error(_NO_ROWS.format("false" if descending else "true"))


def _id(given: Parameters, name: str) -> str | None:
    value = given.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise query_parse_error(f"`{name.replace('key', '_key')}` must be a string.")
    return value
