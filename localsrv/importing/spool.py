"""Documents of one collection on disk, in the order of their key, with what their fields hold.

An export needs them twice: first to learn which columns there are, then to write them. The server gives
documents in the order of `_id`, where 10 comes before 9; here they come out in the key's own order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from localsrv.importing.driver import sqlite3
from localsrv.importing.profiles import TableProfile
from localsrv.model.schema import Collection

OWN = ("_id", "_rev", "_attachments")


class Spool:
    """`profile` knows the fields; `stored_names` the names of attachments met."""

    def __init__(self, collection: Collection, documents: Iterable[dict[str, Any]]) -> None:
        """Reads all `documents` (with `_id`, `_rev`, stubs in `_attachments`) into a private file."""
        self.collection = collection
        self.profile = TableProfile()
        self.stored_names: set[str] = set()
        self._keys = [f"key_{i}" for i in range(len(collection.key))]
        self._connection: Any = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=OFF")
        columns = ", ".join([*self._keys, "id TEXT", "document BLOB"])
        self._connection.execute(f"CREATE TABLE documents({columns})")
        marks = ", ".join("?" * (len(self._keys) + 2))
        self._connection.execute("BEGIN")
        self._connection.executemany(f"INSERT INTO documents VALUES({marks})", self._records(documents))
        self._connection.execute("COMMIT")

    def _records(self, documents: Iterable[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
        for document in documents:
            self.profile.add({k: v for k, v in document.items() if k not in OWN})
            self.stored_names.update(document.get("_attachments") or ())
            key = [document.get(k) for k in self.collection.key]
            sortable = [v if isinstance(v, str | int | float) else None for v in key]
            sortable = [
                v if not isinstance(v, int) or -(1 << 63) <= v < 1 << 63 else float(v) for v in sortable
            ]
            yield (*sortable, document["_id"], orjson.dumps(document))

    def documents(self) -> Iterator[dict[str, Any]]:
        order = ", ".join([*self._keys, "id"])
        for (text,) in self._connection.execute(f"SELECT document FROM documents ORDER BY {order}"):  # noqa: S608
            yield orjson.loads(text)

    def close(self) -> None:
        self._connection.close()
