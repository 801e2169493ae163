"""The sample app «Inventory»: a shop's products and what moves in and out, on Northwind's data.

`folder()` is an ordinary app folder (`app.toml`, `ui/`), as any developer would write one; `install` adds it
to a running server and fills its empty collections.
"""

from __future__ import annotations

from pathlib import Path

APP_ID = "inventory"


def folder() -> Path:
    """The app's folder, which holds `app.toml`, `ui/` and `data/`."""
    return Path(__file__).resolve().parent / "inventory"


def northwind_file() -> Path:
    """The Northwind database, unchanged, that the app's data comes from. Open it read-only."""
    return folder() / "data" / "northwind.db"
