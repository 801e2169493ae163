"""How long the statement may take that this thread runs.

SQLite asks between its own steps (`watch`), which is not enough for our SQL functions: a regular expression
may take longer over one row than SQLite over a million steps. So they ask as well, after each row.
"""

from __future__ import annotations

import threading
import time

from localsrv.store.driver import Connection

PROGRESS_STEPS = 50_000
"""Virtual machine steps between two looks at the clock, about a millisecond."""


class _Deadline(threading.local):
    at: float = float("inf")


_deadline = _Deadline()


def begin(seconds: float) -> None:
    """What this thread asks SQLite from now on is stopped after `seconds`, with SQLITE_INTERRUPT."""
    _deadline.at = time.monotonic() + seconds


def end() -> None:
    """This thread may take its time again."""
    _deadline.at = float("inf")


def is_past() -> bool:
    return time.monotonic() > _deadline.at


def watch(connection: Connection) -> None:
    """Stops statements of the connection that are past the deadline of their thread."""
    connection.set_progress_handler(is_past, PROGRESS_STEPS)
