"""Queries that are no more than a look into an index, answered without a reader thread.

Two threads hand Python's one lock to each other at every row: on two cores, twenty rows found by an index
cost 337 microseconds of processor time through a reader thread and 213 on the event loop. So a query runs on
the loop when SQLite's plan for it is nothing but a search for equal values in an index. It is held to a few
milliseconds and rows even so; one that needs more is left to the readers from then on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from localsrv.base.errors import LocalsrvError
from localsrv.store.driver import sqlite3
from localsrv.store.query_values import SqlValue
from localsrv.store.readers import Reader

MAX_ROWS = 100
MAX_SECONDS = 0.002
_MAX_REMEMBERED = 512

_INDEX_SEARCH = re.compile(r"SEARCH .* USING (COVERING )?INDEX .* \(.*=\?.*\)\Z", re.DOTALL)


class Glances:
    """Belongs to the event loop, as `reader` does."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._is_quick: dict[str, bool] = {}
        self._plans = 0

    def rows(self, sql: str, params: Sequence[SqlValue]) -> list[tuple[Any, ...]] | None:
        """The rows, or None when this is for a reader thread, which also finds the words for an error."""
        quick = self._is_quick.get(sql)
        if quick is None:
            if len(self._is_quick) >= _MAX_REMEMBERED:
                self._is_quick.clear()
            quick = self._is_quick[sql] = self._looks_quick(sql, params)
        if not quick:
            return None
        try:
            found: list[tuple[Any, ...]] = self._reader.run(
                lambda connection: connection.execute(sql, params).fetchmany(MAX_ROWS + 1), MAX_SECONDS
            )
        except LocalsrvError:
            found = []
        else:
            if len(found) <= MAX_ROWS:
                return found
        self._is_quick[sql] = False
        return None

    def forget(self) -> None:
        """For when definitions changed: another index, another plan."""
        self._is_quick.clear()

    def _looks_quick(self, sql: str, params: Sequence[SqlValue]) -> bool:
        if "localsrv_" in sql:  # our functions and full-text tables: one step of theirs may take long
            return False
        connection = self._reader.connection
        self._plans += 1  # in the text, so that no remembered statement answers with an old plan
        try:
            # Explaining does not look whether the definitions changed; reading does.
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql} -- {self._plans}", params).fetchall()
        except sqlite3.Error:
            return False
        return bool(plan) and all(_INDEX_SEARCH.match(step[3]) for step in plan)
