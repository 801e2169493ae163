"""Blocking calls, one at a time, each in a daemon thread of its own with a time limit.

A thread that is past its limit cannot be ended. While one hangs, further calls fail at once instead of
piling up threads behind it, and when it returns at last, calls work again by themselves. A caller that goes
away (a request that was cut off) does not end its call: the next one waits until it is through, since two at
once could each undo half of the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")


class Calls:
    """`why_late` makes the error for a call that passed the limit; it may look for the reason itself."""

    def __init__(self, limit_s: float, why_late: Callable[[], Awaitable[Exception]]) -> None:
        self._limit_s = limit_s
        self._why_late = why_late
        self._turn = asyncio.Lock()
        self._thread: threading.Thread | None = None
        self._why: Exception | None = None

    async def call(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises; after the limit what `why_late` made."""
        call = asyncio.ensure_future(self._in_turn(work))
        call.add_done_callback(_look)
        return await asyncio.shield(call)

    async def _in_turn(self, work: Callable[[], Result]) -> Result:
        async with self._turn:
            if self._why is not None and self._thread is not None and self._thread.is_alive():
                raise self._why
            self._why = None
            outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            self._thread = start(work, outcome)
            try:
                async with asyncio.timeout(self._limit_s):
                    return await outcome
            except TimeoutError:
                if outcome.done() and not outcome.cancelled():  # `work` itself raised a TimeoutError
                    raise
                self._why = await self._why_late()
                raise self._why from None


def _look(call: asyncio.Future[Result]) -> None:
    """Takes note of a failure that nobody waits for any more."""
    if not call.cancelled():
        call.exception()


def start(work: Callable[[], Result], outcome: asyncio.Future[Result]) -> threading.Thread:
    """Runs `work` in a thread that does not hold up the end of the process, and reports to `outcome`."""
    loop = asyncio.get_running_loop()

    def report(result: Result | None, error: BaseException | None) -> None:
        if outcome.done():  # the caller stopped waiting
            return
        if error is None:
            outcome.set_result(result)  # type: ignore[arg-type]
        else:
            outcome.set_exception(error)

    def run() -> None:
        result: Result | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(report, result, failure)

    thread = threading.Thread(target=run, name="vault", daemon=True)
    thread.start()
    return thread
