"""Runs inside `dbus-run-session`: a real Secret Service in the state that the argument names.

Prints one JSON object with what the vault answered and how long each call took.
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
from typing import Any

from localsrv.base.errors import LocalsrvError
from localsrv.vault import OsKeyring

LIMIT_S = 1.0
BUS = ["gdbus", "call", "--session", "--dest", "org.freedesktop.DBus", "--object-path", "/", "--method"]


def start_daemon() -> int:
    """An unlocked GNOME Keyring on this session's bus. Returns its process id."""
    subprocess.run(
        ["gnome-keyring-daemon", "--unlock", "--daemonize", "--components=secrets"],
        input=b"passphrase",
        check=True,
        capture_output=True,
    )
    # It goes to the background before it has its name on the bus.
    subprocess.run(["gdbus", "wait", "--session", "--timeout", "20", "org.freedesktop.secrets"], check=True)
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
        "other service": await outcome(OsKeyring("localsrv:other", timeout_s=LIMIT_S).get("key")),
        "delete": await outcome(vault.delete("key")),
        "delete again": await outcome(vault.delete("key")),
    }


async def main(state: str) -> dict[str, Any]:
    vault = OsKeyring("localsrv:test", timeout_s=LIMIT_S)
    if state == "absent":
        return await use(vault)
    daemon = start_daemon()
    try:
        if state == "locked":
            lock()
        if state != "hanging":
            return await use(vault)
        before = await outcome(vault.set("key", "kept"))
        os.kill(daemon, signal.SIGSTOP)
        hung = [await outcome(vault.get("key")), (await vault.probe()).state]
        os.kill(daemon, signal.SIGCONT)
        after = await outcome(vault.get("key"))
        while after == "vault-silent":  # the thread that hung has to come back first
            await asyncio.sleep(0)
            after = await outcome(vault.get("key"))
        return {"before": before, "hung": hung, "after": after}
    finally:
        os.kill(daemon, signal.SIGKILL)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
