"""Finding the running server, and starting one in the background when there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import localsrv
from localsrv.base import lock, server_file
from localsrv.base.errors import LocalsrvError
from localsrv.base.paths import Paths
from localsrv.base.server_file import RunningServer
from localsrv.client.api import Client
from localsrv.client.connection import NotRunning

START_S = 30.0
_STEP_S = 0.02


def connect(paths: Paths, *, timeout_s: float = 60.0) -> Client:
    """A client of the running server. Raises NotRunning.

    The owner token is sent to nobody else: `server_file.find` trusts `server.json` only if the process that
    it names holds the lock of the data folder, and while that process lives the port is its own.
    """
    server = server_file.find(paths)
    if server is None:
        raise NotRunning("localsrv is not running.", hint="Start it with `localsrv serve`.")
    return Client(server, timeout_s=timeout_s)


def ensure_running(paths: Paths, *, timeout_s: float = 60.0) -> tuple[Client, bool]:
    """A client of the running server, or of one started in the background; True if it was started for this.

    Raises LocalsrvError with what the server said when it does not start.
    """
    server = server_file.find(paths)
    if server is not None:
        return Client(server, timeout_s=timeout_s), False
    return Client(start(paths), timeout_s=timeout_s), True


def start(paths: Paths) -> RunningServer:
    """Starts a server that outlives this process, and waits until it answers."""
    paths.create()
    output = paths.logs / "start.txt"
    stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = _spawn(stream)
    finally:
        os.close(stream)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        server = server_file.find(paths)
        if server is not None:
            process.returncode = 0  # it is on its own now: nobody shall wait for it, or warn that nobody did
            return server
        if process.poll() is not None and lock.holder(paths.lock_file) is None:
            raise _failed(output)
        time.sleep(_STEP_S)
    raise LocalsrvError(
        f"The server did not start within {START_S:g} s.", code="late-start", details=str(output)
    )


def _failed(output: Path) -> LocalsrvError:
    said = output.read_text("utf-8", errors="replace").strip().splitlines()
    reason = said[-1].removeprefix("Error: ") if said else "it said nothing"
    return LocalsrvError(
        f"The server did not start: {reason}", code="start-failed", hint="Run `localsrv serve` to see more."
    )


def _spawn(output: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "serve"]
    folder = Path(sys.executable).parent
    if not getattr(sys, "frozen", False):
        command[1:1] = ["-m", localsrv.__name__]
        folder = Path(localsrv.__file__).parents[1]
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return subprocess.Popen(  # noqa: S603 - this very program
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=folder,  # one that stays, and from which the package is found even when it is not installed
        start_new_session=True,
        creationflags=flags,
    )


def wait_until_stopped(paths: Paths, *, seconds: float = 30.0) -> bool:
    """Whether the server has let go of its data folder within the time."""
    deadline = time.monotonic() + seconds
    while lock.holder(paths.lock_file) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_STEP_S)
    return True
