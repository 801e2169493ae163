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


class _EntryError(ValueError):
    """A value that does not fit inside a table. `key` is its name there, `value` what it is."""

    def __init__(self, key: str, value: object, expected: str) -> None:
        super().__init__(expected)
        self.key = key
        self.value = value


_APP = re.compile(r"[a-z][a-z0-9-]{0,40}\Z")
LOWEST_APP_PORT = 1024
"""Ports below need rights that nobody should run this with."""


def _app_ports(value: Any) -> tuple[tuple[str, int], ...]:
    """Pairs of app and port, from a table or from texts such as `shop=4681`."""
    if isinstance(value, list | tuple):
        pairs = [entry.partition("=")[::2] if isinstance(entry, str) else entry for entry in value]
        value = {app: int(port) if str(port).isdecimal() else port for app, port in pairs}
    if not isinstance(value, Mapping):
        raise ValueError("a table of apps and their ports, such as inventory = 4681")
    expected = f"a port from {LOWEST_APP_PORT} to 65535, or 0 for none"
    taken: dict[int, str] = {}
    for app, port in value.items():
        if not _APP.match(app):
            raise _EntryError(app, port, "the id of an app: a-z, 0-9 and -, starting with a letter")
        is_port = isinstance(port, int) and not isinstance(port, bool)
        if not is_port or not (port == 0 or LOWEST_APP_PORT <= port <= 65535):
            raise _EntryError(app, port, expected)
        if port and port in taken:
            raise _EntryError(app, port, f"another port than {taken[port]}'s")
        taken[port] = app
    return tuple(value.items())


def _port_or_none(value: Any) -> int:
    is_port = isinstance(value, int) and not isinstance(value, bool)
    if not is_port or not (value == 0 or LOWEST_APP_PORT <= value <= 65535):
        raise ValueError(f"a port from {LOWEST_APP_PORT} to 65535, or 0 for none")
    return int(value)


def _app(value: Any) -> str:
    if not isinstance(value, str) or not _APP.match(value):
        raise ValueError("the id of an app: a-z, 0-9 and -, starting with a letter")
    return value


VAULTS = ("os_keyring", "sealed_file")


def _vault(value: Any) -> str:
    if value not in VAULTS:
        raise ValueError(" or ".join(VAULTS))
    return str(value)


def _flag(value: Any) -> bool:
    """True and false, also as variables spell them."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str):
        value = known.get(value.lower())
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


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
    app_ports: tuple[tuple[str, int], ...] = _setting(
        (),
        "A table of apps that have a port of their own, for browsers that do not find `*.localhost`; "
        "0: never. `localsrv app port` writes it.",
        _app_ports,
    )
    couchdb_port: int = _setting(
        0,
        "A port whose root is the sync face of `couchdb_app`, for software that expects a CouchDB at the "
        "root of one, such as 5984; 0: none.",
        _port_or_none,
    )
    couchdb_app: str = _setting("default", "The app that `couchdb_port` serves.", _app)
    couchdb_cookie: bool = _setting(
        False,
        "Whether `_session` gives cookies at `couchdb_port`. Every program that serves pages on this machine "
        "can receive and use them: switch it on only for software that knows no other way to sign in.",
        _flag,
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
    cache_mb: int = _setting(
        32,
        "Most that the caches of all apps hold together; what was not used for longest goes.",
        _whole(1, 4096),
    )
    cache_persisted: bool = _setting(
        False, "Whether the caches of apps outlive the server, in a file instead of its memory.", _flag
    )
    integration_cache_mb: int = _setting(
        64, "Most that kept answers of outside services take on the disk; 0: none is kept.", _whole(0, 65_536)
    )
    shutdown_grace_s: float = _setting(
        5.0, "How long requests in flight may take to finish when the server stops.", _seconds(0, 300)
    )
    vault: str = _setting(
        "os_keyring",
        "Where secrets lie: `os_keyring`, the keyring of your desktop, or `sealed_file`, a file that a "
        "passphrase unlocks. `localsrv secrets move` changes it and takes everything along.",
        _vault,
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
            option = f"option --{name.replace('_', '-')}"
            values[name] = _checked(name, value, _at(option))
    settings = Settings(**values)
    _check_ports(settings, file)
    return settings, frozenset(values)


def _check_ports(settings: Settings, file: Path) -> None:
    """Raises ConfigError when two things were given one port."""
    couch = settings.couchdb_port
    if couch and couch in (settings.port, *(port for _, port in settings.app_ports)):
        raise ConfigError(
            f"`couchdb_port` is {couch}, and so is another port.",
            code="bad-setting",
            details=str(file),
            hint="Give one of them another port.",
        )
    for app, port in settings.app_ports:
        if port and port == settings.port:
            raise ConfigError(
                f"`app_ports.{app}` and `port` are both {port}.",
                code="bad-setting",
                details=str(file),
                hint="Give one of them another port.",
            )


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

    def where(place: str) -> str:
        return f"{file}, line {_line(text, place)}"

    return {name: _checked(name, value, where) for name, value in document.items()}


def _line(text: str, place: str) -> int:
    """The line, from 1, that sets a top-level key or opens a table of that name; `table.key` is looked for
    below the table's line.

    tomllib gives no positions. All settings are single-line, so looking for the key is enough.
    """
    at = 1
    lines = text.splitlines()
    for key in place.split(".", 1):
        pattern = re.compile(rf"""(?:\s*\[{{0,2}}|.*\.)\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
        at = next(
            (number for number, line in enumerate(lines, 1) if number >= at and pattern.match(line)), at
        )
    return at


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or (name := variable.removeprefix(PREFIX)) in NOT_SETTINGS:
            continue
        name = name.lower()
        where = f"environment variable {variable}"
        values[name] = _checked(name, _typed(name, text), _at(where))
    return values


def _typed(name: str, text: str) -> Any:
    """The text of a variable as the type of its setting: lists are separated by commas."""
    default: object = TABLE[name].default if name in TABLE else text
    if isinstance(default, bool):
        return text
    if isinstance(default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return (float if isinstance(default, float) else int if isinstance(default, int) else str)(text)
    except ValueError:
        return text  # the check says what was expected


def _at(where: str) -> Callable[[str], str]:
    return lambda _: where


def _checked(name: str, value: Any, where: Callable[[str], str]) -> Any:
    """The value if it fits. `where` says where a setting, or `table.key`, was set. Raises ConfigError."""
    if name not in TABLE:
        import difflib

        nearest = difflib.get_close_matches(name, TABLE, n=1, cutoff=0.5)
        hint = f"Did you mean `{nearest[0]}`?" if nearest else "See docs/settings.md for all settings."
        raise ConfigError(
            f"Unknown setting `{name}`.", code="unknown-setting", details=where(name), hint=hint
        )
    try:
        return TABLE[name].metadata["check"](value)
    except _EntryError as error:
        place = f"{name}.{error.key}"
        raise ConfigError(
            f"`{place}` cannot be {error.value!r}.",
            code="bad-setting",
            details=where(place),
            hint=f"It must be {error}.",
        ) from None
    except ValueError as error:
        raise ConfigError(
            f"`{name}` cannot be {value!r}.",
            code="bad-setting",
            details=where(name),
            hint=f"It must be {error}.",
        ) from None


def as_toml(value: object) -> str:
    """A setting's value as config.toml writes it."""
    import json

    return json.dumps(list(value) if isinstance(value, tuple) else value)
