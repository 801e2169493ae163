"""Changing `config.toml` line by line, so that everything else stays as the person wrote it.

tomllib cannot write. What is written here are two kinds of lines, such as `port = 4680` and an app's line in
the table `[app_ports]`; whether a change came out as meant is read back before it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localsrv.base.config import as_toml
from localsrv.base.errors import ConfigError
from localsrv.base.files import write_atomic

_TABLE = re.compile(r"\s*\[\s*app_ports\s*\]")
_ANY_TABLE = re.compile(r"\s*\[")


def write_port(file: Path, port: int) -> None:
    """Puts `port = <port>` into the configuration. Raises ConfigError, OSError."""
    _write_setting(file, "port", port)


def write_vault(file: Path, vault: str) -> None:
    """Puts `vault = "<vault>"` into the configuration. Raises ConfigError, OSError."""
    _write_setting(file, "vault", vault)


def _write_setting(file: Path, name: str, value: int | str) -> None:
    def change(lines: list[str]) -> None:
        setting = f"{name} = {as_toml(value)}"
        top = _end_of_table(lines, 0)
        own = re.compile(rf"""\s*["']?{name}["']?\s*=""")
        at = next((n for n in range(top) if own.match(lines[n])), None)
        if at is None:
            lines.insert(0, setting)
        else:
            lines[at] = setting

    _write(file, change, lambda found: found.get(name) == value)


def write_app_port(file: Path, app: str, port: int | None) -> None:
    """Puts an app's port into the table `[app_ports]`, or with None takes its line out.

    Raises ConfigError when the table is written in a way that cannot be changed here; OSError.
    """

    def change(lines: list[str]) -> None:
        table = next((n for n, line in enumerate(lines) if _TABLE.match(line)), None)
        if table is None:
            if port is not None:
                lines += [*([""] if lines else []), "[app_ports]", f"{app} = {port}"]
            return
        own = re.compile(rf"""\s*["']?{re.escape(app)}["']?\s*=""")
        end = _end_of_table(lines, table + 1)
        at = next((n for n in range(table + 1, end) if own.match(lines[n])), None)
        if port is None:
            if at is not None:
                del lines[at]
        elif at is None:
            lines.insert(table + 1, f"{app} = {port}")
        else:
            lines[at] = f"{app} = {port}"

    _write(file, change, lambda found: found.get("app_ports", {}).get(app) == port)


def _end_of_table(lines: list[str], begin: int) -> int:
    return next((n for n in range(begin, len(lines)) if _ANY_TABLE.match(lines[n])), len(lines))


def _write(
    file: Path, change: Callable[[list[str]], None], is_as_meant: Callable[[dict[str, Any]], bool]
) -> None:
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    import tomllib

    change(lines)
    text = "".join(f"{line}\n" for line in lines)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        found = {}
    if not is_as_meant(found):
        raise ConfigError(
            "The configuration cannot be changed by a program as it is written.",
            code="config-not-changed",
            details=str(file),
            hint="Write each setting in a line of its own, and ports of apps below a line [app_ports].",
        )
    write_atomic(file, text.encode())
