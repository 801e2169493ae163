"""Opening somebody else's SQLite file: never changing it, never in the way of the program that owns it.

- A file in WAL mode whose `-wal` lies beside it may be in use: it is read in one read transaction, which sees
  one state of it and blocks nobody.
- A file in WAL mode without one is not in use; opening it the ordinary way would leave files beside it, so it
  is read as immutable, and checked afterwards for having stayed so.
- Any other file would lock writers out as long as we read, so it is copied first (one pass at disk speed)
  when there is room.
- A file left by a crash needs its journal played back, which would change it: that is done on a copy.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from localsrv.base.errors import BadRequest, LocalsrvError, StorageError
from localsrv.importing.driver import sqlite3

MAGIC = b"SQLite format 3\0"
BUSY_SECONDS = 10.0

RECOVER = 'Rescue what is left: sqlite3 FILE ".recover" | sqlite3 rescued.db, and import that.'

_BUSY, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 5, 8, 10, 11, 13, 14, 26


class OpenFile:
    """A connection for reading, and what must be tidied away after it."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        """Opens `path`; `name` is what messages call it.

        Raises:
            BadRequest: it is not a SQLite file (`not-a-database`).
            StorageError: it is damaged (`storage-damaged`), locked (`storage-locked`) or cannot be opened.
        """
        self.name = name or path.name
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._watched: tuple[Path, tuple[int, int]] | None = None
        self.connection: Any = None
        try:
            self.connection = self._open(path)
            self.connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.Error as error:
            self.close()
            raise read_error(self.name, error) from error
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path) -> Any:
        head = _head(path)
        if head[:16] != MAGIC:
            raise BadRequest(
                f"{self.name} is not a SQLite file: encrypted, damaged at its start or of another kind.",
                code="not-a-database",
                hint="An encrypted database must be decrypted by the program that made it.",
            )
        in_wal_mode = head[18:20] == b"\x02\x02"
        wal = path.with_name(path.name + "-wal")
        if in_wal_mode and not _has_content(wal):
            self._watched = (path, _stamp(path))
            return _connect(path, "immutable=1")
        try:
            connection = _connect(path, "mode=ro")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.Error as error:
            if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in (_READONLY, _CANTOPEN):
                raise
            return self._recovered(path)
        return connection if in_wal_mode else self._copied(connection, path)

    def _copied(self, connection: Any, path: Path) -> Any:
        size = path.stat().st_size
        if shutil.disk_usage(tempfile.gettempdir()).free < size * 2 + (64 << 20):
            return connection
        copy = _connect(self._private_folder() / "copy.db", "mode=rwc")
        connection.execute("COMMIT")
        connection.backup(copy)
        connection.close()
        return copy

    def _recovered(self, path: Path) -> Any:
        """A copy with its journal, where playing it back harms nothing."""
        copy = self._private_folder() / "copy.db"
        for suffix in ("", "-journal", "-wal"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                shutil.copyfile(part, copy.with_name(copy.name + suffix))
        connection = _connect(copy, "mode=rw")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return connection

    def _private_folder(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="localsrv-import-")
        return Path(self._folder.name)

    def check_unchanged(self) -> None:
        """To be called after the last row.

        Raises:
            StorageError: another program wrote to the file meanwhile; what was read may be of two states.
        """
        if self._watched and (
            _stamp(self._watched[0]) != self._watched[1]
            or _has_content(self._watched[0].with_name(self._watched[0].name + "-wal"))
        ):
            raise StorageError(
                f"Another program changed {self.name} while it was read.",
                code="source-changed",
                hint="Run the import again: what is there already stays as it is.",
            )

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        if self._folder is not None:
            self._folder.cleanup()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _stamp(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def _connect(path: Path, options: str) -> Any:
    location = f"file:{quote(path.absolute().as_posix())}?{options}"
    return sqlite3.connect(location, uri=True, isolation_level=None, timeout=BUSY_SECONDS)


def read_error(name: str, error: Exception, table: str | None = None) -> LocalsrvError:
    """What SQLite's error means to the person whose file it is."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    where = f"{name}, table `{table}`" if table else name
    if code == _NOTADB:
        return BadRequest(
            f"{where} is not a SQLite file: it is encrypted or damaged at its start.",
            code="not-a-database",
            hint="An encrypted database must be decrypted by the program that made it.",
        )
    if code == _CORRUPT:
        return StorageError(
            f"{where} is damaged: {error}.",
            code="storage-damaged",
            details=table,
            hint=RECOVER,
        )
    if code == _BUSY:
        return StorageError(
            f"{where} is locked by another program.",
            code="storage-locked",
            hint="Close that program, or let it finish, and run the import again.",
        )
    if code == _FULL:
        return StorageError(
            "There is no room for a working copy.",
            code="storage-full",
            hint="Make room in the temporary folder.",
        )
    return StorageError(f"{where} cannot be read: {error}.", code="storage-unreadable", details=table)
