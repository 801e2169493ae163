"""A real `localsrv serve` process with a home of its own, and a plain HTTP client for it.

The server is started the way a person starts it, on loopback and a free port, and found the way every
client finds it: through `server.json`. Its output goes to a file, so that it can never block on a full
pipe, and what it printed is part of every failure.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.leaks import known_of
from tests.support.waiting import wait_until

# A test must not reach the keyring or the screen of the person who runs it, and starts with byte code, as a
# person's server does. Its apps are found by name, though this system may not know `*.localhost`.
_QUIET = {
    "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    "PYTHONUNBUFFERED": "1",
    "LOCALSRV_APP_PORTS": "inventory=0,shop=0",
}
_HIDDEN = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True)
class Response:
    """A complete answer: `headers` with lower-case names, `body` as bytes."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class RunningServer:
    """A started server: `url`, `port`, `token` (the owner's), `home`, `pid`, `process`.

    `process` is what the test started; `pid` is what `server.json` names. They are the same unless a
    wrapper was given as `command`.
    """

    def __init__(self, process: subprocess.Popen[bytes], home: Path, log: Path) -> None:
        self.process = process
        self.home = home
        self.log = log
        found = wait_until(self._server_json, what="server.json of the started server", seconds=30)
        self.url: str = found["url"].rstrip("/")
        self.token: str = found["token"]
        self.pid: int = found["pid"]
        self.port: int = found["port"]
        wait_until(self._is_healthy, what="GET /api/v1/health", seconds=30)

    def _server_json(self) -> dict[str, Any] | None:
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.output()}")
        try:
            found = json.loads((self.home / "runtime" / "server.json").read_text("utf-8"))
        except (FileNotFoundError, json.JSONDecodeError, PermissionError):
            return None
        # What an earlier, killed server left behind is not ours.
        is_ours = found["pid"] == self.process.pid or self._is_wrapped(found["pid"])
        return found if is_ours else None

    def _is_wrapped(self, pid: int) -> bool:
        """Whether `pid` is a child of the process we started (Windows venvs start Python so)."""
        if sys.platform == "win32":
            return True
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return False
        return int(stat.rsplit(")", 1)[1].split()[1]) == self.process.pid

    def _is_healthy(self) -> bool:
        try:
            return self.request("GET", "/api/v1/health", token=None, timeout=2).status == 200
        except OSError:
            return False

    def output(self) -> str:
        """What the server printed so far."""
        return self.log.read_text("utf-8", errors="replace")

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = "owner",
        host: str | None = None,
        timeout: float = 30,
    ) -> Response:
        """One request on a connection of its own.

        `body`: bytes and str as they are, anything else as JSON. `token`: "owner" for the owner's, None for
        none, else the token. `host`: another Host header, such as "inventory" for that app's origin (a
        name without a dot is completed to `<name>.localhost:<port>`).
        """
        sent: dict[str, str] = {}
        if token is not None:
            sent["Authorization"] = f"Bearer {self.token if token == 'owner' else token}"
        if host is not None:
            sent["Host"] = host if "." in host or ":" in host else f"{host}.localhost:{self.port}"
        data: bytes | None = None
        if isinstance(body, (bytes, str)):
            data = body.encode() if isinstance(body, str) else body
        elif body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=data, headers=sent)
            answer = connection.getresponse()
            lowered = {name.lower(): value for name, value in answer.getheaders()}
            content = answer.read()
            known_of(path, answer.status, content, lowered.get("location"))
            return Response(answer.status, lowered, content)
        finally:
            connection.close()

    @property
    def url_by_address(self) -> str:
        """The same server without a name to resolve, for load generators."""
        return f"http://127.0.0.1:{self.port}"

    def origin(self, app: str) -> str:
        """The app's own origin, `http://<app>.localhost:<port>`."""
        return f"{urlsplit(self.url).scheme}://{app}.localhost:{self.port}"

    def stop(self, *, seconds: float = 20) -> int:
        """End it politely and return its exit code. Stopping a stopped server is allowed."""
        if self.process.poll() is None:
            if sys.platform == "win32":
                self.request("POST", "/api/v1/stop")
            else:
                self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(
                    f"the server did not stop within {seconds} s:\n{self.output()}"
                ) from None
        return self.process.returncode

    def kill(self) -> None:
        """End it as a power cut would: no handler of its runs. A wrapper's server does not outlive it."""
        if self.pid != self.process.pid and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        self.process.kill()
        self.process.wait(20)


def start_server(
    home: Path,
    *arguments: str,
    env: Mapping[str, str | None] | None = None,
    command: Sequence[str] = (sys.executable, "-m", "localsrv"),
    port: int = 0,
    line: Sequence[str] | None = None,
) -> RunningServer:
    """Start `localsrv serve --port <port>` for `home` and return once it answers.

    `env` is added to the environment; None for a name takes it away. `line` is the whole command line
    instead. Raises AssertionError with what the server printed if it ends or stays silent.
    """
    home.mkdir(parents=True, exist_ok=True)
    log = home.parent / f"{home.name}-server.log"
    environment = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
    chosen: dict[str, str | None] = {**_QUIET, "LOCALSRV_HOME": str(home), **(env or {})}
    environment |= {name: value for name, value in chosen.items() if value is not None}
    for name in [name for name, value in chosen.items() if value is None]:
        environment.pop(name, None)
    with log.open("ab") as output:
        process = subprocess.Popen(
            line or [*command, "serve", "--port", str(port), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        return RunningServer(process, home, log)
    except BaseException:
        if process.poll() is None:
            process.kill()
            process.wait(20)
        raise
