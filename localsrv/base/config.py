"""Settings: defaults, then `config.toml`, then `LOCALSRV_*` variables, then flags; the last one wins.

The fields of `Settings` are the one table: name, default, bounds and text. The file's keys, the variables'
names, the checks and docs/settings.md follow from it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localsrv.base.errors import ConfigError
from localsrv.base.files import write_atomic

DEFAULT_PORT = 4680
PREFIX = "LOCALSRV_"
NOT_SETTINGS = frozenset({"HOME", "URL", "TOKEN"})
"""Variables with the prefix that are not settings: the home folder, and what a server gives its children."""

LOG_LEVELS = ("debug", "info", "warning", "error")


def _setting(default: Any, text: str, check: Callable[[Any], Any]) -> Any:
    return dataclasses.field(default=default, metadata={"text": text, "check": check})


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return check


def _seconds(low: float, high: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"a number of seconds from {low:g} to {high:g}")
        return float(value)

    return check


def _level(value: Any) -> str:
    if value not in LOG_LEVELS:
        raise ValueError("one of " + ", ".join(LOG_LEVELS))
    return str(value)


def _texts(value: Any, expected: str, item: Callable[[str], str]) -> tuple[str, ...]:
    """A list of texts, each passed through `item`, which raises ValueError for one that does not fit."""
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise ValueError(expected)
    try:
        return tuple(item(text) for text in value)
    except ValueError:
        raise ValueError(expected) from None


def _listeners(value: Any) -> tuple[str, ...]:
    def loopback(text: str) -> str:
        address = ipaddress.ip_address(text)
        if not address.is_loopback:
            raise ValueError(text)
        return str(address)

    expected = 'a list of loopback addresses, such as ["127.0.0.1", "::1"]'
    if not (addresses := _texts(value, expected, loopback)):
        raise ValueError(expected)
    return addresses


_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\Z")


def _host_names(value: Any) -> tuple[str, ...]:
    def name(text: str) -> str:
        if not _HOST_NAME.match(text.lower()):
            raise ValueError(text)
        return text.lower()

    return _texts(value, 'a list of host names, such as ["my-desk.local"]', name)


def _origins(value: Any) -> tuple[str, ...]:
    def origin(text: str) -> str:
        parts = urlsplit(text)
        if not parts.scheme or not parts.netloc or text.lower() != f"{parts.scheme}://{parts.netloc}".lower():
            raise ValueError(text)
        if "@" in parts.netloc or "*" in parts.netloc:
            raise ValueError(text)
        return text.lower()

    return _texts(value, 'a list of origins without a path, such as ["http://localhost:5173"]', origin)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, checked. Sizes in mebibytes, times in seconds unless the name says otherwise."""

    port: int = _setting(
        DEFAULT_PORT,
        "TCP port. 0 takes a free one at each start. If 4680 is taken at the very first start, the next free "
        "port is taken and written here.",
        _whole(0, 65535),
    )
    hosts: tuple[str, ...] = _setting(
        ("127.0.0.1", "::1"),
        "Loopback addresses to listen on. One that this machine does not have is left out.",
        _listeners,
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (), "Further `Host` names that are answered, beside `localhost` and `*.localhost`.", _host_names
    )
    allowed_origins: tuple[str, ...] = _setting(
        (), "Origins of pages served elsewhere that may call with a token.", _origins
    )
    log_level: str = _setting("info", "How much is logged: `debug`, `info`, `warning` or `error`.", _level)
    log_max_mb: int = _setting(5, "Size at which the log file is rotated.", _whole(1, 1024))
    log_files: int = _setting(4, "How many rotated log files are kept.", _whole(0, 100))
    max_body_mb: int = _setting(64, "Largest request body. Larger ones get 413.", _whole(1, 1024))
    max_upload_mb: int = _setting(
        4096, "Largest streamed file: an attachment, or a file dropped for import.", _whole(1, 1024 * 1024)
    )
    query_timeout_s: float = _setting(10.0, "Longest time of one query.", _seconds(0.1, 3600))
    query_row_limit: int = _setting(100_000, "Most rows that one request returns.", _whole(1, 100_000_000))
    revision_retention_days: int = _setting(
        30, "How long bodies of replaced revisions are kept.", _whole(0, 36500)
    )
    revs_limit: int = _setting(
        1000, "How many ancestors of a document's revision are remembered.", _whole(1, 1_000_000)
    )
    shutdown_grace_s: float = _setting(
        5.0, "How long requests in flight may take to finish when the server stops.", _seconds(0, 300)
    )
    vault_timeout_s: float = _setting(
        5.0, "How long one call to the system keyring may take.", _seconds(0.1, 120)
    )

    @property
    def max_body_bytes(self) -> int:
        return self.max_body_mb * 1024 * 1024

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * 1024 * 1024


TABLE: Mapping[str, dataclasses.Field[Any]] = {field.name: field for field in dataclasses.fields(Settings)}


def load(
    file: Path, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """The settings in force. `flags` holds those given on the command line; None counts as not given.

    Raises ConfigError for an unknown key, a value that does not fit or text that is not TOML. `details` says
    where: `<file>, line <n>`, `environment variable <NAME>` or `option --<name>`.
    """
    return load_with_sources(file, environ, flags)[0]


def load_with_sources(
    file: Path, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> tuple[Settings, frozenset[str]]:
    """As `load`, with the names of the settings that someone set, be it to the default's value."""
    values = _from_file(file)
    values.update(_from_environment(os.environ if environ is None else environ))
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = _checked(name, value, f"option --{name.replace('_', '-')}")
    return Settings(**values), frozenset(values)


def _from_file(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        text = file.read_bytes().decode("utf-8")
        document = tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ConfigError(
            "The configuration is not UTF-8 text.", details=f"{file}, byte {error.start}"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The configuration is not valid TOML: {error}.", details=str(file)) from None
    except OSError as error:
        raise ConfigError(f"The configuration cannot be read: {error.strerror}.", details=str(file)) from None
    return {
        name: _checked(name, value, f"{file}, line {_line(text, name)}") for name, value in document.items()
    }


def _line(text: str, key: str) -> int:
    """The line, from 1, that sets a top-level key or opens a table of that name.

    tomllib gives no positions. All settings are top-level and single-line, so looking for the key is enough.
    """
    pattern = re.compile(rf"""\s*\[{{0,2}}\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or (name := variable.removeprefix(PREFIX)) in NOT_SETTINGS:
            continue
        where = f"environment variable {variable}"
        name = name.lower()
        values[name] = _checked(name, _typed(name, text), where)
    return values


def _typed(name: str, text: str) -> Any:
    """The text of a variable as the type of its setting: lists are separated by commas."""
    default: object = TABLE[name].default if name in TABLE else text
    if isinstance(default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return (float if isinstance(default, float) else int if isinstance(default, int) else str)(text)
    except ValueError:
        return text  # the check says what was expected


def _checked(name: str, value: Any, where: str) -> Any:
    if name not in TABLE:
        import difflib

        nearest = difflib.get_close_matches(name, TABLE, n=1, cutoff=0.5)
        hint = f"Did you mean `{nearest[0]}`?" if nearest else "See docs/settings.md for all settings."
        raise ConfigError(f"Unknown setting `{name}`.", code="unknown-setting", details=where, hint=hint)
    try:
        return TABLE[name].metadata["check"](value)
    except ValueError as error:
        raise ConfigError(
            f"`{name}` cannot be {value!r}.", code="bad-setting", details=where, hint=f"It must be {error}."
        ) from None


def write_port(file: Path, port: int) -> None:
    """Puts `port = <port>` into the configuration, leaving everything else as the person wrote it."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    setting = f"port = {port}"
    at = next(
        (number for number, line in enumerate(lines) if re.match(r"""\s*["']?port["']?\s*=""", line)), None
    )
    if at is None:
        lines.insert(0, setting)
    else:
        lines[at] = setting
    write_atomic(file, ("\n".join(lines) + "\n").encode())


def as_toml(value: object) -> str:
    """A setting's value as config.toml writes it."""
    import json

    return json.dumps(list(value) if isinstance(value, tuple) else value)
