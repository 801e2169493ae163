"""The sample app «Inventory»: a shop's products and what moves in and out, on Northwind's data.

`folder()` is an ordinary app folder (`app.toml`, `ui/`), as any developer would write one; `install` adds it
to a running server and fills its empty collections.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from localsrv.sample.northwind import collections

APP_ID = "inventory"


class Client(Protocol):
    """What `install` needs of `localsrv.client.api.Client`: the sample stands below it."""

    def add_app(self, folder: str, /) -> Mapping[str, Any]: ...

    def import_documents(
        self, app: str, collection: str, documents: Iterable[Mapping[str, Any]], /
    ) -> Mapping[str, Any]: ...


def folder() -> Path:
    """The app's folder, which holds `app.toml`, `ui/` and `data/`."""
    return Path(__file__).resolve().parent / "inventory"


def northwind_file() -> Path:
    """The Northwind database, unchanged, that the app's data comes from. Open it read-only."""
    return folder() / "data" / "northwind.db"


def install(client: Client) -> Mapping[str, Any]:
    """Adds or updates the app and fills those of its collections that are empty.

    Each collection is filled in one transaction, so an install that was broken off goes on where it ended,
    and what a person changed since is never overwritten. Returns the server's answer to adding it, with
    `url` and `changes`.
    """
    info = client.add_app(str(folder()))
    filled = {c["name"] for c in info["collections"] if c["documents"]}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for name, documents in collections(northwind_file(), now):
        if name not in filled:
            client.import_documents(info["id"], name, documents)
    return info
