"""Wrong passphrases make the next try wait."""

from __future__ import annotations

import asyncio

import pytest

from localsrv.services.unlocking import LONGEST_S, TooManyAttempts, Unlocking


class Wrong(Exception):
    pass


async def _try(unlocking: Unlocking, *, fails: bool) -> str:
    try:
        async with unlocking.attempt(lambda error: isinstance(error, Wrong)):
            if fails:
                raise Wrong
    except Wrong:
        return "wrong"
    except TooManyAttempts as error:
        return f"wait {error.retry_after_s}"
    return "right"


async def test_failures_cost_ever_more() -> None:
    now = [100.0]
    unlocking = Unlocking(lambda: now[0])
    assert [await _try(unlocking, fails=True) for _ in range(5)] == ["wrong"] * 3 + ["wait 1"] * 2
    waits = []
    for _ in range(12):
        error = await _try(unlocking, fails=False)
        assert error.startswith("wait "), "the right one has to wait too"
        waits.append(float(error.removeprefix("wait ")))
        now[0] += waits[-1]
        assert await _try(unlocking, fails=True) == "wrong"
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, LONGEST_S, LONGEST_S, LONGEST_S]
    now[0] += LONGEST_S
    assert await _try(unlocking, fails=False) == "right"
    assert [await _try(unlocking, fails=True) for _ in range(4)] == ["wrong"] * 3 + ["wait 1"]


async def test_other_errors_do_not_count() -> None:
    unlocking = Unlocking(lambda: 0.0)
    for _ in range(9):
        with pytest.raises(OSError):
            async with unlocking.attempt(lambda error: isinstance(error, Wrong)):
                raise OSError
    assert await _try(unlocking, fails=False) == "right"


async def test_many_at_once_are_tried_one_by_one() -> None:
    unlocking = Unlocking(lambda: 0.0)
    found = await asyncio.gather(*(_try(unlocking, fails=True) for _ in range(20)))
    assert sorted(found) == ["wait 1"] * 17 + ["wrong"] * 3
