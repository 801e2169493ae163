"""Where things are below a database's address."""

from __future__ import annotations

from urllib.parse import quote


def document_path(document_id: str) -> str:
    """An id in a URL, encoded. `_design/` and `_local/` keep their slash."""
    head, slash, rest = document_id.partition("/")
    if slash and head in ("_design", "_local"):
        return f"/{head}/{quote(rest, safe='')}"
    return "/" + quote(document_id, safe="")


def attachment_path(document_id: str, name: str) -> str:
    return f"{document_path(document_id)}/{quote(name, safe='')}"
