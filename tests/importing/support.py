"""A source file to documents and back, with the server's part played by JSON texts in memory.

What crosses here is what crosses the wire: NDJSON one way, raw documents with stubs the other.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from localsrv.importing.documents import documents
from localsrv.importing.export import Exported, Supply, export_sqlite
from localsrv.importing.mapping import plan_import
from localsrv.importing.plans import Choices, ImportPlan
from localsrv.importing.sources import Options, open_source
from localsrv.model.schema import Collection
from localsrv.model.schema_json import as_json
from localsrv.model.schema_parse import parse_collection
from localsrv.model.schema_relations import resolve_relations


def plan(path: Path, options: Options | None = None, choices: Choices | None = None) -> ImportPlan:
    with open_source(path, options or Options()) as source:
        return plan_import(source, choices or Choices())


class Held:
    """Imported collections as the server would hold them."""

    def __init__(self, path: Path, options: Options | None = None, choices: Choices | None = None) -> None:
        self.bodies: dict[str, dict[str, dict[str, Any]]] = {}
        self.attachments: dict[tuple[str, str, str], tuple[str, bytes]] = {}
        with open_source(path, options or Options()) as source:
            self.plan = plan_import(source, choices or Choices())
            # The definitions go through their JSON form, as they do over HTTP.
            self.collections: dict[str, Collection] = resolve_relations(
                {
                    n: parse_collection(n, json.loads(json.dumps(as_json(c))))
                    for n, c in self.plan.collections.items()
                }
            )
            for table in self.plan.tables:
                name = table.collection.name
                self.bodies[name] = {}
                for document in documents(source, table):
                    self._keep(name, orjson.loads(document.encoded()))

    def _keep(self, name: str, body: dict[str, Any]) -> None:
        key = self.collections[name].key
        if key:
            identity = [body[k] for k in key]
            body = {"_id": str(identity[0]) if len(key) == 1 else orjson.dumps(identity).decode(), **body}
        stubs = {}
        for attachment, entry in body.pop("_attachments", {}).items():
            data = base64.b64decode(entry["data"])
            self.attachments[name, body["_id"], attachment] = (entry["content_type"], data)
            stubs[attachment] = {"content_type": entry["content_type"], "length": len(data), "stub": True}
        if stubs:
            body["_attachments"] = stubs
        assert body["_id"] not in self.bodies[name], "two rows became one document"
        self.bodies[name][body["_id"]] = body

    def supplies(self, only: Iterable[str] = ()) -> list[Supply]:
        names = list(only) or list(self.bodies)
        return [self._supply(n) for n in names]

    def _supply(self, name: str) -> Supply:
        return Supply(
            self.collections[name],
            lambda: (self.bodies[name][i] for i in sorted(self.bodies[name])),
            lambda i, attachment: self.attachments[name, i, attachment][1],
        )

    def to_sqlite(self, path: Path) -> Exported:
        return export_sqlite(path, self.supplies())


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def tables_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table's rows as (storage class, exact bytes) pairs, sorted; and its schema."""
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    out: dict[str, list[tuple[Any, ...]]] = {}
    names = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%' ORDER BY 1"
    ).fetchall()
    for (raw,) in names:
        name = raw.decode()
        columns = [c[1].decode() for c in connection.execute(f"PRAGMA table_xinfo({quoted(name)})")]
        parts = ", ".join(f"typeof({quoted(c)}), {quoted(c)}" for c in columns)
        rows = connection.execute(f"SELECT {parts} FROM {quoted(name)}").fetchall()
        out[name] = sorted(rows, key=repr)
    connection.close()
    return out


def schema_of(path: Path) -> list[tuple[Any, ...]]:
    """Tables and indexes as they were declared."""
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type IN ('table', 'index') ORDER BY 1, 2"
    ).fetchall()
    connection.close()
    return rows
