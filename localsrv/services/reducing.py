"""Reductions of view rows: CouchDB's built-in functions, and JavaScript ones by way of a child process.

Nothing is kept between queries but the last results: `_count`, `_sum` and `_stats` over everything or by key
are added up by SQLite, a million rows in less than a second; all others read the rows of the range.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any

import orjson

from localsrv.base.threads import in_thread
from localsrv.javascript.pool import JavaScript, Program
from localsrv.javascript.worker import JavaScriptError
from localsrv.model.collation import group_prefix
from localsrv.model.design_document import is_built_in
from localsrv.model.reducers import Entry, packed, reduce_group, sum_of
from localsrv.store.view_snapshot import Numbers, Range, Snapshot

EXACT = -1
"""As a group level: by the whole key."""

ROWS_AT_ONCE = 200
"""Rows that a JavaScript function reduces in one call."""

CALLS_AT_ONCE = 50
REMEMBERED = 64

_SMALLEST_OVERFLOW = 5000
_OVERFLOW_RATIO = 2.0
"""What CouchDB takes for a reduction that does not reduce (`reduce_limit_threshold` and `_ratio`)."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """What is asked for: groups of the rows of some ranges. `limit` None is all."""

    view: int
    function: str
    ranges: tuple[Range, ...]
    level: int = 0
    descending: bool = False
    skip: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Reduced:
    """One group as JSON texts; `error` and `reason` stand for a value that there is none of."""

    key: str
    value: str = "null"
    error: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class Reducer:
    """Reduces, and remembers the last results of each index."""

    javascript: JavaScript
    _remembered: OrderedDict[Any, list[Reduced]] = field(default_factory=OrderedDict)

    async def reduce(
        self, snapshot: Snapshot, index: str, program: Program, asked: Reduction
    ) -> list[Reduced]:
        """The groups asked for, in view order. `index` names the index, for what is remembered.

        Raises:
            DesignError: values that `_stats` cannot take, a function that fails as a whole.
        """
        if asked.limit == 0:
            return []
        key = (index, snapshot.seq, asked)
        found = self._remembered.get(key)
        if found is None:
            found = await self._reduce(snapshot, program, asked)
            if len(found) <= 1000:
                self._remembered[key] = found
                while len(self._remembered) > REMEMBERED:
                    self._remembered.popitem(last=False)
        return found

    async def _reduce(self, snapshot: Snapshot, program: Program, asked: Reduction) -> list[Reduced]:
        if is_built_in(asked.function):
            return await in_thread(lambda: _built_in(snapshot, asked))
        return await self._by_javascript(snapshot, program, asked)

    # ── JavaScript ─────────────────────────────────────────────────────────────────────────────────────────

    async def _by_javascript(self, snapshot: Snapshot, program: Program, asked: Reduction) -> list[Reduced]:
        keys: list[str] = []
        partial: list[list[str]] = []
        calls = _calls(snapshot, asked)
        while batch := await in_thread(lambda: list(islice(calls, CALLS_AT_ONCE))):
            results = await self._run(program, asked.function, [line for _, _, line in batch], rereduce=False)
            if isinstance(results, JavaScriptError):
                return [Reduced("null", error=results.error, reason=results.message)]
            for (number, shown, _), result in zip(batch, results, strict=True):
                if number == len(keys):
                    keys.append(shown)
                    partial.append([])
                partial[number].append(result)
        while any(len(values) > 1 for values in partial):
            failed = await self._rereduce(program, asked.function, partial)
            if failed is not None:
                return [Reduced("null", error=failed.error, reason=failed.message)]
        return [Reduced(key, values[0]) for key, values in zip(keys, partial, strict=True)]

    async def _rereduce(
        self, program: Program, function: str, partial: list[list[str]]
    ) -> JavaScriptError | None:
        """Reduces the values of every group that has several, in groups of at most `ROWS_AT_ONCE`."""
        lines: list[bytes] = []
        places: list[int] = []
        for number, values in enumerate(partial):
            if len(values) == 1:
                continue
            for at in range(0, len(values), ROWS_AT_ONCE):
                lines.append(b"[null,[" + ",".join(values[at : at + ROWS_AT_ONCE]).encode() + b"]]")
                places.append(number)
            partial[number] = []
        for at in range(0, len(lines), CALLS_AT_ONCE):
            part = slice(at, at + CALLS_AT_ONCE)
            results = await self._run(program, function, lines[part], rereduce=True)
            if isinstance(results, JavaScriptError):
                return results
            for number, result in zip(places[part], results, strict=True):
                partial[number].append(result)
        return None

    async def _run(
        self, program: Program, function: str, lines: Sequence[bytes], *, rereduce: bool
    ) -> list[str] | JavaScriptError:
        """JSON texts of the reductions, or the error that stands in their place in the answer."""
        options: Mapping[str, Any] = {
            "reduce": function,
            "rereduce": rereduce,
            "threshold": _SMALLEST_OVERFLOW,
            "ratio": _OVERFLOW_RATIO,
        }
        try:
            results = await self.javascript.run(program, "reduce", options, lines)
        except JavaScriptError as error:
            if error.error == "reduce_overflow_error":
                return error
            raise
        return [orjson.dumps(result).decode() for result in results]


# ── groups ─────────────────────────────────────────────────────────────────────────────────────────────────

_Stored = tuple[bytes, str, str, str]
"""`(key bytes, key, document id, value)`, as `Snapshot.each` gives them."""


def _groups(snapshot: Snapshot, asked: Reduction) -> Iterator[tuple[str, Iterator[_Stored]]]:
    """`(key as JSON, its rows)` of the groups asked for."""
    found = (group for one in asked.ranges for group in _of_range(snapshot, one, asked))
    end = None if asked.limit is None else asked.skip + asked.limit
    return islice(found, asked.skip, end)


def _of_range(snapshot: Snapshot, one: Range, asked: Reduction) -> Iterator[tuple[str, Iterator[_Stored]]]:
    rows = snapshot.each(one, descending=asked.descending)
    if asked.level == 0:
        first = next(rows, None)
        if first is not None:
            yield "null", _with(first, rows)
        return
    level = asked.level
    for _, group in groupby(rows, lambda row: row[0] if level == EXACT else group_prefix(row[0], level)):
        first = next(group)
        yield _shown(first[1], level), _with(first, group)  # noqa: B031 - what `first` left of it


def _with(first: _Stored, rest: Iterator[_Stored]) -> Iterator[_Stored]:
    yield first
    yield from rest


def _shown(key: str, level: int) -> str:
    if level == EXACT or not key.startswith("["):
        return key
    return orjson.dumps(orjson.loads(key)[:level]).decode()


def _calls(snapshot: Snapshot, asked: Reduction) -> Iterator[tuple[int, str, bytes]]:
    """`(number of the group, its key, a line for the child)`: the rows of a group in several calls."""
    for number, (shown, rows) in enumerate(_groups(snapshot, asked)):
        while some := list(islice(rows, ROWS_AT_ONCE)):
            keys = ",".join([f"[{key},{orjson.dumps(i).decode()}]" for _, key, i, _ in some])
            values = ",".join([value for _, _, _, value in some])
            yield number, shown, f"[[{keys}],[{values}]]".encode()


# ── built-in functions ─────────────────────────────────────────────────────────────────────────────────────


def _built_in(snapshot: Snapshot, asked: Reduction) -> list[Reduced]:
    if asked.level in (0, EXACT) and asked.function.startswith(("_count", "_sum", "_stats")):
        added = _added_up(snapshot, asked)
        if added is not None:
            return added
    return [_reduced(asked.function, shown, rows) for shown, rows in _groups(snapshot, asked)]


def _added_up(snapshot: Snapshot, asked: Reduction) -> list[Reduced] | None:
    """What SQLite can add up; None where a value is no number."""
    found: list[Numbers] = []
    end = None if asked.limit is None else asked.skip + asked.limit
    for one in asked.ranges:
        try:
            found += snapshot.numbers(one, by_key=asked.level == EXACT, descending=asked.descending)
        except OverflowError:
            return None
        if end is not None and len(found) >= end:
            break
    found = found[asked.skip : end]
    is_count = asked.function.startswith("_count")
    if not is_count and any(numbers.sum is None for numbers in found):
        return None
    return [
        Reduced(numbers.key if asked.level == EXACT else "null", _number_text(asked.function, numbers))
        for numbers in found
    ]


def _number_text(function: str, numbers: Numbers) -> str:
    if function.startswith("_count"):
        return str(numbers.count)
    if function.startswith("_sum"):
        return orjson.dumps(numbers.sum).decode()
    stats = packed(numbers.sum, numbers.count, numbers.min, numbers.max, numbers.sumsqr)
    return orjson.dumps(stats).decode()


def _reduced(function: str, shown: str, rows: Iterator[_Stored]) -> Reduced:
    if function.startswith("_count"):
        return Reduced(shown, str(sum(1 for _ in rows)))
    if function.startswith("_sum"):
        return Reduced(shown, _text(sum_of([orjson.loads(value) for _, _, _, value in rows])))
    entries: list[Entry] = [(key, i, orjson.loads(value)) for key, _, i, value in rows]
    return Reduced(shown, _text(reduce_group(function, entries)))


def _text(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a sum beyond 64 bits
        return json.dumps(value, separators=(",", ":"))
