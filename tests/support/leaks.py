"""Whether a secret was written where none may be: logs, databases, output of servers, crash reports.

Tokens have a prefix that tells them from anything else; secrets that tests invent come from `secret()` and
carry a mark. After each test, `tests/conftest.py` looks for both in every file that the test left behind.
"""

from __future__ import annotations

import mmap
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

MARK = "hush-"
_LEAK = re.compile(rb"ls[akr]_[A-Za-z0-9_-]{43}|" + MARK.encode() + rb"[0-9a-f]{24}")
_ENDINGS = (".db", ".db-wal", ".db-journal", ".log", ".txt", ".ndjson")
_MOST_BYTES = 200 << 20


def secret() -> str:
    """A password or key for a test, which no file may hold in the clear afterwards."""
    return MARK + secrets.token_hex(12)


def leaks(folder: Path) -> Iterator[str]:
    """`file: what it holds`, for every secret in the clear in a file that must hold none.

    Those are the databases, the logs, and what servers printed. `server.json` holds the owner's token, as it
    must; publishable keys are no secrets.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or not _may_hold_none(path):
            continue
        size = path.stat().st_size
        if not 0 < size <= _MOST_BYTES:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for found in _LEAK.finditer(content):
                yield f"{path.relative_to(folder)}: {found[0][:12].decode()}…"


def _may_hold_none(path: Path) -> bool:
    return path.name.endswith(_ENDINGS) or re.search(r"\.log\.\d+\Z", path.name) is not None
