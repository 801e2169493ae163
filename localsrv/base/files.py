"""Files that are either wholly old or wholly new, and folders for the owner alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from pathlib import Path

from localsrv.base.errors import StorageError

OWNER_FOLDER = 0o700
OWNER_FILE = 0o600


def write_atomic(path: Path, content: bytes, *, mode: int = OWNER_FILE, replace: bool = True) -> None:
    """Writes `path` so that a crash or a reader at any moment meets the old content or all of the new.

    With `replace=False` an existing file stays and FileExistsError is raised: of two processes that both
    create it, one wins and the other reads the winner's. Raises OSError as the file system gives it.
    """
    # Not tempfile: its names are fine but importing it costs a start more than this line does.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            _create(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    sync_folder(path.parent)


def _create(temporary: Path, path: Path) -> None:
    if os.name == "nt":
        temporary.rename(path)  # refuses an existing target there
    else:
        path.hardlink_to(temporary)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_owner_folder(folder: Path) -> None:
    """Creates `folder` (and its parents) for the owner alone, or narrows an existing one of ours.

    Raises StorageError when it cannot be made or belongs to another user.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=OWNER_FOLDER)
        if sys.platform != "win32":
            state = folder.stat()
            if state.st_uid != os.geteuid():
                raise StorageError(
                    f"The folder {folder} belongs to another user.",
                    code="storage-foreign-folder",
                    hint="Run as its owner, or set LOCALSRV_HOME to a folder of your own.",
                )
            if state.st_mode & 0o777 != OWNER_FOLDER:
                folder.chmod(OWNER_FOLDER)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} cannot be used: {error.strerror}.",
            code="storage-read-only",
            details=str(folder),
            hint="Make it writable, or set LOCALSRV_HOME to a folder that is.",
        ) from error
