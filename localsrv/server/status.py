"""What only the process knows of itself: the part of /api/v1/status that is the same for every app."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from localsrv.base.paths import Paths
from localsrv.base.server_file import RunningServer
from localsrv.server.listening import Listening
from localsrv.services.ports import AppPorts
from localsrv.services.vaults import Vaults
from localsrv.store import driver


class Status:
    """Called with whether to try the vault first, which may take until its time limit."""

    def __init__(
        self,
        running: RunningServer,
        device: str,
        paths: Paths,
        vaults: Vaults,
        listening: Listening,
        ports: AppPorts,
    ) -> None:
        self._running = running
        self._device = device
        self._paths = paths
        self._vaults = vaults
        self._listening = listening
        self._ports = ports
        self._started = time.time()
        self._started_on_clock = time.monotonic()  # one that nobody sets back

    async def __call__(self, probe_vault: bool) -> dict[str, Any]:
        vault = await self._vaults.probe() if probe_vault else self._vaults.status
        return {
            "version": self._running.version,
            "device_id": self._device,
            "pid": self._running.pid,
            "url": self._running.url,
            "started_at": datetime.fromtimestamp(self._started, UTC).isoformat(timespec="seconds"),
            "uptime_s": round(time.monotonic() - self._started_on_clock, 1),
            "data_dir": str(self._paths.data),
            "config_file": str(self._paths.config_file),
            "log_file": str(self._paths.log_file),
            "sqlite_version": driver.sqlite3.sqlite_version,
            "vault": {
                "kind": vault.kind,
                "backend": vault.backend,
                "state": vault.state,
                "message": self._vaults.words,
            },
            "listeners": self._listening.listed(self._ports.opened()),
        }
