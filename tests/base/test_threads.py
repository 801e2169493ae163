"""Work in threads is over when its caller goes on, also when that was cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from localsrv.base.threads import in_thread


async def test_a_cancelled_caller_waits_for_its_thread() -> None:
    entered, go_on = threading.Event(), threading.Event()
    worked: list[bool] = []

    def work() -> None:
        entered.set()
        assert go_on.wait(20)
        worked.append(True)

    caller = asyncio.ensure_future(in_thread(work))
    assert await asyncio.to_thread(entered.wait, 20)
    caller.cancel()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not caller.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert worked == [True]


async def test_results_and_errors_are_the_caller_s() -> None:
    assert await in_thread(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)
