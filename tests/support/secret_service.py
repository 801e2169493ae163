"""A real Secret Service of the test's own: a private D-Bus session with an unlocked gnome-keyring."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import wait_until


@contextmanager
def secret_service(folder: Path) -> Iterator[dict[str, str]]:
    """Starts both daemons with everything they keep in `folder`; yields the environment that leads to them.

    Skips where they are not installed. The person's own keyring is never touched.
    """
    for program in ("dbus-daemon", "gnome-keyring-daemon"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    runtime = folder / "run"
    runtime.mkdir(parents=True, mode=0o700)
    environment = {
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_DATA_HOME": str(folder / "share"),
        "HOME": str(folder),
    }
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address"],
        env=environment | {"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert bus.stdout is not None
    environment["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().strip()
    ring = subprocess.Popen(
        ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
        env=environment | {"PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert ring.stdin is not None
        ring.stdin.write(b"test\n")
        ring.stdin.close()
        wait_until(lambda: _owned(environment), what="the Secret Service on the bus")
        yield environment
    finally:
        for process in (ring, bus):
            process.kill()  # a test may have stopped it
            process.wait(10)
        bus.stdout.close()


def _owned(environment: dict[str, str]) -> bool:
    """Whether somebody owns the Secret Service's name on the private bus."""
    asked = subprocess.run(
        [
            *("dbus-send", "--session", "--print-reply=literal", "--dest=org.freedesktop.DBus", "/"),
            *("org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"),
        ],
        env=environment | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    return "true" in asked.stdout
