"""Whether a secret was written where none may be: logs, databases, output of servers, crash reports.

Tokens have a prefix that tells them from anything else; secrets that tests invent come from `secret()` and
carry a mark; codes look like nothing, so whoever asks a server for one has it known (`known_of`). After each
test, `tests/conftest.py` looks for all of them in every file that the test left behind.
"""

from __future__ import annotations

import mmap
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson

MARK = "hush-"
_LEAK = re.compile(rb"ls[akr]_[A-Za-z0-9_-]{43}|" + MARK.encode() + rb"[0-9a-f]{24}")
_ENDINGS = (
    ".db", ".db-wal", ".db-journal", ".jsonl", ".log", ".txt", ".ndjson", ".toml", ".sealed",
)  # fmt: skip
_OLDER = re.compile(r"\.(?:log|jsonl)\.\d+\Z")
"""Files that a log left when it grew too large."""
_MOST_BYTES = 200 << 20

PASSPHRASE = "correct horse battery"
"""What tests of sealed files unlock them with."""

_GIVING = re.compile(r"/oauth/(?:device_authorization|token)\Z|/api/v1/(?:codes|ticket|keys)\Z|.*/sign\Z")
"""Paths whose answers hold secrets."""
_MEMBERS = frozenset({"access_token", "refresh_token", "device_code", "user_code", "token"})
_PARAMETERS = frozenset({"code", "ticket", "signature"})
_known: set[bytes] = set()


def secret() -> str:
    """A password or key for a test, which no file may hold in the clear afterwards."""
    return MARK + secrets.token_hex(12)


def know(text: str) -> str:
    """Has a text looked for, until the test is over."""
    if len(text) >= 8:
        _known.add(text.encode())
    return text


def forget() -> None:
    """For the beginning of a test."""
    _known.clear()


def known_of(path: str, status: int, body: bytes, location: str | None = None) -> None:
    """Has looked for what an answer of the server gave away: tokens, codes, tickets, signatures."""
    if location is not None:
        _know_parameters(location)
    if status not in (200, 201) or not _GIVING.match(path.partition("?")[0]):
        return
    found = orjson.loads(body)
    if isinstance(found, dict):
        for name, value in found.items():
            if name in _MEMBERS and isinstance(value, str) and not value.startswith("lsp_"):
                know(value)
            if name in ("code", "url", "redirect_to") and isinstance(value, str):
                _know_parameters(value if "/" in value else f"/?code={value}")


def _know_parameters(address: str) -> None:
    parts = urlsplit(address)
    for text in (parts.query, parts.fragment):
        for name, values in parse_qs(text).items():
            if name in _PARAMETERS:
                know(values[0])


def leaks(folder: Path) -> Iterator[str]:
    """`file: what it holds`, for every secret in the clear in a file that must hold none.

    Those are the databases, the logs, and what servers printed. `server.json` holds the owner's token, as it
    must; publishable keys are no secrets.
    """
    sought = _sought()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or not _may_hold_none(path):
            continue
        size = path.stat().st_size
        if not 0 < size <= _MOST_BYTES:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for found in sought.finditer(content):
                yield f"{path.relative_to(folder)}: {found[0][:12].decode()}…"


def found_in(text: str) -> Iterator[str]:
    """The beginning of every secret in the clear in what a server or a command said."""
    for found in _sought().finditer(text.encode()):
        yield f"{found[0][:12].decode()}…"


def _sought() -> re.Pattern[bytes]:
    texts = b"|".join(re.escape(text) for text in (PASSPHRASE.encode(), *_known))
    return re.compile(_LEAK.pattern + b"|" + texts)


def _may_hold_none(path: Path) -> bool:
    return path.name.endswith(_ENDINGS) or _OLDER.search(path.name) is not None
