"""The checks of `localsrv doctor`. Each looks at one thing and never raises."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from localsrv.base import config, device, server_file
from localsrv.base.config import Settings
from localsrv.base.errors import LocalsrvError
from localsrv.base.listeners import is_free, who_listens
from localsrv.base.names import LOOPBACK, addresses
from localsrv.base.paths import Paths
from localsrv.vault import OsKeyring, SealedFile, Vault

State = Literal["ok", "warn", "fail"]

_LEAST_FREE = 200_000_000
_LOW_FREE = 2_000_000_000
_RELEASED = 1_767_225_600
"""2026-01-01: a clock before this program was written is wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer; `advice` says what to do unless all is well."""

    check: str
    state: State
    message: str
    advice: str | None = None


def sqlite(paths: Paths) -> Finding:
    from localsrv.store import driver

    try:
        version = driver.check_version()
    except LocalsrvError as error:
        return Finding("SQLite", "fail", error.message, error.hint)
    return Finding("SQLite", "ok", f"{version} ({driver.sqlite3.__name__.partition('.')[0]})")


def folders(paths: Paths) -> Finding:
    for folder in (paths.data, paths.config, paths.logs, paths.runtime):
        if not folder.exists():
            continue
        try:
            probe = folder / f".doctor-{os.getpid()}"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            advice = "Make it writable for you, or set LOCALSRV_HOME to another folder."
            return Finding("folders", "fail", f"{folder} cannot be written: {error.strerror}.", advice)
        mode = folder.stat().st_mode & 0o777
        if sys.platform != "win32" and mode & 0o077:
            message = f"{folder} is open to other users (mode {mode:o})."
            return Finding("folders", "fail", message, f"Close it: chmod 700 {folder}")
    if not paths.data.exists():
        return Finding("folders", "ok", f"none yet; the first start makes {paths.data}")
    return Finding("folders", "ok", f"data in {paths.data}, for you alone")


def settings(paths: Paths) -> Finding:
    try:
        config.load(paths.config_file)
    except LocalsrvError as error:
        message = f"{error.message} ({error.details})"
        return Finding("settings", "fail", message, error.hint)
    exists = paths.config_file.exists()
    return Finding("settings", "ok", str(paths.config_file) if exists else "all defaults")


def port(paths: Paths) -> Finding:
    running = server_file.find(paths)
    if running is not None:
        return Finding("port", "ok", f"{running.port}, the server runs (process {running.pid})")
    wanted = _settings(paths)
    for host in wanted.hosts:
        if wanted.port and not is_free(host, wanted.port):
            by = who_listens(wanted.port) or "another program"
            is_first = not paths.device_file.exists()
            advice = (
                "The first start will take the next free port."
                if is_first
                else "End that program, or set another `port` in config.toml."
            )
            message = f"{wanted.port} on {host} is taken by {by}."
            return Finding("port", "warn" if is_first else "fail", message, advice)
    return Finding("port", "ok", f"{wanted.port} is free")


def couchdb(paths: Paths) -> Finding:
    """The sync face's own port, which is tried once at the server's start."""
    wanted = _settings(paths)
    if not wanted.couchdb_port:
        return Finding("CouchDB port", "ok", "none is set (couchdb_port in config.toml)")
    running = server_file.find(paths)
    where = f"http://localhost:{wanted.couchdb_port} (app {wanted.couchdb_app})"
    if all(is_free(host, wanted.couchdb_port) for host in wanted.hosts):
        if running is None:
            return Finding("CouchDB port", "ok", f"{wanted.couchdb_port} is free")
        message = f"Nothing answers at {where}."
        advice = "Start localsrv again: the setting is read, and the port taken, at its start."
        return Finding("CouchDB port", "warn", message, advice)
    by = who_listens(wanted.couchdb_port)
    if running is not None and (by is None or by.endswith(f"(process {running.pid})")):
        return Finding("CouchDB port", "ok", where)
    message = f"{wanted.couchdb_port} is taken by {by or 'another program'}."
    advice = "End that program, or set another `couchdb_port` in config.toml. Then start localsrv again."
    return Finding("CouchDB port", "warn", message, advice)


def vault(paths: Paths) -> Finding:
    """The vault that the settings name: a keyring is tried, a sealed file is read as far as its header."""
    chosen = _settings(paths)
    kept: Vault = SealedFile(paths.vault_file)
    if chosen.vault == "os_keyring":
        kept = OsKeyring("localsrv:doctor", paths.sealed_folder, timeout_s=chosen.vault_timeout_s)
    found = asyncio.run(kept.probe())
    if found.state == "ok" or (found.kind, found.state) == ("sealed_file", "locked"):
        place = f" at {paths.vault_file}; each start unlocks it" if found.kind == "sealed_file" else ""
        words = replace(found, state="ok").words.removesuffix(", unlocked")
        return Finding("vault", "ok", f"{words}{place or ', unlocked'}")
    is_lost = found.state in ("damaged", "too-new")
    place = f" ({paths.vault_file})" if found.kind == "sealed_file" else ""
    return Finding("vault", "fail" if is_lost else "warn", found.words + place, _ADVICE[found.state])


_ADVICE = {
    "locked": "Unlock it: log in to the desktop, or open the keyring's own program.",
    "absent": "Until then no secrets can be kept. Log in to a desktop with a keyring, put the file back, or "
    "choose a sealed file: localsrv secrets move --to sealed_file.",
    "refused": "Install GNOME Keyring, KWallet or KeePassXC, or choose a sealed file: "
    "localsrv secrets move --to sealed_file.",
    "silent": "Look for a dialog that waits for you, or log in again.",
    "failing": "Open the keyring's own program and look there; or look at the file's place.",
    "damaged": "Put a copy from a backup in its place. It is left as it is.",
    "too-new": "Install that version again.",
}


def disk(paths: Paths) -> Finding:
    folder = next(place for place in (paths.data, *paths.data.parents) if place.exists())
    free = shutil.disk_usage(folder).free
    message = f"{free / 1e9:.1f} GB free at {folder}"
    if free < _LEAST_FREE:
        return Finding("disk", "fail", message, "Free some space: writes will be refused soon.")
    if free < _LOW_FREE:
        return Finding("disk", "warn", message, "Free some space before it runs out.")
    return Finding("disk", "ok", message)


def app_files(paths: Paths) -> Finding:
    """SQLite's own check of every file; beside a running server too, since it only reads."""
    from localsrv.store import driver
    from localsrv.store.migrations import check_version

    files = [file for file in (paths.system_file, *sorted(paths.data.glob("apps/*/app.db"))) if file.exists()]
    wrong: dict[str, str] = {}
    advice: dict[str, None] = {}  # an ordered set
    for file in files:
        series = "system" if file == paths.system_file else "app"
        try:
            with contextlib.closing(driver.connect(file, read_only=True)) as connection:
                check_version(connection, file, series)
                answers = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
        except LocalsrvError as error:
            answers = [error.message]
            damaged = error.code not in ("storage-too-new", "storage-unreachable")
            advice[_RECOVER if damaged or error.hint is None else error.hint] = None
        except driver.sqlite3.Error as error:
            answers = [str(error)]
            advice[_RECOVER] = None
        if answers == ["ok"] and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
            answers = ["The file or its folder is read-only."]
            advice["Make both writable for you."] = None
        if answers != ["ok"]:
            wrong[str(file)] = answers[0]
    if wrong:
        text = "; ".join(f"{file}: {why}" for file, why in wrong.items())
        return Finding("app files", "fail", text, " ".join(advice) or _RECOVER)
    return Finding("app files", "ok", f"{len(files)} checked")


_RECOVER = (
    "Stop localsrv, copy the file with its -wal to a safe place, then restore a backup, or let "
    "`sqlite3 FILE .recover` read what is left."
)


def clock(paths: Paths) -> Finding:
    now = time.time()
    if now < _RELEASED:
        shown = time.strftime("%Y-%m-%d", time.gmtime(now))
        return Finding("clock", "fail", f"It says {shown}.", "Set the clock: keys expire by it.")
    newest = max((file.stat().st_mtime for file in _existing(paths)), default=now)
    if newest > now + 86400:
        message = "It is behind the files of localsrv by more than a day."
        return Finding("clock", "warn", message, "Set the clock: keys and changes are dated by it.")
    return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now)))


def _existing(paths: Paths) -> list[Path]:
    files = (paths.system_file, paths.log_file, paths.device_file)
    return [file for file in files if file.exists()]


def names(paths: Paths) -> Finding:
    name = "default.localhost"
    found = addresses(name)
    if not found:
        message = f"{name} does not resolve for programs (Chrome, Edge and Firefox resolve it themselves)."
        own = [f"{app} {port}" for app, port in _settings(paths).app_ports if port]
        advice = (
            "Apps with pages get a port of their own (localsrv app port APP): "
            + (f"{', '.join(own)}." if own else "none so far.")
            + " Programs use http://localhost:<port>/apps/<app>."
        )
        return Finding("names", "warn", message, advice)
    foreign = found - LOOPBACK
    if foreign:
        message = f"{name} leads to {', '.join(sorted(foreign))}."
        return Finding("names", "fail", message, "Remove that from the hosts file or the name server.")
    return Finding("names", "ok", "*.localhost resolves to this machine")


def identity(paths: Paths) -> Finding:
    if not paths.device_file.exists():
        return Finding("device", "ok", "none yet")
    try:
        return Finding("device", "ok", device.device_id(paths.device_file))
    except (LocalsrvError, OSError) as error:
        return Finding("device", "fail", str(error), getattr(error, "hint", None))


def _settings(paths: Paths) -> Settings:
    """The settings, or the defaults when they are wrong, which `settings` tells."""
    try:
        return config.load(paths.config_file)
    except LocalsrvError:
        return Settings()


ALL: tuple[Callable[[Paths], Finding], ...] = (
    sqlite,
    folders,
    settings,
    port,
    couchdb,
    vault,
    disk,
    app_files,
    identity,
    clock,
    names,
)
