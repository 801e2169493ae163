"""The part of a document that `fields` asks for. Source: CouchDB's `mango_fields.erl` and `mango_doc.erl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from localsrv.model.selector_match import exists_at, value_at
from localsrv.model.selector_nodes import Path


def extract(document: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """A document with these fields alone, those within objects in objects again; absent ones are left out."""
    found: dict[str, Any] = {}
    for path in paths:
        if exists_at(document, path):
            set_value(found, path, value_at(document, path))
    return found


def set_value(document: dict[str, Any], path: Path, value: Any) -> None:
    """Puts a value at a path, making objects on the way. Where a value that is no object stands, it stays."""
    for step in path[:-1]:
        inner = document.setdefault(step, {})
        if not isinstance(inner, dict):
            return
        document = inner
    document[path[-1]] = value
