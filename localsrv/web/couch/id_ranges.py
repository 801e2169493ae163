"""Ranges of ids, as `startkey`, `endkey` and `key` give them.

Keys are JSON. One that is no text sorts as in views: null, booleans and numbers before every id, lists and
objects behind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from localsrv.web.couch.parameters import Parameters, flag, json_value

_BEHIND_ALL = "\U0010ffff" * 8
"""Behind every id that anybody uses."""


@dataclass(frozen=True, slots=True)
class IdRange:
    """From `start` to `end`, which with `descending` is the lower one. None leaves a side open."""

    start: str | None = None
    end: str | None = None
    inclusive_end: bool = True
    descending: bool = False


def id_range(parameters: Parameters, *, decoded: bool = False) -> IdRange:
    """The range that parameters ask for. Raises CouchError for one that cannot be read."""
    descending = flag(parameters, "descending")
    inclusive_end = flag(parameters, "inclusive_end", True)
    if "key" in parameters:
        key = _as_text(json_value(parameters, "key", decoded=decoded))
        return IdRange(key, key, True, descending)
    start, end = (_bound(parameters, *names, decoded=decoded) for names in (_START, _END))
    return IdRange(start, end, inclusive_end, descending)


_START, _END = ("startkey", "start_key"), ("endkey", "end_key")


def _bound(parameters: Parameters, *names: str, decoded: bool) -> str | None:
    for name in names:
        if name in parameters:
            return _as_text(json_value(parameters, name, decoded=decoded))
    return None


def _as_text(key: Any) -> str:
    if isinstance(key, str):
        return key
    return _BEHIND_ALL if isinstance(key, (list, dict)) else ""


def limited_to(prefix: str, chosen: IdRange) -> IdRange:
    """The part of a range whose ids begin with `prefix`, such as `_design/`."""
    behind = prefix[:-1] + chr(ord(prefix[-1]) + 1)  # no id equals it: the ids of a prefix end before
    if chosen.descending:
        start = behind if chosen.start is None else min(chosen.start, behind)
        if chosen.end is None or chosen.end < prefix:
            return replace(chosen, start=start, end=prefix, inclusive_end=True)
        return replace(chosen, start=start)
    start = prefix if chosen.start is None else max(chosen.start, prefix)
    if chosen.end is None or chosen.end > behind:
        return replace(chosen, start=start, end=behind)
    return replace(chosen, start=start)


def without(prefix: str, chosen: IdRange) -> IdRange:
    """A range inside `limited_to(prefix, …)` as one of what stands behind the prefix.

    A bound outside of the prefix is one before everything (`""`) or behind everything.
    """

    def cut(bound: str | None) -> str | None:
        if bound is None or bound.startswith(prefix):
            return None if bound is None else bound.removeprefix(prefix)
        return "" if bound < prefix else _BEHIND_ALL

    return replace(chosen, start=cut(chosen.start), end=cut(chosen.end))
