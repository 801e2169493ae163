"""Uploads, and imports of them: each a child process that runs `localsrv import --json`.

A file that somebody sends may be damaged, hostile or huge. Reading it in a process of its own keeps the
server's memory and its event loop out of it, and cancelling is ending that process. The child writes through
the server like any other client, so an import that is ended in the middle leaves whole documents.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from localsrv.base.errors import (
    BadRequest,
    InvalidValue,
    LocalsrvError,
    NotFound,
    StorageError,
    TooLarge,
    Unavailable,
)
from localsrv.base.paths import HOME_VARIABLE
from localsrv.model.schema import APP_ID

KEPT_S = 24 * 3600
"""How long an upload waits for its import."""

REMEMBERED = 50
RUNNING_AT_ONCE = 3
PATIENCE_S = 5.0
_LINE = 64 << 20
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')

_OPTIONS: Mapping[str, type] = {
    "collection": str,
    "key": str,
    "format": str,
    "encoding": str,
    "delimiter": str,
    "empty": str,
    "no_header": bool,
    "rename": dict,
}


@dataclass(frozen=True, slots=True)
class Upload:
    """A received file. `bytes` is its size."""

    id: str
    path: Path
    bytes: int


@dataclass(slots=True)
class Import:
    """One run. `state` is `running`, `done` or `failed`; the rest is what the child said so far."""

    id: str
    upload: str
    app: str
    dry_run: bool
    state: str = "running"
    mapping: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        return {
            "import": self.id,
            "state": self.state,
            "app": self.app,
            "dry_run": self.dry_run,
            "mapping": self.mapping,
            "progress": self.progress,
            "result": self.result,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Request:
    """What to import where; `options` are the command's, by name with `_` for `-`."""

    upload: str
    app: str
    title: str | None
    dry_run: bool
    options: Mapping[str, Any]


def program() -> list[str]:
    """This program's own command line, from source or frozen."""
    return [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "localsrv"]


class Imports:
    """All uploads and imports of one server. `close` ends what runs."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], command: Sequence[str] | None = None
    ) -> None:
        """`folder` holds the uploads and nothing else: what an earlier server left there is removed."""
        self._folder = folder
        self._environ = dict(environ)
        if home := self._environ.get(HOME_VARIABLE):  # the child has another working folder
            self._environ[HOME_VARIABLE] = str(Path(home).expanduser().absolute())
        self._command = list(command or program())
        self._uploads: dict[str, Upload] = {}
        self._imports: dict[str, Import] = {}
        shutil.rmtree(folder, ignore_errors=True)

    async def close(self) -> None:
        tasks = [i.task for i in self._imports.values() if i.task is not None and not i.task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self._folder, True)

    # ── uploads ────────────────────────────────────────────────────────────────────────────────────────────

    async def receive(self, chunks: AsyncIterable[bytes], name: str, limit: int) -> Upload:
        """Writes a body to a file of its own as it comes.

        Raises:
            TooLarge: past `limit` bytes. StorageError: the disk is full (`storage-full`) or refuses.
            Whatever `chunks` raises; nothing is kept then.
        """
        await asyncio.to_thread(self._forget_old)
        upload_id = secrets.token_hex(8)
        folder = self._folder / upload_id
        path = folder / safe_name(name)
        size = 0
        try:
            await asyncio.to_thread(folder.mkdir, 0o700, True)
            with path.open("xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > limit:
                        raise TooLarge(
                            f"The file is larger than {limit >> 20} MB.",
                            hint="Raise `max_upload_mb` in the settings, or use `localsrv import`.",
                        )
                    await asyncio.to_thread(file.write, chunk)
        except BaseException as error:
            await asyncio.to_thread(shutil.rmtree, folder, True)
            if isinstance(error, OSError) and not isinstance(error, ConnectionError):
                raise _refused(error) from error
            raise
        upload = self._uploads[upload_id] = Upload(upload_id, path, size)
        return upload

    def _forget_old(self) -> None:
        """Removes uploads that nobody imported for a day. Looked at when another comes: no clock ticks."""
        busy = {i.upload for i in self._imports.values() if i.state == "running"}
        for upload in list(self._uploads.values()):
            with contextlib.suppress(FileNotFoundError):
                if upload.id not in busy and time.time() - upload.path.stat().st_mtime > KEPT_S:
                    self._remove(upload.id)

    def _remove(self, upload_id: str) -> None:
        upload = self._uploads.pop(upload_id, None)
        if upload is not None:
            shutil.rmtree(upload.path.parent, ignore_errors=True)

    # ── imports ────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, import_id: str) -> Import:
        """Raises NotFound (`no-import`)."""
        found = self._imports.get(import_id)
        if found is None:
            raise NotFound("There is no such import.", code="no-import", details=import_id[:80])
        return found

    def start(self, request: Request) -> Import:
        """Begins an import, or a dry run, of an upload.

        Raises:
            NotFound: no such upload (`no-upload`). BadRequest, InvalidValue: app or options are wrong.
            Unavailable: too many run already.
        """
        upload = self._uploads.get(request.upload)
        if upload is None:
            raise NotFound("There is no such upload.", code="no-upload", hint="Send the file again.")
        command = [*self._command, *arguments(request), "--", str(upload.path)]
        if sum(i.state == "running" for i in self._imports.values()) >= RUNNING_AT_ONCE:
            raise Unavailable("Other imports are running.", code="busy", hint="Wait until one has finished.")
        made = Import(secrets.token_hex(8), upload.id, request.app, request.dry_run)
        self._imports[made.id] = made
        done = [i.id for i in self._imports.values() if i.state != "running"]
        for old in done[: max(0, len(self._imports) - REMEMBERED)]:
            del self._imports[old]
        made.task = asyncio.get_running_loop().create_task(self._run(made, command))
        return made

    async def cancel(self, import_id: str) -> None:
        """Ends an import and removes its upload. Documents that were stored stay. Raises NotFound."""
        found = self.get(import_id)
        if found.task is not None and not found.task.done():
            found.task.cancel()
            await asyncio.gather(found.task, return_exceptions=True)
        del self._imports[import_id]
        await asyncio.to_thread(self._remove, found.upload)

    async def _run(self, run: Import, command: Sequence[str]) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE,
                env=self._environ,
                cwd=Path(__file__).parents[2] if not getattr(sys, "frozen", False) else None,
            )
        except OSError as error:
            _fail(run, LocalsrvError(f"The import could not start: {error.strerror}.", code="import-failed"))
            return
        try:
            said, code = await self._follow(run, process)
        except BaseException:
            await _end(process)
            raise
        if code == 0 and run.result is not None:
            run.state = "done"
            if not run.dry_run:
                await asyncio.to_thread(self._remove, run.upload)
        elif run.error is not None:
            run.state = "failed"
        else:
            details = said.decode(errors="replace").strip()[-500:] or f"exit code {code}"
            _fail(run, LocalsrvError("The import ended unexpectedly.", code="import-failed", details=details))

    async def _follow(self, run: Import, process: asyncio.subprocess.Process) -> tuple[bytes, int]:
        """Takes the child's events until it ends: (the end of its standard error, its exit code)."""
        assert process.stdout is not None and process.stderr is not None
        errors = asyncio.ensure_future(_tail(process.stderr))
        try:
            async for line in process.stdout:
                with contextlib.suppress(orjson.JSONDecodeError):
                    _take(run, orjson.loads(line))
            return await errors, await process.wait()
        finally:
            errors.cancel()


def _take(run: Import, event: Mapping[str, Any]) -> None:
    kind = event.get("event")
    if kind == "mapping":
        run.mapping = event["mapping"]
    elif kind == "progress":
        run.progress = {name: event[name] for name in ("collection", "done", "total")}
    elif kind == "result":
        run.result = {k: v for k, v in event["result"].items() if k != "mapping"}
    elif kind == "error":
        run.error = event["error"]


def _fail(run: Import, error: LocalsrvError) -> None:
    run.state, run.error = "failed", error.as_dict()


async def _tail(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while chunk := await stream.read(1 << 14):
        kept = (kept + chunk)[-4096:]
    return kept


async def _end(process: asyncio.subprocess.Process) -> None:
    """Asks the child to end, and makes it when it does not."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.communicate(), PATIENCE_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def arguments(request: Request) -> list[str]:
    """The request as arguments of `localsrv import`.

    Raises:
        InvalidValue, BadRequest: the app's name, or an option that does not exist or has another type.
    """
    if not APP_ID.match(request.app):
        raise InvalidValue(
            f"`{request.app[:80]}` cannot be an app's name.",
            details="app",
            hint="Use a-z, 0-9 and -, starting with a letter, at most 41.",
        )
    made = ["import", "--json", f"--app={request.app}"]
    if request.title:
        made.append(f"--title={request.title}")
    if request.dry_run:
        made.append("--dry-run")
    for name, value in request.options.items():
        wanted = _OPTIONS.get(name)
        if wanted is None:
            known = ", ".join(_OPTIONS)
            raise BadRequest(
                f"There is no option `{name[:80]}`.", details=name[:80], hint=f"Known are {known}."
            )
        if value is None:
            continue
        made += _argument(name, wanted, value)
    if any("\0" in argument for argument in made):
        raise InvalidValue("An option holds the character NUL.")
    return made


def _argument(name: str, wanted: type, value: Any) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if wanted is str and name in ("key", "collection") and isinstance(value, list):
        if not all(isinstance(v, str) for v in value):
            raise InvalidValue(f"`{name}` must be a text or a list of texts.", details=name)
        return [f"{option}={','.join(value)}"] if name == "key" else [f"{option}={v}" for v in value]
    if not isinstance(value, wanted):
        raise InvalidValue(f"`{name}` is of the wrong type.", details=name)
    if wanted is bool:
        return [option] if value else []
    if isinstance(value, dict):
        return [f"{option}={table}={new}" for table, new in value.items()]
    return [f"{option}={value}"]


def safe_name(name: str) -> str:
    """A file's name as it may stand in a folder of ours: its last part, without what systems refuse."""
    last = re.split(r"[/\\]", name)[-1]
    cleaned = _UNSAFE.sub("_", last).strip(". ")
    return (Path(cleaned).stem[:80] + Path(cleaned).suffix[:16]) or "upload"


def _refused(error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            "The disk is full: the file was not kept.",
            code="storage-full",
            hint="Free some space and try again.",
        )
    return StorageError(f"The file cannot be kept: {error.strerror}.", code="storage-unwritable")
