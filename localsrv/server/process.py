"""The server process: takes the lock and the port, opens the parts, runs until it is asked to leave.

Nothing here wakes up by itself: an idle server is woken by requests and signals alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from localsrv.web import quick_import  # noqa: F401 - before anything imports aiohttp

# isort: split
from aiohttp import web

from localsrv import __version__
from localsrv.base import config, log, signals
from localsrv.base.config import Settings
from localsrv.base.listeners import Listener
from localsrv.base.lock import InstanceLock
from localsrv.base.paths import Paths
from localsrv.base.server_file import RunningServer
from localsrv.server.listening import Listening, own_sockets
from localsrv.server.wiring import open_services
from localsrv.services.grants import new_token
from localsrv.store import driver
from localsrv.vault import SealedFile
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
    sealed: SealedFile | None = None
    """The vault's file, where it was unlocked before the start."""

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
        opened = own_sockets(settings, paths.config_file, may_choose_port=start.may_choose_port)
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


class Server:
    """One running server, from opened sockets to closed files."""

    def __init__(self, start: Start, opened: list[Listener]) -> None:
        self._settings = start.settings
        self._paths = start.paths
        self._sealed = start.sealed
        self._listening = Listening(start.settings, opened)
        self._leaving = asyncio.Event()
        self._hurrying = asyncio.Event()
        self.running = RunningServer(
            url=self._listening.addresses.url,
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
            services = await open_services(
                stack, self._settings, self._paths, self.running, self._listening, self.stop, self._sealed
            )
            with signals.leaving(self.stop):
                await self._answer(services, on_ready)
        _log.info("stopped", extra={"fields": {"port": self.running.port}})

    async def _answer(self, services: Services, on_ready: OnReady | None) -> None:
        runner = Runner(
            services,
            keepalive_timeout=IDLE_CONNECTION_S,
            max_line_size=REQUEST_LINE_BYTES,
            shutdown_timeout=self._settings.shutdown_grace_s,
        )
        await runner.setup()
        try:
            await self._listening.start(runner, services.ports)
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


async def _finish_politely(runner: web.AppRunner, services: Services) -> None:
    """Stops listening, ends live feeds, and waits until everything that came in is answered and sent."""
    for site in list(runner.sites):
        await site.stop()
    await runner.app.shutdown()
    await services.flight.land()
    await runner.cleanup()
