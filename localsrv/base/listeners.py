"""Sockets to listen on: one port on every loopback address.

A port counts as taken when another program has it on any of the addresses: `localhost` may mean either, and
half of the clients would talk to the other program.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localsrv.base.errors import LocalsrvError

_TRIES = 50
_MISSING = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL})
_TAKEN = frozenset({errno.EADDRINUSE, errno.EACCES, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE)})


class PortTaken(LocalsrvError):
    """Another program listens on the port."""

    status = 409
    code = "port-taken"


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket. `trust` tells what a connection through it may be believed to be."""

    socket: socket.socket
    host: str
    port: int
    trust: str = "loopback"


def listen(hosts: Sequence[str], port: int, *, or_next: bool = False) -> list[Listener]:
    """Listens on `port` of every address that this machine has; 0 takes a free one, the same on all.

    With `or_next` the next free port is taken when `port` is not. Raises PortTaken, which says by whom.
    """
    for attempt in range(_TRIES):
        wanted = port + attempt if port and or_next else port
        try:
            return _listen_on_all(hosts, wanted)
        except PortTaken as error:
            if error.code != "port-taken" or (port and not or_next):
                raise
    raise PortTaken(f"No port from {port} to {port + _TRIES - 1} is free.", hint="Set another with --port.")


def _listen_on_all(hosts: Sequence[str], port: int) -> list[Listener]:
    with contextlib.ExitStack() as opened:
        listeners: list[Listener] = []
        for host in hosts:
            bound = _listen(host, listeners[0].port if listeners else port)
            if bound is not None:
                opened.callback(bound.socket.close)
                listeners.append(bound)
        if not listeners:
            raise PortTaken(
                f"None of the addresses {', '.join(hosts)} exists here.",
                code="no-address",
                hint="Check the setting `hosts`.",
            )
        opened.pop_all()
        return listeners


def _listen(host: str, port: int) -> Listener | None:
    """A listening socket; None when the machine does not have the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        if sys.platform == "win32":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
        made.listen(1024)
        made.setblocking(False)
        return Listener(made, host, made.getsockname()[1])
    except OSError as error:
        made.close()
        if error.errno in _MISSING:
            return None
        if error.errno not in _TAKEN:
            raise
        if error.errno == errno.EACCES and port < 1024:
            raise PortTaken(
                f"Port {port} needs rights that this user does not have.",
                code="port-forbidden",
                hint="Set a port above 1023.",
            ) from None
        by = who_listens(port)
        raise PortTaken(
            f"Port {port} on {host} is taken by {by or 'another program'}.",
            details=by,
            hint="End that program, or choose another port with --port or in config.toml.",
        ) from None


def who_listens(port: int) -> str | None:
    """The program that listens on a port, as `name (process 123)`, where Linux lets this user see it."""
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening(table, port)}
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile, or another user's
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None


def _listening(table: str, port: int) -> list[str]:
    """Inodes of the listening sockets of a port (the kernel's docs: proc_net_tcp)."""
    try:
        lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return [row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port]


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens on the port now. For `doctor`; who wants the port should just take it."""
    try:
        bound = _listen(host, port)
    except PortTaken:
        return False
    if bound is not None:
        bound.socket.close()
    return True
