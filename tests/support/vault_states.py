"""A program for the session that `secret_service` makes: uses the vault while the Secret Service is in the
state that its argument names (unlocked, locked, hanging; or absent, without any session).

Prints one JSON object: what the vault answered, or «too slow».
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from localsrv.base.errors import LocalsrvError
from localsrv.vault import OsKeyring

LIMIT_S = 1.0
FOLDER = Path.home() / "large"
BUS = ["gdbus", "call", "--session", "--dest", "org.freedesktop.DBus", "--object-path", "/", "--method"]


def daemon_id() -> int:
    """The process id of whoever owns the Secret Service's name on this session's bus."""
    answer = subprocess.run(
        [*BUS, "org.freedesktop.DBus.GetConnectionUnixProcessID", "org.freedesktop.secrets"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return int(answer.split()[-1].strip(",)"))


def lock() -> None:
    import secretstorage

    connection = secretstorage.dbus_init()
    secretstorage.get_default_collection(connection).lock()
    connection.close()


async def outcome(call: Awaitable[Any]) -> Any:
    """What a call returned, or the code of its error; and whether it kept the limit."""
    started = time.monotonic()
    try:
        result = await call
    except LocalsrvError as error:
        result = error.code
    kept = time.monotonic() - started < 2 * LIMIT_S + 1
    return result if kept else "too slow"


async def use(vault: OsKeyring) -> dict[str, Any]:
    status = await vault.probe()
    return {
        "backend": status.backend,
        "state": status.state,
        "get nothing": await outcome(vault.get("key")),
        "set": await outcome(vault.set("key", "sécret \N{KEY}")),
        "get": await outcome(vault.get("key")),
        "replace": await outcome(vault.set("key", "x" * 1200)),
        "get again": len(await outcome(vault.get("key")) or ""),
        "other service": await outcome(OsKeyring("localsrv:other", FOLDER, timeout_s=LIMIT_S).get("key")),
        "delete": await outcome(vault.delete("key")),
        "delete again": await outcome(vault.delete("key")),
    }


async def main(state: str) -> dict[str, Any]:
    vault = OsKeyring("localsrv:test", FOLDER, timeout_s=LIMIT_S)
    if state == "locked":
        lock()
    return await (hang(vault) if state == "hanging" else use(vault))


async def hang(vault: OsKeyring) -> dict[str, Any]:
    """What the vault answers before, while and after its daemon stands still."""
    daemon = daemon_id()
    before = await outcome(vault.set("key", "kept"))
    os.kill(daemon, signal.SIGSTOP)
    hung = [await outcome(vault.get("key")), (await vault.probe()).state]
    os.kill(daemon, signal.SIGCONT)
    after = await outcome(vault.get("key"))
    while after == "vault-silent":  # the thread that hung has to come back first
        await asyncio.sleep(0)
        after = await outcome(vault.get("key"))
    return {"before": before, "hung": hung, "after": after}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
