"""outbound/lookups.py: names are looked up beside everything else."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from localsrv.outbound.lookups import MOST, Lookups


async def test_what_the_system_knows() -> None:
    found = await Lookups().resolve("localhost", 80)
    assert {one["host"] for one in found} <= {"127.0.0.1", "::1"}
    assert {(one["hostname"], one["port"]) for one in found} == {("localhost", 80)}


@pytest.mark.parametrize("name", ["nothing.invalid", "a" * 300, "..", "\udc80"])
async def test_what_it_does_not_know(name: str) -> None:
    with pytest.raises(OSError):
        await Lookups().resolve(name, 80)


class Blocked:
    """A system whose name servers do not answer until `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        assert self.go_on.wait(20)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", port, 0, 2)),
        ]


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Blocked]:
    system = Blocked()
    monkeypatch.setattr(socket, "getaddrinfo", system)
    yield system
    system.go_on.set()


async def test_names_that_hang_hold_nobody_else_up(blocked: Blocked) -> None:
    lookups = Lookups()
    asking = [asyncio.ensure_future(lookups.resolve(f"n{number}", 80)) for number in range(5 * MOST)]
    async with asyncio.timeout(5):
        while len(blocked.asked) < MOST:
            await asyncio.to_thread(int)  # the loop's own threads are free
    for one in asking[:MOST]:
        one.cancel()
    await asyncio.gather(*asking[:MOST], return_exceptions=True)
    assert len(blocked.asked) == MOST, "who stops waiting makes no room for another thread"
    blocked.go_on.set()
    found = await asyncio.gather(*asking[MOST:])
    assert [one["host"] for one in found[0]] == ["127.0.0.1", "fe80::1%2"]
    assert len(blocked.asked) == 5 * MOST
