"""One server per data folder, by a lock of the system's that ends with the process that holds it.

The file's content says who holds it, for people and clients; only the lock itself decides. On Windows a
locked range cannot be read by others, so the byte that is locked lies far behind the content.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from localsrv.base.errors import LocalsrvError, StorageError

_LOCKED_BYTE = 1 << 30
_PATIENCE_S = 0.3
"""A client that asks whether the lock is held takes it for a moment; a start must not lose against that."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock: process id and the folder of its `server.json`. None: not written yet."""

    pid: int | None
    runtime: Path | None


class AlreadyRunning(LocalsrvError):
    """Another server has this data folder."""

    status = 409
    code = "already-running"

    def __init__(self, holder: Holder) -> None:
        super().__init__(f"localsrv is running already (process {holder.pid}).")
        self.holder = holder


class InstanceLock:
    """Held from `acquire` until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, file: Path, runtime: Path) -> InstanceLock:
        """Takes the lock and writes down who has it. Raises AlreadyRunning, StorageError."""
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(
                f"{file} cannot be written: {error.strerror}.",
                code="storage-read-only",
                details=str(file),
                hint="Check the permissions of the data folder.",
            ) from error
        deadline = time.monotonic() + _PATIENCE_S
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise AlreadyRunning(_read(file))
            time.sleep(0.01)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "runtime": str(runtime)}).encode())
        return cls(descriptor)

    def release(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def holder(file: Path) -> Holder | None:
    """Who holds the lock now, None if nobody does."""
    try:
        descriptor = os.open(file, os.O_RDWR)
    except OSError:
        return None  # never made, or not ours to ask
    try:
        if _try_lock(descriptor, shared=True):
            return None
    finally:
        os.close(descriptor)
    return _read(file)


def _read(file: Path) -> Holder:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(file.read_bytes())
        return Holder(int(content["pid"]), Path(content["runtime"]))
    return Holder(None, None)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int, *, shared: bool = False) -> bool:
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
