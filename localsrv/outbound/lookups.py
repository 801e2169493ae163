"""Names to addresses, without holding anybody else up.

The system's resolver blocks, for half a minute where no name server answers. In the event loop's own pool of
threads a few such names would stop everything else that needs a thread, and the end of the process too. So
each lookup has a daemon thread of its own, `MOST` at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

MOST = 8

_FLAGS = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

_Infos = list[tuple[Any, ...]]


class Lookups(AbstractResolver):
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MOST)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError when the system does not know the name."""
        loop = asyncio.get_running_loop()
        await self._places.acquire()
        answer: asyncio.Future[_Infos] = loop.create_future()

        def report(found: _Infos | None, error: OSError | None) -> None:
            self._places.release()  # not before: who stops waiting does not end the lookup
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(found or [])

        def ask() -> None:
            found, failure = None, None
            try:
                found = socket.getaddrinfo(
                    host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            except (OSError, UnicodeError) as error:  # a name that no name server could be asked
                failure = error if isinstance(error, OSError) else OSError("not a name")
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(report, found, failure)

        threading.Thread(target=ask, name="lookup", daemon=True).start()
        return [_result(host, info) for info in await answer]

    async def close(self) -> None:
        pass


def _result(host: str, info: tuple[Any, ...]) -> ResolveResult:
    family, _, proto, _, address = info
    scope = f"%{address[3]}" if family == socket.AF_INET6 and len(address) > 3 and address[3] else ""
    return {
        "hostname": host,
        "host": address[0] if "%" in address[0] else f"{address[0]}{scope}",
        "port": address[1],
        "family": family,
        "proto": proto,
        "flags": _FLAGS,
    }
