"""Ids of rows without a key, and the search for keys that are not unique; in bounded memory."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson

from localsrv.importing.driver import sqlite3
from localsrv.importing.tables import Row
from localsrv.importing.values import Opaque

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS


def _digestible(value: Any) -> Any:
    if isinstance(value, Opaque):
        return {"kind": value.kind, "sha256": sha256(value.data).hexdigest()}
    raise TypeError(type(value))


def digest_of(values: Any) -> bytes:
    """16 bytes that are the same for the same values: `1`, `1.0` and `"1"` differ."""
    return sha256(orjson.dumps(values, default=_digestible, option=_OPTIONS)).digest()[:16]


class Seen:
    """Counts digests in a private temporary file that SQLite removes by itself."""

    def __init__(self) -> None:
        self._connection: Any = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute(
            "CREATE TABLE seen(digest BLOB PRIMARY KEY, first INTEGER, times INTEGER) WITHOUT ROWID"
        )
        self._connection.execute("BEGIN")

    def add(self, digest: bytes, place: int) -> tuple[int, int]:
        """(where it was first met, how often it was met, this time included)."""
        row: tuple[int, int] = self._connection.execute(
            "INSERT INTO seen VALUES(?,?,1) ON CONFLICT DO UPDATE SET times=times+1 RETURNING first, times",
            (digest, place),
        ).fetchone()
        return row

    def close(self) -> None:
        self._connection.close()


class ContentIds:
    """`_id`s made from what a row holds, so that the same file gives the same ids every time.

    Equal rows are told apart by their number among their equals: it does not matter which is which.
    """

    def __init__(self) -> None:
        self._seen = Seen()

    def id_of(self, row: Row) -> str:
        digest = digest_of(row)
        _, times = self._seen.add(digest, 0)
        return digest.hex() if times == 1 else f"{digest.hex()}-{times}"

    def close(self) -> None:
        self._seen.close()
