"""Hearing that the network changed."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from localsrv.outbound import network
from localsrv.outbound.network import NetworkWatch


async def test_it_listens_and_stops() -> None:
    watch = NetworkWatch(lambda: None)
    for _ in range(2):
        watch.start()
        watch.start()
        watch.stop()
        watch.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux")
async def test_several_changes_are_told_once_they_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's side of the socket is played here: a test must not change this computer's network."""
    monkeypatch.setattr(network, "_SETTLE_S", 0.01)
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    monkeypatch.setattr(network, "listen", lambda: ours)
    told: list[None] = []
    heard = asyncio.Event()

    def changed() -> None:
        told.append(None)
        heard.set()

    watch = NetworkWatch(changed)
    watch.start()
    with kernel:
        for _ in range(3):
            kernel.send(b"something changed")
        async with asyncio.timeout(10):
            await heard.wait()
        assert len(told) == 1
        heard.clear()
        kernel.send(b"and again")
        async with asyncio.timeout(10):
            await heard.wait()
    watch.stop()
    assert len(told) == 2
