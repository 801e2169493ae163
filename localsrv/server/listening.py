"""Where the server is reached: its own port, ports that apps have, and one for the sync face alone.

The own sockets are opened before anything else, so that a port that is taken is told at once; they are served
when the services are ready. Ports of apps come and go while the server runs (`services.ports`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from localsrv.base import config_file, listeners
from localsrv.base.config import Settings
from localsrv.base.errors import LocalsrvError
from localsrv.base.listeners import Listener
from localsrv.services.ports import AppPorts, Opened
from localsrv.web.addresses import Addresses, CouchPort

_log = logging.getLogger(__name__)


def own_sockets(settings: Settings, file: Path, *, may_choose_port: bool) -> list[Listener]:
    """Opens the server's own port; a chosen other one is written into the configuration. Raises PortTaken."""
    opened = listeners.listen(settings.hosts, settings.port, or_next=may_choose_port)
    if may_choose_port and opened[0].port != settings.port:
        config_file.write_port(file, opened[0].port)
        _log.info("port chosen", extra={"fields": {"taken": settings.port, "port": opened[0].port}})
    return opened


class Listening:
    """`app_ports` has the ports of apps served now: `services.ports` keeps it, `addresses` reads it."""

    def __init__(self, settings: Settings, own: list[Listener]) -> None:
        self._hosts = settings.hosts
        self._own = own
        self._couch = _couch_port(settings)
        self._couch_opened: Opened | None = None
        self._runner: web.AppRunner | None = None
        self.app_ports: dict[str, int] = {}
        self.addresses = Addresses(own[0].port, settings.allowed_hosts, self.app_ports, self._couch)

    async def start(self, runner: web.AppRunner, ports: AppPorts) -> None:
        """Serves every port. `runner` is set up; stopping it stops all of them."""
        self._runner = runner
        for listener in self._own:
            await web.SockSite(runner, listener.socket, backlog=1024).start()
        await ports.start()
        await self._start_couch()

    async def open_port(self, port: int, or_next: bool) -> Opened:
        """Serves one more port, on the same addresses. Raises PortTaken."""
        assert self._runner is not None
        opened = listeners.listen(self._hosts, port, or_next=or_next)
        sites = [web.SockSite(self._runner, listener.socket, backlog=128) for listener in opened]
        for site in sites:
            await site.start()

        async def close() -> None:
            for site in sites:
                await site.stop()

        return Opened(opened[0].port, tuple(listener.host for listener in opened), close)

    async def _start_couch(self) -> None:
        """Serves the sync face's own port, if there is one. One that is taken is no reason not to start."""
        if self._couch is None:
            return
        fields = {"port": self._couch.port, "app": self._couch.app}
        try:
            self._couch_opened = await self.open_port(self._couch.port, False)
        except LocalsrvError as error:
            self._couch.error = LocalsrvError(
                error.message,
                code=error.code,
                details=error.details,
                hint=f"End that program, or set another couchdb_port than {self._couch.port} in config.toml. "
                "Then start localsrv again.",
            )
            _log.warning("couchdb_port is not served", extra={"fields": {**fields, "why": error.message}})
            return
        _log.info("couchdb_port", extra={"fields": fields})

    def listed(self, apps: Mapping[str, Opened]) -> list[dict[str, Any]]:
        """Every listener, those of `apps` too; its `app` is the one that alone is served there."""
        own = [(listener.host, listener.port, None) for listener in self._own]
        others = [(host, opened.port, app) for app, opened in apps.items() for host in opened.hosts]
        if self._couch_opened is not None and self._couch is not None:
            others += [(host, self._couch.port, self._couch.app) for host in self._couch_opened.hosts]
        return [
            {"host": host, "port": port, "trust": "loopback", "app": app} for host, port, app in own + others
        ]


def _couch_port(settings: Settings) -> CouchPort | None:
    return CouchPort(settings.couchdb_port, settings.couchdb_app) if settings.couchdb_port else None
