"""How many connections there may be, and which one goes when there are too many.

Any program on this machine can open the port. One that opens thousands must not lock out the pages and
programs that hold a grant: at the limit, the oldest connection on which nobody has shown a grant makes room
for the new one. Only when all have shown one is the new one turned away.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Protocol

import orjson

from localsrv.base.errors import LocalsrvError, Unavailable

MOST_CONNECTIONS = 4096
SPARE_FILES = 256
"""Open files that are not connections: databases, readers, attachments, children."""

log = logging.getLogger("localsrv.web")


class Connection(Protocol):
    """What is asked of a connection. `is_trusted`: a request on it has shown a grant."""

    is_trusted: bool

    def force_close(self) -> None: ...


def limit() -> int:
    """How many connections this process can serve. Raises the system's limit of open files as far as the
    person's own limit allows, where there is such a thing."""
    try:
        import resource
    except ImportError:  # Windows has none
        return MOST_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (OSError, ValueError) as error:
            log.info("open files stay limited", extra={"fields": {"limit": soft, "why": str(error)}})
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(MOST_CONNECTIONS, soft - SPARE_FILES))


def to_leave(others: Iterable[Connection]) -> Connection | None:
    """Which of the others, oldest first, makes room for a new one; None when each has shown a grant."""
    return next((one for one in others if not one.is_trusted), None)


def no_room() -> LocalsrvError:
    """What a connection is told that finds no room."""
    return Unavailable(
        "Too many connections are open.", code="too-many-connections", hint="Close some and try again."
    )


def refusal(told: LocalsrvError) -> bytes:
    """An error as bytes of HTTP, for a connection that has no request yet."""
    body = orjson.dumps(told.as_dict())
    again = "Retry-After: 5\r\n" if isinstance(told, Unavailable) else ""
    head = (
        f"HTTP/1.1 {told.status} {HTTPStatus(told.status).phrase}\r\n{again}"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
