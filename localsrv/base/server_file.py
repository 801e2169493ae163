"""`server.json`: where the running server is, and the owner token. Readable by the owner alone."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from localsrv.base import lock
from localsrv.base.files import write_atomic
from localsrv.base.paths import Paths


@dataclass(frozen=True, slots=True)
class RunningServer:
    """What `server.json` holds. `url` is the dashboard's; `token` may do everything.

    `hosts` are the addresses that listen: a client asks those and no others, since another program may have
    the port on an address that the server was told to leave alone.
    """

    url: str
    port: int
    pid: int
    version: str
    token: str
    hosts: tuple[str, ...] = ("127.0.0.1", "::1")

    def __repr__(self) -> str:
        return f"RunningServer({self.url!r}, pid={self.pid})"  # never the token

    def write(self, file: Path) -> None:
        """Puts it where clients look. Readers meet the old content or all of the new."""
        write_atomic(file, (json.dumps(asdict(self), indent=1) + "\n").encode())

    def remove(self, file: Path) -> None:
        """Removes the file, unless it is another server's by now."""
        if _read(file) == self:
            with contextlib.suppress(FileNotFoundError):
                file.unlink()


def find(paths: Paths) -> RunningServer | None:
    """The running server of this data folder, None if there is none or it is not ready yet.

    What a killed server left behind is not taken for one: the server that `server.json` names must be the
    process that holds the lock. The lock also leads to a server that was started in a session with another
    run-time folder.
    """
    held = lock.holder(paths.lock_file)
    if held is None or held.pid is None or held.runtime is None:
        return None
    found = _read(held.runtime / paths.server_file.name)
    return found if found is not None and found.pid == held.pid else None


def _read(file: Path) -> RunningServer | None:
    try:
        content = json.loads(file.read_bytes())
        return RunningServer(
            url=str(content["url"]),
            port=int(content["port"]),
            pid=int(content["pid"]),
            version=str(content["version"]),
            token=str(content["token"]),
            hosts=tuple(str(host) for host in content["hosts"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
