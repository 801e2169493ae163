"""Builds the frozen server in `dist/localsrv` and says how large it is. Run from anywhere.

`python build/bundle.py [FOLDER]` builds it in FOLDER/localsrv instead. PyInstaller's work files go into
`dist/.work`: its default would be this folder.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build(folder: Path) -> Path:
    """Build into `folder`/localsrv and return the executable. CalledProcessError if PyInstaller fails."""
    subprocess.run(
        [
            *(sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level=WARN"),
            *("--distpath", str(folder), "--workpath", str(folder / ".work")),
            str(ROOT / "installer.spec"),
        ],
        cwd=ROOT,
        check=True,
    )
    return folder / "localsrv" / ("localsrv.exe" if sys.platform == "win32" else "localsrv")


def size_mb(folder: Path) -> float:
    """What the files in `folder` hold, in megabytes (10^6 bytes)."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"
    started = time.monotonic()
    executable = build(folder)
    print(f"{executable}: {size_mb(executable.parent):.0f} MB, built in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
