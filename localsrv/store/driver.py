"""The SQLite driver: `pysqlite3` where its wheel exists, else the interpreter's own.

sqlite-utils chooses in the same order, so both always share one SQLite. Older versions than
`MINIMUM` have the WAL-reset corruption that 3.51.3 fixed, and are refused rather than trusted with data.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from localsrv.base.errors import InvalidValue, LocalsrvError, QueryTimeout, StorageError

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import pysqlite3.dbapi2 as sqlite3
    except ImportError:
        import sqlite3

MINIMUM = (3, 51, 3)

Connection = sqlite3.Connection

__all__ = ["MINIMUM", "Connection", "check_version", "connect", "quoted", "sqlite3", "translate"]


def check_version() -> str:
    """The SQLite version in use.

    Raises:
        StorageError: older than `MINIMUM`, with `code="storage-sqlite-too-old"`.
    """
    if sqlite3.sqlite_version_info < MINIMUM:
        wanted = ".".join(map(str, MINIMUM))
        raise StorageError(
            f"SQLite {sqlite3.sqlite_version} is too old: localsrv needs {wanted} or newer.",
            code="storage-sqlite-too-old",
            hint="Install the pysqlite3 package, or a Python whose sqlite3 module brings a newer SQLite.",
        )
    return sqlite3.sqlite_version


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def connect(path: Path, *, read_only: bool = False) -> Connection:
    """A connection in autocommit mode: transactions are begun and ended by who uses it.

    It may be used by one thread at a time, whichever. Waits 5 s for a lock that another program
    holds on the file. Raises StorageError when the file cannot be opened.
    """
    uri = path.absolute().as_uri() + ("?mode=ro" if read_only else "")
    connection = None
    try:
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5, cached_statements=512
        )
        if read_only:
            connection.execute("PRAGMA query_only=ON")
        # The system keeps the file's pages anyway; large caches here would hold them once per connection.
        connection.execute(f"PRAGMA cache_size=-{1000 if read_only else 8000}")
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.Error as error:
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        raise translate(error, path) from error
    return connection


_BY_NAME: dict[str, tuple[str, str, str | None]] = {
    "SQLITE_FULL": ("storage-full", "The disk is full.", "Free some space; nothing that was saved is lost."),
    "SQLITE_READONLY": ("storage-read-only", "The data file is read-only.", "Check the file's permissions."),
    "SQLITE_CANTOPEN": (
        "storage-unreachable",
        "The data file cannot be opened.",
        "Check the folder's permissions.",
    ),
    "SQLITE_PERM": (
        "storage-read-only",
        "The data file may not be written.",
        "Check the file's permissions.",
    ),
    "SQLITE_CORRUPT": (
        "storage-damaged",
        "The data file is damaged.",
        "Stop localsrv, keep a copy of the file and its -wal, and run `localsrv doctor`.",
    ),
    "SQLITE_NOTADB": ("storage-damaged", "The file is not an SQLite database.", "Run `localsrv doctor`."),
    "SQLITE_IOERR": ("storage-io", "The disk reported an error.", "Check the disk; try again."),
    "SQLITE_BUSY": (
        "storage-busy",
        "Another program is holding the data file.",
        "Close the program that writes to it; only localsrv should.",
    ),
    "SQLITE_LOCKED": ("storage-busy", "The data file is locked.", None),
    "SQLITE_NOMEM": ("storage-memory", "There was not enough memory for this.", None),
    "SQLITE_TOOBIG": ("too-large", "A value is larger than SQLite can hold.", None),
}


def translate(error: BaseException, path: Path | None = None) -> LocalsrvError:
    """The error of the tree that says what SQLite's error means to a person."""
    if isinstance(error, LocalsrvError):
        return error
    if isinstance(error, OverflowError):
        return InvalidValue(
            "An integer is outside the 64 bits that SQLite holds.",
            code="out-of-range",
            hint="Send it as text, in a field declared `decimal`.",
        )
    name: str = getattr(error, "sqlite_errorname", None) or ""
    if not name and isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
        name = "SQLITE_NOTADB"
    if name.startswith("SQLITE_INTERRUPT"):
        return QueryTimeout(
            "The query took too long and was stopped.",
            hint="Add an index for its filter, or ask for fewer rows.",
        )
    details = str(error) if path is None else f"{path.name}: {error}"
    for prefix, (code, message, hint) in _BY_NAME.items():
        if name.startswith(prefix):
            return StorageError(message, code=code, details=details, hint=hint)
    return StorageError(f"SQLite refused: {error}", code="storage", details=details)
