"""Debug symbols out of the interpreter and of the extension modules: half of the bundle's size.

A Python that was compiled on the machine brings a libpython of 23 MB, of which 17 are symbols; the wheels of
uvloop and pysqlite3 carry 12 MB each. Other shared libraries are left as they are: stripping those that
auditwheel patched can break them. Only copies are touched, and the bundle's smoke test loads each of them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

Entry = tuple[str, str, str]
"""PyInstaller's table of contents entry: name in the bundle, source path, kind."""


def slimmed(entries: list[Entry], folder: Path) -> list[Entry]:
    """The entries, with stripped copies in `folder` where there is something to strip. As they were, where
    there is no `strip` (Windows has no symbols in its DLLs)."""
    strip = shutil.which("strip")
    if strip is None or sys.platform != "linux":
        return list(entries)
    prefix = Path(sys.base_prefix).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return [_stripped(strip, entry, prefix, folder) for entry in entries]


def _stripped(strip: str, entry: Entry, prefix: Path, folder: Path) -> Entry:
    name, source, kind = entry
    path = Path(source).resolve()
    is_interpreter = kind == "BINARY" and path.is_relative_to(prefix) and path.name.startswith("libpython")
    if not is_interpreter and kind != "EXTENSION":
        return entry
    copy = folder / name.replace("/", "_")
    subprocess.run([strip, "--strip-unneeded", "-o", str(copy), str(path)], check=True)
    return name, str(copy), kind
