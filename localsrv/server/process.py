"""The server process: takes the lock and the port, wires the parts, runs until it is asked to leave.

The only place that knows the implementations. Nothing here wakes up by itself: an idle server is woken by
requests and signals alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from localsrv.web import quick_import  # noqa: F401 - before anything imports aiohttp

# isort: split
from aiohttp import web

from localsrv import __version__
from localsrv.base import config, config_file, listeners, log, names, signals
from localsrv.base.config import Settings
from localsrv.base.device import device_id
from localsrv.base.errors import LocalsrvError
from localsrv.base.listeners import Listener
from localsrv.base.lock import InstanceLock
from localsrv.base.paths import Paths
from localsrv.base.proof import proof
from localsrv.base.server_file import RunningServer
from localsrv.javascript.pool import JavaScript
from localsrv.services.apps import Apps
from localsrv.services.audit import Audit
from localsrv.services.codes import Codes
from localsrv.services.conflicts import Conflicts
from localsrv.services.design import Design
from localsrv.services.grants import Grants, new_token
from localsrv.services.imports import Imports, program
from localsrv.services.ports import AppPorts, Opened
from localsrv.services.replication.replicator import Replicator
from localsrv.services.sessions import Sessions
from localsrv.services.signing import Signer
from localsrv.services.views import Views
from localsrv.store import driver
from localsrv.store.audit import AuditStore
from localsrv.store.database import StoreOptions
from localsrv.store.replications import ReplicationStore
from localsrv.store.system import System
from localsrv.vault import OsKeyring
from localsrv.web.addresses import Addresses, CouchPort
from localsrv.web.app import Runner
from localsrv.web.context import Services

_log = logging.getLogger(__name__)

IDLE_CONNECTION_S = 75.0
"""How long a connection without requests is kept, as aiohttp's default: each has one timer, not a tick."""

REQUEST_LINE_BYTES = 80 * 1024
"""Longest request line: filters such as `in.(…)` grow long; the query grammar has its own, lower limit."""

_AT_ONCE_S = 0.01
"""aiohttp takes 0 for «no limit»."""

OnReady = Callable[[RunningServer], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Start:
    """How to start: the settings in force, where, and whether the port may still be chosen."""

    settings: Settings
    paths: Paths
    may_choose_port: bool = False

    @classmethod
    def from_environment(cls, paths: Paths, flags: Mapping[str, Any]) -> Start:
        """Settings from every source. At the very first start, a port that nobody set may be replaced by the
        next free one. Raises ConfigError."""
        settings, given = config.load_with_sources(paths.config_file, None, flags)
        return cls(settings, paths, "port" not in given and not paths.device_file.exists())


def run(start: Start, on_ready: OnReady | None = None) -> None:
    """Serves until asked to leave. Raises AlreadyRunning, PortTaken, StorageError, ConfigError."""
    # What was imported stays for good and need not be looked at again; and a request with many rows makes
    # many objects without a single cycle, which the default thresholds would walk over and over.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    os.umask(0o077)  # the files of the store too are for the owner alone
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(start, on_ready))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop


async def serve(start: Start, on_ready: OnReady | None = None) -> None:
    """As `run`, on the running loop. `on_ready` is called when the server answers, and cancelled with it."""
    driver.check_version()
    paths, settings = start.paths, start.settings
    lock = InstanceLock.acquire(paths.lock_file, paths.runtime)
    handler = log.start(
        paths.log_file,
        level=settings.log_level,
        max_bytes=settings.log_max_mb * 1024 * 1024,
        files=settings.log_files,
    )
    try:
        opened = _listen(start)
        server = Server(start, opened)
        try:
            await server.run(on_ready)
        finally:
            for listener in opened:
                listener.socket.close()
    except Exception:
        _log.exception("the server ended with an error")
        raise
    finally:
        log.stop(handler)
        lock.release()


def _listen(start: Start) -> list[Listener]:
    settings = start.settings
    opened = listeners.listen(settings.hosts, settings.port, or_next=start.may_choose_port)
    if start.may_choose_port and opened[0].port != settings.port:
        config_file.write_port(start.paths.config_file, opened[0].port)
        _log.info("port chosen", extra={"fields": {"taken": settings.port, "port": opened[0].port}})
    return opened


class Server:
    """One running server, from opened sockets to closed files."""

    def __init__(self, start: Start, opened: list[Listener]) -> None:
        self._settings = start.settings
        self._paths = start.paths
        self._listeners = opened
        self._app_ports: dict[str, int] = {}
        self._couch = couch_port(self._settings)
        self._couch_opened: Opened | None = None
        self._addresses = Addresses(
            opened[0].port, self._settings.allowed_hosts, self._app_ports, self._couch
        )
        self._runner: Runner | None = None
        self._ports: AppPorts | None = None
        self._device = device_id(self._paths.device_file)
        self._vault = OsKeyring(
            f"localsrv:{self._device}",
            self._paths.sealed_folder,
            timeout_s=self._settings.vault_timeout_s,
        )
        self._started = time.time()
        self._started_on_clock = time.monotonic()  # one that nobody sets back
        self._leaving = asyncio.Event()
        self._hurrying = asyncio.Event()
        self.running = RunningServer(
            url=self._addresses.url,
            port=opened[0].port,
            pid=os.getpid(),
            version=__version__,
            token=new_token(),
            hosts=tuple(listener.host for listener in opened),
        )

    def stop(self) -> None:
        """Asks to leave; asked again, it does not wait for requests in flight any longer."""
        if self._leaving.is_set():
            self._hurrying.set()
        self._leaving.set()

    async def run(self, on_ready: OnReady | None) -> None:
        """Serves until `stop`, a signal, or `on_ready` failing."""
        async with contextlib.AsyncExitStack() as stack:
            services = await self._open(stack)
            with signals.leaving(self.stop):
                await self._answer(services, on_ready)
        _log.info("stopped", extra={"fields": {"port": self.running.port}})

    async def _open(self, stack: contextlib.AsyncExitStack) -> Services:
        """Opens the files and makes the services; `stack` closes them in the opposite order."""
        system = await System.open(self._paths.system_file)
        stack.push_async_callback(system.close)
        audit = Audit(AuditStore(system))
        stack.push_async_callback(audit.close)
        grants = await Grants.open(system, self.running.token)
        stack.push_async_callback(grants.close)
        apps = await Apps.start(system, self._paths.data / "apps", grants, self._store_options())
        stack.push_async_callback(apps.close)
        conflicts = Conflicts()
        stack.push_async_callback(conflicts.close)
        apps.on_open.append(conflicts.follow)
        self._ports = self._make_ports(apps, grants)
        imports = Imports(self._paths.data / "uploads", os.environ)
        stack.push_async_callback(imports.close)
        javascript = JavaScript(program())
        stack.push_async_callback(javascript.close)
        design, views = Design(javascript), Views(javascript)
        stack.push_async_callback(views.close)
        store = ReplicationStore(system)
        replicator = await Replicator.start(apps, store, self._vault, design, self._device)
        stack.push_async_callback(replicator.close)
        return Services(
            addresses=self._addresses,
            apps=apps,
            ports=self._ports,
            grants=grants,
            audit=audit,
            codes=Codes(),
            signer=Signer(),
            status=self._status,
            prove=partial(proof, self.running.token),
            stop=self.stop,
            allowed_origins=frozenset(self._settings.allowed_origins),
            max_body=self._settings.max_body_bytes,
            max_upload=self._settings.max_upload_bytes,
            extra={
                Imports: imports,
                Design: design,
                Views: views,
                Replicator: replicator,
                **({Sessions: Sessions(grants)} if self._settings.couchdb_cookie else {}),
            },
        )

    def _make_ports(self, apps: Apps, grants: Grants) -> AppPorts:
        return AppPorts(
            apps,
            grants,
            dict(self._settings.app_ports),
            self.running.port,
            self._app_ports,
            open_port=self._open_port,
            keep=partial(config_file.write_app_port, self._paths.config_file),
            resolves=names.leads_here,
        )

    async def _open_port(self, port: int, or_next: bool) -> Opened:
        """Serves one more port, on the same addresses."""
        assert self._runner is not None
        opened = listeners.listen(self._settings.hosts, port, or_next=or_next)
        sites = [web.SockSite(self._runner, listener.socket, backlog=128) for listener in opened]
        for site in sites:
            await site.start()

        async def close() -> None:
            for site in sites:
                await site.stop()

        return Opened(opened[0].port, tuple(listener.host for listener in opened), close)

    async def _open_couch_port(self) -> None:
        """Serves the sync face's own port, if there is one. One that is taken is no reason not to start."""
        if self._couch is None:
            return
        fields = {"port": self._couch.port, "app": self._couch.app}
        try:
            self._couch_opened = await self._open_port(self._couch.port, False)
        except LocalsrvError as error:
            _log.warning("couchdb_port is not served", extra={"fields": {**fields, "why": error.message}})
            return
        _log.info("couchdb_port", extra={"fields": fields})

    def _store_options(self) -> StoreOptions:
        settings = self._settings
        return StoreOptions(
            query_timeout_s=settings.query_timeout_s,
            query_row_limit=settings.query_row_limit,
            retention_s=settings.revision_retention_days * 86_400.0,
            revs_limit=settings.revs_limit,
        )

    async def _answer(self, services: Services, on_ready: OnReady | None) -> None:
        runner = self._runner = Runner(
            services,
            keepalive_timeout=IDLE_CONNECTION_S,
            max_line_size=REQUEST_LINE_BYTES,
            shutdown_timeout=self._settings.shutdown_grace_s,
        )
        await runner.setup()
        try:
            for listener in self._listeners:
                await web.SockSite(runner, listener.socket, backlog=1024).start()
            await services.ports.start()
            await self._open_couch_port()
            self.running.write(self._paths.server_file)
            _log.info("ready", extra={"fields": {"port": self.running.port, "version": __version__}})
            await self._until_leaving(on_ready)
        finally:
            self.running.remove(self._paths.server_file)
            await self._finish(runner, services)

    async def _until_leaving(self, on_ready: OnReady | None) -> None:
        leaving = asyncio.ensure_future(self._leaving.wait())
        if on_ready is None:
            await leaving
            return
        ready = asyncio.ensure_future(on_ready(self.running))
        await asyncio.wait((leaving, ready), return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            ready.result()  # its error is the server's
        await leaving
        ready.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ready

    async def _finish(self, runner: web.AppRunner, services: Services) -> None:
        """Lets requests in flight finish for the time of grace, or until asked to hurry; ends the rest."""
        finishing = asyncio.ensure_future(_finish_politely(runner, services))
        hurrying = asyncio.ensure_future(self._hurrying.wait())
        limit = self._settings.shutdown_grace_s
        await asyncio.wait((finishing, hurrying), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not finishing.done():
            finishing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await finishing
        if runner.server is not None:  # the polite way did not come to its end
            await runner.server.shutdown(_AT_ONCE_S)

    async def _status(self, probe_vault: bool) -> dict[str, Any]:
        """The part of /api/v1/status that only the process knows."""
        vault = await self._vault.probe() if probe_vault else self._vault.status
        return {
            "version": __version__,
            "device_id": self._device,
            "pid": self.running.pid,
            "url": self.running.url,
            "started_at": datetime.fromtimestamp(self._started, UTC).isoformat(timespec="seconds"),
            "uptime_s": round(time.monotonic() - self._started_on_clock, 1),
            "data_dir": str(self._paths.data),
            "config_file": str(self._paths.config_file),
            "log_file": str(self._paths.log_file),
            "sqlite_version": driver.sqlite3.sqlite_version,
            "vault": {"backend": vault.backend, "state": vault.state},
            "listeners": self._listening(),
        }

    def _listening(self) -> list[dict[str, Any]]:
        """Every listener; `app` is the one that alone is served there."""
        own = {} if self._ports is None else self._ports.opened()
        server = [(entry.host, entry.port, None) for entry in self._listeners]
        apps = [(host, opened.port, app) for app, opened in own.items() for host in opened.hosts]
        couch = self._couch_opened
        if couch is not None and self._couch is not None:
            apps += [(host, couch.port, self._couch.app) for host in couch.hosts]
        return [
            {"host": host, "port": port, "trust": "loopback", "app": app}
            for host, port, app in (*server, *apps)
        ]


def couch_port(settings: Settings) -> CouchPort | None:
    """The port of the sync face alone, if one is set."""
    return CouchPort(settings.couchdb_port, settings.couchdb_app) if settings.couchdb_port else None


async def _finish_politely(runner: web.AppRunner, services: Services) -> None:
    """Stops listening, ends live feeds, and waits until everything that came in is answered and sent."""
    for site in list(runner.sites):
        await site.stop()
    await runner.app.shutdown()
    await services.flight.land()
    await runner.cleanup()
