"""Numbered `.sql` files that bring a file's system tables up to date.

`PRAGMA user_version` holds the number of the last file that ran. All that are due run in one transaction,
after a snapshot of a file that holds anything. A file from a newer localsrv is refused untouched.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from localsrv.base.errors import StorageError
from localsrv.store.driver import Connection


@cache
def _scripts(series: str) -> tuple[tuple[int, str], ...]:
    """`(number, name)` of the files of `sql/<series>/`, in order."""
    folder = resources.files("localsrv.store") / "sql" / series
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple((int(name.split("-")[0]), name) for name in names)


def check_version(connection: Connection, path: Path, series: str) -> int:
    """The number of the last script that a file has seen. Raises as `migrate`."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = _scripts(series)[-1][0]
    if version > newest:
        raise StorageError(
            f"{path.name} was written by a newer localsrv (file version {version}, this one knows {newest}).",
            code="storage-too-new",
            details=path.name,
            hint="Install that version again, or restore the snapshot made before the upgrade.",
        )
    return version


def migrate(connection: Connection, path: Path, series: str) -> int:
    """Runs what is due of `sql/<series>/` and returns the version reached.

    Raises:
        StorageError: `code="storage-too-new"` for a file from a newer version, untouched.
    """
    version = check_version(connection, path, series)
    scripts = _scripts(series)
    newest = scripts[-1][0]
    due = [(number, name) for number, name in scripts if number > version]
    if not due:
        return version
    if version:
        snapshot(connection, path.with_name(f"{path.stem}.before-{newest}.db"))
    # sqlite-utils runs a script statement by statement and so leaves the transaction to us; the
    # driver's own executescript() commits first. Imported here because only a new or old file needs it.
    import sqlite_utils

    database = sqlite_utils.Database(connection, execute_plugins=False)
    folder = resources.files("localsrv.store") / "sql" / series
    with database.atomic():
        for number, name in due:
            database.executescript((folder / name).read_text(encoding="utf-8"))
            connection.execute(f"PRAGMA user_version = {number}")
    return newest


def snapshot(connection: Connection, target: Path) -> None:
    """Writes a complete, defragmented copy of the connection's file to `target`, replacing it."""
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(part),))
    part.replace(target)
