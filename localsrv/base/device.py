"""The device id: names this installation in change feeds and to peers."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

from localsrv.base.errors import ConfigError
from localsrv.base.files import write_atomic


def device_id(file: Path) -> str:
    """The id in `file` (a UUID), made at the first call. Two processes that start together get the same one.

    A file that holds something else is an error and not replaced: with a new id this installation would look
    like another device to every peer. Raises ConfigError, or OSError when the file cannot be made.
    """
    try:
        text = file.read_text("ascii", errors="replace").strip()
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another process was first; its id is read below
            write_atomic(file, f"{uuid.uuid4()}\n".encode(), replace=False)
        text = file.read_text("ascii", errors="replace").strip()
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ConfigError(
            "The device id cannot be read.",
            details=str(file),
            hint="Restore the file from a backup, or delete it to become a new device.",
        ) from None
