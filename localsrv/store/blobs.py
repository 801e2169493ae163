"""Contents of attachments: small ones in the file, large ones beside it, each once.

A large content is durable in its own file (the file synced, then its folder) before any document refers to
it; a crash in between leaves a file that nothing refers to, which `sweep` removes.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from localsrv.base.errors import TooLarge, Unavailable
from localsrv.base.files import sync_folder
from localsrv.base.threads import in_thread
from localsrv.store.driver import Connection, translate
from localsrv.store.engine import Transaction

INLINE_BYTES = 64 << 10
"""Contents up to this size live in the database, where one page read brings them."""

_ORPHAN_AGE_S = 3600


@dataclass(frozen=True, slots=True)
class Blob:
    """A content that is ready to be referred to. `data` is None when it lies in its file."""

    sha256: bytes
    md5: bytes
    length: int
    data: bytes | None


class Blobs:
    """The folder of large contents of one app."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._moving = threading.Lock()
        """Held while a file comes to its place, is noted as wanted, or is removed."""

    def path(self, sha256: bytes) -> Path:
        """Where a large content lies."""
        name = sha256.hex()
        return self.folder / name[:2] / name[2:]

    async def receive(self, chunks: AsyncIterator[bytes], *, limit: int | None = None) -> Blob:
        """Reads a content of any length in constant memory and makes it durable.

        Raises:
            TooLarge: more than `limit` bytes came; nothing is kept.
            StorageError: the disk refused.
        """
        with _Incoming(self) as incoming:
            async for chunk in chunks:
                if limit is not None and incoming.length + len(chunk) > limit:
                    raise TooLarge(f"An attachment may have {limit:,} bytes.")
                if incoming.needs_disk(chunk):
                    await in_thread(partial(incoming.add, chunk))
                else:
                    incoming.add(chunk)
            return await in_thread(incoming.finish) if incoming.on_disk else incoming.finish()

    def store(self, data: bytes) -> Blob:
        """As `receive`, for bytes at hand."""
        with _Incoming(self) as incoming:
            incoming.add(data)
            return incoming.finish()

    def register(self, tx: Transaction, blob: Blob) -> None:
        """Makes a content known to the database, inside the operation that refers to it.

        Raises:
            Unavailable: (`code="attachment-expired"`) it came so long ago that it was swept away.
        """
        if blob.data is None:
            self._want(blob)
        tx.execute(
            "INSERT OR IGNORE INTO localsrv_blobs VALUES (?, ?, ?, ?)",
            (blob.sha256, blob.md5, blob.length, blob.data),
        )

    def _want(self, blob: Blob) -> None:
        """Makes a large content's file young, so that no sweep takes it before its document is durable."""
        try:
            with self._moving:
                os.utime(self.path(blob.sha256))
        except FileNotFoundError:
            raise Unavailable(
                "The attachment's bytes came too long before its document.",
                code="attachment-expired",
                hint="Send the attachment again.",
            ) from None
        except OSError as error:
            raise disk_error(error) from error

    @staticmethod
    def forget_unreferenced(tx: Transaction) -> int:
        """Removes contents that no revision refers to; their files go with the next `sweep`."""
        return tx.execute(
            "DELETE FROM localsrv_blobs WHERE NOT EXISTS"
            " (SELECT 1 FROM localsrv_attachments AS a WHERE a.sha256 = localsrv_blobs.sha256)"
        ).rowcount

    def sweep(self, connection: Connection, *, age: float = _ORPHAN_AGE_S) -> int:
        """Removes files that the database does not know and that nobody touched for `age` seconds.

        The age protects contents that were received but whose document is not written yet.
        """
        removed = 0
        oldest = time.time() - age
        for path, stat in self.files():
            if stat.st_mtime > oldest:
                continue
            name = path.parent.name + path.name
            known = (
                len(name) == 64
                and connection.execute(
                    "SELECT 1 FROM localsrv_blobs WHERE sha256 = ? AND data IS NULL", (bytes.fromhex(name),)
                ).fetchone()
            )
            removed += not known and self._remove_old(path, oldest)
        return removed

    def _remove_old(self, path: Path, oldest: float) -> bool:
        """Removes a file unless it came again or was wanted since it was listed."""
        with self._moving:
            try:
                if path.stat().st_mtime > oldest:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def move_in(self, incoming: Path, target: Path) -> None:
        """Brings a complete file to its place, whose age starts now even if the content was there."""
        with self._moving:
            incoming.replace(target)
            os.utime(target)

    def files(self) -> list[tuple[Path, os.stat_result]]:
        """Every file of the folder, those still arriving included; one that goes meanwhile is left out."""
        found = []
        for path in list(self.folder.glob("*/*")):
            try:
                found.append((path, path.stat()))
            except FileNotFoundError:
                continue
        return found

    def new_file(self) -> Path:
        """A path for a content whose digest is not known yet."""
        folder = self.folder / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / secrets.token_hex(16)


class _Incoming:
    """A content while it arrives: in memory until it outgrows INLINE_BYTES."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._buffer = bytearray()
        self._file: int | None = None
        self._path: Path | None = None
        self.length = 0

    def __enter__(self) -> _Incoming:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    @property
    def on_disk(self) -> bool:
        return self._file is not None

    def needs_disk(self, chunk: bytes) -> bool:
        return self.on_disk or self.length + len(chunk) > INLINE_BYTES

    def add(self, chunk: bytes) -> None:
        self._sha256.update(chunk)
        self._md5.update(chunk)
        try:
            if self.needs_disk(chunk):
                self._write(bytes(self._buffer))
                self._buffer.clear()
                self._write(chunk)
            else:
                self._buffer += chunk
        except OSError as error:
            raise disk_error(error) from error
        self.length += len(chunk)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._path = self._blobs.new_file()
            self._file = os.open(
                self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600
            )
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def finish(self) -> Blob:
        digest = self._sha256.digest()
        if self._file is None or self._path is None:
            return Blob(digest, self._md5.digest(), self.length, bytes(self._buffer))
        target = self._blobs.path(digest)
        try:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None
            target.parent.mkdir(parents=True, exist_ok=True)
            self._blobs.move_in(self._path, target)
            sync_folder(target.parent)
            sync_folder(target.parent.parent)
        except OSError as error:
            raise disk_error(error) from error
        return Blob(digest, self._md5.digest(), self.length, None)


def disk_error(error: OSError) -> Exception:
    """A file system error in the words of the error tree."""
    import errno

    from localsrv.base.errors import StorageError

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            "The disk is full.", code="storage-full", hint="Free some space; nothing saved is lost."
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StorageError("The data folder is read-only.", code="storage-read-only", details=str(error))
    return translate(error)
