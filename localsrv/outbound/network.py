"""Hears when the network changes, without asking: on Linux the kernel tells (rtnetlink).

Where nothing tells, nothing is heard, and whoever waits tries again when his time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable

_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE of linux/rtnetlink.h."""

_SETTLE_S = 0.5
"""A network that comes back changes several things at once."""


def listen() -> socket.socket:
    """A socket that can be read whenever the network changed. Raises OSError."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    try:
        opened.bind((0, _GROUPS))
    except OSError:
        opened.close()
        raise
    return opened


class NetworkWatch:
    """Calls back, soon after the network changed. Start it while somebody waits; it sleeps in between."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._socket: socket.socket | None = None
        self._due: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to listen; without effect where the system does not tell, or when it listens already."""
        if self._socket is not None or sys.platform != "linux":
            return
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            self._socket = listen()
            asyncio.get_running_loop().add_reader(self._socket, self._heard)

    def stop(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _heard(self) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError):  # what was said does not matter, nor that some of it was lost
            while self._socket.recv(65536):
                continue
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_SETTLE_S, self._tell)

    def _tell(self) -> None:
        self._due = None
        self._changed()
