"""Whether names below `localhost` lead to this machine, as RFC 6761 wants and not every system does.

Chrome, Edge and Firefox know it by themselves; Safari and most programs ask the system.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

LOOPBACK = frozenset({"127.0.0.1", "::1"})
_LIMIT_S = 1.0


def addresses(name: str) -> frozenset[str]:
    """The addresses that the system finds for a name; none when it does not know it. Blocks."""
    try:
        return frozenset(
            str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        )
    except OSError:
        return frozenset()


async def leads_here(name: str) -> bool:
    """Whether programs on this machine find `name` here and nowhere else.

    A name server that does not answer within a second counts as no. The thread that waits for it does not
    hold up the end of the process, as one of the loop's own pool would.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[frozenset[str]] = loop.create_future()

    def report(found: frozenset[str]) -> None:
        if not answer.done():
            answer.set_result(found)

    def ask() -> None:
        found = addresses(name)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(report, found)

    threading.Thread(target=ask, name="names", daemon=True).start()
    try:
        async with asyncio.timeout(_LIMIT_S):
            found = await answer
    except TimeoutError:
        return False
    return bool(found) and found <= LOOPBACK
