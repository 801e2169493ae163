"""Documents into rows: a child process maps them, and nothing it answers is believed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson

from localsrv.javascript.pool import JavaScript, Program
from localsrv.javascript.worker import JavaScriptError, Killed
from localsrv.model.collation import emission_key
from localsrv.model.design_document import DesignDocument
from localsrv.store.database import Database
from localsrv.store.view_snapshot import stored_text, stored_value
from localsrv.store.view_source import SourceDocument
from localsrv.store.views import Row

ROWS_AT_ONCE = 10_000
BYTES_AT_ONCE = 2 << 20
"""How much of what functions emit is held in memory, or written in one transaction: in Python a small row
takes fifty times what it is as JSON. Both may be passed by what the child hands on at once."""

LENGTH_AT_ONCE = 4 << 20
"""How long the rows of one request to a child may be, in characters, so that others have their turn."""

_NO_ROWS = "The JavaScript process answered no rows."


def views_program(database: Database, name: str, design: DesignDocument) -> Program:
    """The views of a design document, which see nothing of it but their modules."""
    app = database.path.parent
    return Program(
        f"{app} {name} views {design.signature}",
        f"{app.name}/{name}/{design.id}",
        orjson.dumps({"_id": design.id, "views": {"lib": design.library}}),
    )


@dataclass(frozen=True, slots=True)
class Emitted:
    """Rows `[function, key, value]` of some documents, those from the number `first` on, a list for each.

    A long value is the text of its JSON, and a fourth element.

    A document that emits much comes in several of these: of the first one here `before` rows came earlier,
    and unless `is_whole` more of the last one's come with the next.
    """

    first: int
    before: int
    results: list[list[Any]]
    is_whole: bool

    @property
    def done(self) -> int:
        """The number of the first document that is not done with."""
        return self.first + len(self.results) - (not self.is_whole)


@dataclass(slots=True)
class _Gathering:
    """Parts of a child's answer, until there are enough of them to be worth a transaction."""

    first: int
    before: int = 0
    results: list[list[Any]] = field(default_factory=list)
    is_whole: bool = True
    rows: int = 0
    size: int = 0

    @property
    def is_enough(self) -> bool:
        return self.rows >= ROWS_AT_ONCE or self.size >= BYTES_AT_ONCE

    def add(self, results: list[Any], size: int) -> None:
        for result in results:
            rows = result.get("more") if type(result) is dict else result
            if type(rows) is not list or (rows is not result and not rows):
                raise Killed(_NO_ROWS)
            if self.is_whole:
                self.results.append(rows)
            else:
                self.results[-1] += rows
            self.is_whole = rows is result
            self.rows += len(rows)
        self.size += size

    def take(self) -> Emitted:
        taken = Emitted(self.first, self.before, self.results, self.is_whole)
        if not self.is_whole:
            self.before = len(self.results[-1]) + (self.before if len(self.results) == 1 else 0)
        self.first, self.results = taken.done, [] if self.is_whole else [[]]
        if self.is_whole:
            self.before = 0
        self.rows = self.size = 0
        return taken


async def map_lines(
    javascript: JavaScript, program: Program, maps: Sequence[str], lines: Sequence[bytes]
) -> AsyncGenerator[Emitted, None]:
    """What the functions emit for each document, in order, never much more at a time than `ROWS_AT_ONCE`.

    When memory is gone, or the child is, the rest is tried once more in a fresh child, one document at a
    time, since functions may hold on to what they saw; what fails then is the function's fault. A document of
    which rows came already then begins again.
    """
    done = 0
    options: dict[str, Any] = {"maps": list(maps), "most": LENGTH_AT_ONCE}
    while done < len(lines):
        before = done
        try:
            async with aclosing(_answer(javascript, program, options, lines, done)) as parts:
                async for part in parts:
                    yield part
                    done = part.done
        except JavaScriptError as error:
            took_too_long = isinstance(error, Killed) and error.took_too_long
            is_of_memory = isinstance(error, Killed) or error.error == "InternalError"
            if took_too_long or not is_of_memory or ("every_ms" in options and done == before):
                raise
            options["every_ms"] = 0


async def _answer(
    javascript: JavaScript, program: Program, options: Mapping[str, Any], lines: Sequence[bytes], first: int
) -> AsyncGenerator[Emitted, None]:
    """One answer of a child: for the documents from `first` on, or as many of them as it lets be enough."""
    gathering = _Gathering(first)
    try:
        async with aclosing(
            javascript.stream(program, "map", options, lines[first:], in_pieces=True)
        ) as parts:
            async for results, size in parts:
                gathering.add(results, size)
                if gathering.is_enough:
                    yield gathering.take()
    except JavaScriptError:
        if gathering.results:
            yield gathering.take()
        raise
    if gathering.results:
        if not gathering.is_whole:
            raise Killed(_NO_ROWS)
        yield gathering.take()


def view_rows(
    documents: Sequence[SourceDocument],
    results: Sequence[Any],
    orders: Sequence[Callable[[Any], bytes]],
    before: int = 0,
) -> list[Row]:
    """The rows to store; `orders` makes the sort keys of each function.

    `before` rows of the first document are stored already. (Of a document that emits more rows than are
    stored at once, those of equal keys are in order of value within each part only.)

    Raises:
        Killed: for what no well-behaved child answers. JavaScriptError: a key nested too deep.
    """
    rows: list[Row] = []
    try:
        for document, emitted in zip(documents, results, strict=True):
            if len(emitted) > 1:  # `n` tells rows of one key apart: CouchDB has those in order of value
                emitted = sorted(emitted, key=lambda row: emission_key(row[2]))
            for n, (function, key, value, *text) in enumerate(emitted, before):
                if type(function) is not int or not 0 <= function < len(orders):
                    raise ValueError(function)
                shown = orjson.dumps(key).decode()
                stored = stored_text(*text) if text else stored_value(value)
                rows.append((function, orders[function](key), document.id, n, shown, stored))
            before = 0
    except (TypeError, ValueError, LookupError) as error:
        raise Killed(_NO_ROWS) from error
    except RecursionError as error:
        raise JavaScriptError("map_runtime_error", "A key is nested too deep.") from error
    return rows
