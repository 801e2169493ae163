"""The owner's own SQL, for reading only.

The connection is opened read-only; the authorizer also refuses ATTACH (which could create files), most
pragmas and loading extensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localsrv.base.errors import BadRequest, QueryTimeout
from localsrv.store.driver import Connection, sqlite3, translate

_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
     "compile_options", "function_list", "collation_list", "page_count", "page_size", "user_version",
     "quick_check", "integrity_check", "database_list", "data_version"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Column names and rows of SQLite values (bytes for BLOBs). `truncated`: there were more rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    truncated: bool


def run_raw(
    connection: Connection, sql: str, parameters: Sequence[Any] | Mapping[str, Any], limit: int
) -> QueryResult:
    """Runs one statement and returns at most `limit` rows.

    Raises:
        BadRequest: (`code="sql"`) not one reading statement, or SQLite's own complaint about it.
        QueryTimeout: past the deadline.
    """
    connection.set_authorizer(_authorize)
    try:
        cursor = connection.execute(sql, parameters)
        if cursor.description is None:
            raise BadRequest("The statement returns no rows; only reading is possible.", code="sql")
        rows = cursor.fetchmany(limit + 1)
    except (sqlite3.Error, sqlite3.Warning, ValueError, TypeError, OverflowError) as error:
        translated = translate(error)
        if isinstance(translated, QueryTimeout):
            raise translated from error
        raise BadRequest(f"SQLite: {error}", code="sql", hint=_hint(str(error))) from error
    finally:
        connection.set_authorizer(None)
    return QueryResult([column[0] for column in cursor.description], rows[:limit], len(rows) > limit)


def _hint(said: str) -> str | None:
    """SQLite has one code for everything that is wrong with a statement; only its text tells more."""
    if "not authorized" in said or "prohibited" in said:
        return "Only reading statements are allowed here."
    if said.startswith("no such column"):
        return "Columns are the declared fields; any other is _body ->> 'field'."
    if said.startswith("no such table"):
        return "Tables are the app's collections: localsrv app info APP."
    return None


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if second in ("load_extension", "writefile", "edit") else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in _PRAGMAS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
