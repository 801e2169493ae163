"""Documents into rows: a child process maps them, and nothing it answers is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from localsrv.javascript.pool import JavaScript, Program
from localsrv.javascript.worker import JavaScriptError, Killed
from localsrv.model.collation import emission_key
from localsrv.model.design_document import DesignDocument
from localsrv.store.database import Database
from localsrv.store.view_snapshot import stored_value
from localsrv.store.view_source import SourceDocument
from localsrv.store.views import Row


def views_program(database: Database, name: str, design: DesignDocument) -> Program:
    """The views of a design document, which see nothing of it but their modules."""
    app = database.path.parent
    return Program(
        f"{app} {name} views {design.signature}",
        f"{app.name}/{name}/{design.id}",
        orjson.dumps({"_id": design.id, "views": {"lib": design.library}}),
    )


async def map_lines(
    javascript: JavaScript, program: Program, maps: Sequence[str], lines: Sequence[bytes]
) -> list[Any]:
    """What the functions emit for each document, or for the first of them where that is much.

    When memory is gone, or the child is, the rest is tried once more in a fresh child, one document at a
    time, since functions may hold on to what they saw; what fails then is the function's fault.
    """
    done: list[Any] = []
    careful = False
    while True:
        before = len(done)
        options: dict[str, Any] = {"maps": list(maps)}
        if careful:
            options["every_ms"] = 0
        try:
            async with aclosing(javascript.stream(program, "map", options, lines[before:])) as parts:
                async for part in parts:
                    done += part
            return done
        except JavaScriptError as error:
            took_too_long = isinstance(error, Killed) and error.took_too_long
            is_of_memory = isinstance(error, Killed) or error.error == "InternalError"
            if took_too_long or not is_of_memory or (careful and len(done) == before):
                raise
            careful = True


def view_rows(
    documents: Sequence[SourceDocument], results: Sequence[Any], orders: Sequence[Callable[[Any], bytes]]
) -> list[Row]:
    """The rows to store; `orders` makes the sort keys of each function.

    Raises:
        Killed: for what no well-behaved child answers. JavaScriptError: a key nested too deep.
    """
    rows: list[Row] = []
    try:
        for document, emitted in zip(documents, results, strict=True):
            if len(emitted) > 1:  # `n` tells rows of one key apart: CouchDB has those in order of value
                emitted = sorted(emitted, key=lambda row: emission_key(row[2]))
            for n, (function, key, value) in enumerate(emitted):
                if type(function) is not int or not 0 <= function < len(orders):
                    raise ValueError(function)
                shown = orjson.dumps(key).decode()
                rows.append((function, orders[function](key), document.id, n, shown, stored_value(value)))
    except (TypeError, ValueError, LookupError) as error:
        raise Killed("The JavaScript process answered no rows.") from error
    except RecursionError as error:
        raise JavaScriptError("map_runtime_error", "A key is nested too deep.") from error
    return rows
