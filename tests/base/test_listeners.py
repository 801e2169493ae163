"""Listening: one port on every address, and who holds one that is taken."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from localsrv.base import listeners
from localsrv.base.listeners import Listener, PortTaken

BOTH = ("127.0.0.1", "::1")


def close(opened: list[Listener]) -> None:
    for listener in opened:
        listener.socket.close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_one_port_on_every_address() -> None:
    opened = listeners.listen(BOTH, 0)
    assert [listener.host for listener in opened] == (list(BOTH) if has_ipv6() else ["127.0.0.1"])
    assert len({listener.port for listener in opened}) == 1
    for listener in opened:
        socket.create_connection((listener.host, listener.port), timeout=5).close()
    close(opened)


def test_an_address_that_is_not_here_is_left_out() -> None:
    opened = listeners.listen(("127.0.0.1", "192.0.2.1"), 0)
    assert [listener.host for listener in opened] == ["127.0.0.1"]
    close(opened)
    with pytest.raises(PortTaken) as caught:
        listeners.listen(("192.0.2.1",), 0)
    assert caught.value.code == "no-address"


@pytest.mark.parametrize("held_host", BOTH)
def test_taken_on_either_address_is_taken(held_host: str) -> None:
    if held_host == "::1" and not has_ipv6():
        pytest.skip("not on a system without IPv6")
    family = socket.AF_INET6 if ":" in held_host else socket.AF_INET
    with socket.create_server((held_host, 0), family=family) as held:
        port = held.getsockname()[1]
        assert not listeners.is_free(held_host, port)
        with pytest.raises(PortTaken) as caught:
            listeners.listen(BOTH, port)
        assert f"Port {port} on {held_host}" in caught.value.message
        if sys.platform == "linux":
            assert f"(process {os.getpid()})" in caught.value.message
        opened = listeners.listen(BOTH, port, or_next=True)
        assert opened[0].port > port
        close(opened)
    assert listeners.is_free(held_host, port)
    close(listeners.listen(BOTH, port))


def test_nobody_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert listeners.who_listens(bound.getsockname()[1]) is None
