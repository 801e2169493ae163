"""Several requests at once, never more than a few, and none left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Given = TypeVar("Given")
Result = TypeVar("Result")


async def gather(
    work: Callable[[Given], Awaitable[Result]], given: Sequence[Given], at_once: int
) -> list[Result]:
    """The results of `work` in the order of `given`. When one fails, the others are ended before its error
    is raised."""
    places = asyncio.Semaphore(at_once)

    async def one(value: Given) -> Result:
        async with places:
            return await work(value)

    tasks = [asyncio.ensure_future(one(value)) for value in given]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
