"""The log: one JSON object per line, rotated by size, without anything secret.

What is never written: tokens, codes, request and response bodies, query strings, and the texts of
exceptions, since those quote the values that caused them. Of an exception its type and the places it passed
are kept. The filter below is the second line of defence; the first is that callers log names and numbers.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
import time
import traceback
from pathlib import Path
from typing import Any

ROOT = "localsrv"

_REDACTIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(ls[akr]_)[A-Za-z0-9_-]+"), r"\1***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+"), r"\1 ***"),
    (
        re.compile(r"(?i)\b(apikey|authorization|cookie|password|secret|token)(\"?\s*[:=]\s*\"?)[^\s\",;&]+"),
        r"\1\2***",
    ),
    # `?…` and `#code=…` of any address or path
    (re.compile(r"((?:[a-z][a-z0-9+.-]*:/)?/[^\s?#\"']*)[?#][^\s\"']*"), r"\1?***"),
)


def redacted(text: str) -> str:
    """`text` without tokens, credentials and query strings."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


class JsonFormatter(logging.Formatter):
    """A record as one line: time (UTC), level, logger, message, what `extra={"fields": {…}}` holds, error."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        for name, value in getattr(record, "fields", {}).items():
            line[name] = value if isinstance(value, int | float | None) else redacted(str(value))
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _described(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def _described(error: BaseException) -> dict[str, Any]:
    """Type, code and places of an exception and its cause; never its text."""
    frames = traceback.extract_tb(error.__traceback__)
    described: dict[str, Any] = {
        "type": type(error).__qualname__,
        "at": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-12:]],
    }
    if isinstance(code := getattr(error, "code", None), str | int):
        described["code"] = code
    if isinstance(error, OSError) and error.errno is not None:
        described["errno"] = error.errno
    if isinstance(error, BaseExceptionGroup):
        described["errors"] = [_described(part) for part in error.exceptions[:5]]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        described["cause"] = _described(cause)
    return described


class _OwnerFileHandler(logging.handlers.RotatingFileHandler):
    """A rotating file that only the owner can read."""

    def _open(self) -> Any:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_owner_opener)


def _owner_opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def start(
    file: Path, *, level: str = "info", max_bytes: int = 5 * 1024 * 1024, files: int = 4
) -> logging.Handler:
    """Sends the logs of localsrv, and warnings of its libraries, to `file`. Returns what `stop` takes."""
    handler = _OwnerFileHandler(file, maxBytes=max_bytes, backupCount=files, delay=True)
    handler.setFormatter(JsonFormatter())
    logging.getLogger(ROOT).setLevel(level.upper())
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    root.addHandler(handler)
    return handler


def stop(handler: logging.Handler) -> None:
    """Detaches and closes what `start` returned."""
    logging.getLogger().removeHandler(handler)
    handler.close()
