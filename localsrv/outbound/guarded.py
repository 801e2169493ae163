"""Connections for requests that apps ask for: to public addresses alone, and never to this server.

Theory of operation. Checking a name before connecting is worth nothing when connecting looks it up again: the
second answer may be 127.0.0.1 (DNS rebinding). So a name is looked up once for each connection, what is not
public is dropped from the answer, and the same check is made once more where the socket is created, on the
address that it will be connected to. There is no cache of names to be poisoned and no proxy from the
environment.

There are two sessions: one that knows public addresses only, and one for hosts that the owner named. A
connection of one is never used for the other.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Container, Sequence
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from localsrv.model.public_addresses import is_this_machine, why_refused
from localsrv.outbound.lookups import Lookups

CONNECTIONS = 256
PER_HOST = 64
IDLE_S = 15.0
"""How long a connection without requests is kept: after it, nothing of ours wakes up."""

Refuse = Callable[[str], str | None]
"""An IP address → what speaks against it, or None."""


class AddressRefused(OSError):
    """No connection to such an address. `kind` is what it is: `loopback`, `private`, …, or `self`."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"address refused: {kind}")
        self.kind = kind


class _Resolver(AbstractResolver):
    """Another resolver's answers without what is refused."""

    def __init__(self, inner: AbstractResolver, refuse: Refuse) -> None:
        self._inner = inner
        self._refuse = refuse

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises AddressRefused when nothing is left."""
        found = await self._inner.resolve(host, port, family)
        kept = [one for one in found if self._refuse(one["host"]) is None]
        if found and not kept:
            raise AddressRefused(self._refuse(found[0]["host"]) or "")
        return kept

    async def close(self) -> None:
        await self._inner.close()


class Outside:
    """The two sessions, opened when first needed.

    `own_ports` are the ports that this server listens on; `resolver` and `refuse` are for tests.
    """

    def __init__(
        self,
        own_ports: Callable[[], Container[int]],
        resolver: Callable[[], AbstractResolver] = Lookups,
        refuse: Refuse = why_refused,
    ) -> None:
        self._own_ports = own_ports
        self._resolver = resolver
        self._refuse = refuse
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def session(self, *, is_named: bool) -> aiohttp.ClientSession:
        """The session for hosts that the owner named, or for all others."""
        found = self._sessions.get(is_named)
        if found is None:
            found = self._sessions[is_named] = self._open(_nothing if is_named else self._refuse)
        return found

    async def close(self) -> None:
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    def _open(self, refuse: Refuse) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(self._resolver(), refuse),
            use_dns_cache=False,
            socket_factory=lambda info: self._socket(info, refuse),
            limit=CONNECTIONS,
            limit_per_host=PER_HOST,
            keepalive_timeout=IDLE_S,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            trust_env=False,
            read_bufsize=1 << 16,
        )

    def _socket(self, info: Sequence[Any], refuse: Refuse) -> socket.socket:
        """The socket for one address, after the last look at it. Raises AddressRefused."""
        family, kind, proto, _, address = info
        why = refuse(address[0])
        if why is None and is_this_machine(address[0]) and address[1] in self._own_ports():
            why = "self"
        if why is not None:
            raise AddressRefused(why)
        return socket.socket(family, kind, proto)


def _nothing(address: str) -> None:
    return None


def refused_address(error: BaseException) -> str | None:
    """What was refused, if that is why a request failed."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, AddressRefused):
            return seen.kind
        inner = getattr(seen, "os_error", None)
        seen = inner if isinstance(inner, BaseException) and inner is not seen else seen.__cause__
    return None
