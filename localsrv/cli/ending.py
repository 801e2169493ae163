"""How a command ends: exit codes, and errors as one line with a hint."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from typing import Any

import click

from localsrv.base.errors import ConfigError, LocalsrvError, StorageError, Unavailable, VaultError

OK = 0
FAILED = 1
USAGE = 2
NOT_RUNNING = 3
NOT_FOUND = 4
NOT_ALLOWED = 5
REFUSED = 6
STORAGE = 7
INTERRUPTED = 130

MEANINGS = {
    OK: "Done.",
    FAILED: "It failed: see the message.",
    USAGE: "The command line, a setting or a manifest is wrong.",
    NOT_RUNNING: "No server runs, or it does not answer.",
    NOT_FOUND: "The app, key, collection or file does not exist.",
    NOT_ALLOWED: "The server refused access.",
    REFUSED: "The input was refused: invalid, too large, or against what is stored.",
    STORAGE: "The disk, the data file or the vault refused.",
    INTERRUPTED: "Interrupted by Ctrl-C.",
}
"""What docs/cli.md says of them."""


def code_of(error: LocalsrvError) -> int:
    """The exit code of an error, by its class, its code and the HTTP status it came with."""
    if error.code in ("not-running", "late-answer"):
        return NOT_RUNNING
    if isinstance(error, StorageError | VaultError):
        return STORAGE
    if isinstance(error, ConfigError) or error.code in ("bad-config", "bad-manifest", "usage"):
        return USAGE
    if error.code in ("port-taken", "port-forbidden", "no-address") or isinstance(error, Unavailable):
        return FAILED
    status: int = getattr(error, "http_status", type(error).status)
    if status == 507 or (status == 503 and error.code.startswith("vault")):
        return STORAGE
    if status == 404:
        return NOT_FOUND
    if status in (401, 403, 421):
        return NOT_ALLOWED
    return REFUSED if 400 <= status < 500 else FAILED


def wants_json() -> bool:
    """Whether the command was called with --json, also when it failed before it could look."""
    return "--json" in sys.argv


def failure(error: LocalsrvError, code: int | None = None) -> int:
    """Says what went wrong on standard error, in one line (with --json as an object). Returns the code."""
    code = code_of(error) if code is None else code
    if wants_json():
        import json

        body: dict[str, Any] = {"error": {**error.as_dict(), "exit_code": code}}
        click.echo(json.dumps(body, ensure_ascii=False), err=True)
        return code
    parts = [error.message]
    details = (error.details or "").strip()
    if details and "\n" not in details and details not in error.message and error.message not in details:
        parts.append(f"({details})")
    if error.hint:
        if parts[-1][-1:].isalnum() or parts[-1].endswith("`"):
            parts[-1] += "."
        parts.append(error.hint)
    click.echo("Error: " + " ".join(" ".join(parts).split()), err=True)
    return code


def usage_error(error: click.UsageError) -> int:
    hint = f"See `{error.ctx.command_path} --help`." if error.ctx is not None else None
    return failure(LocalsrvError(error.format_message(), code="usage", hint=hint), USAGE)


_WHAT_TO_DO = {
    errno.ENOSPC: "Free some space and try again; nothing that was saved is lost.",
    errno.EROFS: "Make the folder writable, or set LOCALSRV_HOME to another one.",
    errno.EACCES: "Check the permissions of the file and its folder.",
}


def from_os(error: OSError) -> LocalsrvError:
    """A file that cannot be read or written, as an error of the tree."""
    name = f"{error.filename}: " if error.filename else ""
    code = "file-not-found" if isinstance(error, FileNotFoundError) else "file"
    hint = _WHAT_TO_DO.get(error.errno or 0)
    made: LocalsrvError = StorageError(f"{name}{error.strerror or error}", code=code, hint=hint)
    if isinstance(error, FileNotFoundError):
        from localsrv.base.errors import NotFound

        made = NotFound(made.message, code=code)
    return made


def unexpected(error: Exception) -> int:
    """A defect: its place is told, so that it can be reported, but no traceback."""
    if os.environ.get("PYTHONDEVMODE") == "1":
        traceback.print_exc()
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} at {os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119
    hint = "Please report it with what you did."
    return failure(LocalsrvError(f"Something unexpected happened: {error}", details=place, hint=hint), FAILED)


def interrupted() -> int:
    click.echo("Interrupted.", err=True)
    return INTERRUPTED


def broken_pipe() -> int:
    """The reader of our output went away (`| head`): no error, and nothing more can be said to it."""
    with contextlib.suppress(OSError):
        # The interpreter flushes standard output at its end, which would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def use_utf8() -> None:
    """Data is UTF-8 whatever the console's encoding: a redirected output must not fail on a letter."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # replaced by a test or an embedding program
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
