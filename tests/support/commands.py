"""Runs the command line as a process of its own, the way a person does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NODE_MODULES = ROOT / "tests" / "node" / "node_modules"
"""The packages of Node.js that tests use, where they were installed."""


@dataclass(frozen=True)
class Ended:
    """A command that ended: its exit code and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """One without a screen, a keyring or settings of the person who runs the tests."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LOCALSRV_")
        and name not in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
    }
    kept["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    kept["LOCALSRV_APP_PORTS"] = "inventory=0,shop=0"  # see tests.support.server
    return kept | {"LOCALSRV_HOME": str(home)} | dict(more or {})


def run(
    home: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "", seconds: float = 60
) -> Ended:
    """Runs `localsrv <arguments>` to its end."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "localsrv", *arguments],
        cwd=ROOT,
        env=environment(home, env),
        input=stdin.encode(),
        capture_output=True,
        timeout=seconds,
    )
    ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in ended.err, ended.err
    return ended
