"""Ports that apps have of their own: `http://localhost:4681` where `http://shop.localhost:4680` is not found.

Safari and many programs do not resolve `*.localhost`, and an app must not share the server's own origin. A
port is another origin. It is chosen once and kept in the configuration, since what a browser stored for the
app hangs on it; a chosen 0 says that the app shall have none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from localsrv.base.errors import Conflict, InvalidValue, LocalsrvError, StorageError
from localsrv.services.apps import Apps
from localsrv.services.grants import Grants

LOWEST, HIGHEST = 1024, 65535
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A port that is served, at addresses of this machine; `close` stops listening."""

    port: int
    hosts: tuple[str, ...]
    close: Callable[[], Awaitable[None]]


Open = Callable[[int, bool], Awaitable[Opened]]
"""Serves a port, or when the second says so the next free one. Raises LocalsrvError."""

Keep = Callable[[str, int | None], None]
"""Writes an app's port into the configuration; None takes it out. Blocks. Raises ConfigError, OSError."""

Resolves = Callable[[str], Awaitable[bool]]
"""Whether a host name leads to this machine."""


def origins(port: int) -> tuple[str, ...]:
    """The web origins of a port of this machine."""
    return tuple(f"http://{name}:{port}" for name in LOOPBACK_NAMES)


class AppPorts:
    """`chosen` is what the configuration says, `main` the server's own port. Belongs to the event loop.

    `by_app`, which others may hold too, has the ports that are served now, and `errors` why a chosen one is
    not. `is_used` says that there is or was one, so that a request's port has to be looked at.
    """

    def __init__(
        self,
        apps: Apps,
        grants: Grants,
        chosen: Mapping[str, int],
        main: int,
        by_app: dict[str, int],
        *,
        open_port: Open,
        keep: Keep,
        resolves: Resolves,
    ) -> None:
        self._apps = apps
        self._grants = grants
        self._chosen = dict(chosen)
        self._main = main
        self._open = open_port
        self._keep = keep
        self._resolves = resolves
        self._names_lead_here: bool | None = None
        self._changing = asyncio.Lock()
        self._opened: dict[str, Opened] = {}
        self.by_app = by_app
        self.errors: dict[str, LocalsrvError] = {}
        self.is_used = False

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────

    def chosen(self, app: str) -> int | None:
        """The app's port, served or not; None when it has none."""
        return self._chosen.get(app) or None

    def opened(self) -> dict[str, Opened]:
        """What is served now, by app."""
        return dict(self._opened)

    # ── changing ───────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Serves the chosen ports of the apps that exist. One that is taken is no reason not to start."""
        async with self._changing:
            for app, port in self._chosen.items():
                if port and self._apps.exists(app):
                    await self._try(app, port)

    async def ensure(self, app: str) -> None:
        """Gives an app with pages a port where its own name does not lead here; serves what was chosen.

        Never raises: an app without a port of its own is one without it.
        """
        async with self._changing:
            port = self._chosen.get(app)
            if app in self._opened or port == 0 or self._apps.hosted(app).ui is None:
                return
            if port is None and await self._found_by_name(app):
                return
            if port is not None:
                await self._try(app, port)
                return
            try:
                await self._give(app, None)
            except LocalsrvError as error:
                _log.warning("no port for an app", extra={"fields": {"app": app, "why": error.code}})

    async def give(self, app: str, port: int | None = None) -> int:
        """Gives an app a port of its own, kept on return: this one, or else the one it had, or the next free.

        Raises:
            NotFound, InvalidValue, Conflict (another app's, or the server's own), PortTaken, ConfigError.
        """
        self._apps.row(app)
        if port is not None and not LOWEST <= port <= HIGHEST:
            raise InvalidValue(f"A port of an app is {LOWEST} to {HIGHEST}.", details="port")
        async with self._changing:
            return await self._give(app, port or self.chosen(app))

    async def decline(self, app: str) -> None:
        """Takes the app's port away, and with it what its pages there were allowed. It gets none by itself.

        Raises NotFound, ConfigError.
        """
        self._apps.row(app)
        async with self._changing:
            await self._write(app, 0)
            self._chosen[app] = 0
            await self._close(app)

    async def forget(self, app: str) -> None:
        """For an app that was removed. Raises ConfigError."""
        async with self._changing:
            await self._close(app)
            if self._chosen.pop(app, None) is not None:
                await self._write(app, None)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _found_by_name(self, app: str) -> bool:
        """Asked once: the answer is the same for every app."""
        if self._names_lead_here is None:
            self._names_lead_here = await self._resolves(f"{app}.localhost")
        return self._names_lead_here

    async def _try(self, app: str, port: int) -> None:
        try:
            self._serve(app, await self._open(port, False))
        except LocalsrvError as error:
            self.errors[app] = error
            _log.warning("port of an app not served", extra={"fields": {"app": app, "port": port}})

    async def _give(self, app: str, port: int | None) -> int:
        if port is not None and self.by_app.get(app) == port:
            return port
        if port == self._main:
            raise Conflict(f"{port} is the server's own port.", code="port-in-use", details=str(port))
        holder = next((other for other, own in self._chosen.items() if own == port and other != app), None)
        if port is not None and holder is not None:
            raise Conflict(f"{port} is the port of `{holder}`.", code="port-in-use", details=holder)
        opened = await self._open(port, False) if port is not None else await self._open_next()
        try:
            await self._write(app, opened.port)
        except LocalsrvError:
            await opened.close()
            raise
        await self._close(app)
        self._chosen[app] = opened.port
        self._serve(app, opened)
        return opened.port

    async def _open_next(self) -> Opened:
        """The first port above all that are chosen: one that an app had might hold what browsers stored."""
        above = max(self._main, *self._chosen.values()) if self._chosen else self._main
        return await self._open(above + 1 if above < HIGHEST else LOWEST, True)

    def _serve(self, app: str, opened: Opened) -> None:
        self._opened[app] = opened
        self.by_app[app] = opened.port
        self.errors.pop(app, None)
        self.is_used = True
        self._apps.generation += 1
        _log.info("port of an app", extra={"fields": {"app": app, "port": opened.port}})

    async def _close(self, app: str) -> None:
        """Stops serving. What pages of that origin were allowed ends: another app may get the port."""
        self.errors.pop(app, None)
        opened = self._opened.pop(app, None)
        if opened is None:
            return
        del self.by_app[app]
        self._apps.generation += 1
        await opened.close()
        own = origins(opened.port)
        for grant in [g for g in self._grants.all() if g.app == app and g.origin in own]:
            await self._grants.revoke(grant.id)

    async def _write(self, app: str, port: int | None) -> None:
        try:
            await asyncio.to_thread(self._keep, app, port)
        except OSError as error:
            raise StorageError(
                f"The configuration cannot be written: {error.strerror}.", code="storage-read-only"
            ) from error
