"""What every cache does, whatever keeps it: `services.cache.Cache`.

A further implementation (a hub's Redis) gets a maker in `MAKERS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from localsrv.base.errors import Conflict, InvalidValue, TooLarge
from localsrv.services.cache import MOST_VALUE, NUMBER, Cache, Condition, FileCache, Item, MemoryCache
from localsrv.store.cache_file import CacheFile

Make = Callable[[int], Awaitable[Cache]]


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def in_memory(folder: Path, most: int, clock: Clock) -> Cache:
    return MemoryCache(most, clock)


async def in_a_file(folder: Path, most: int, clock: Clock) -> Cache:
    return FileCache(await CacheFile.open(folder / "values.db", most), clock)


MAKERS = {"memory": in_memory, "file": in_a_file}


@pytest.fixture(params=sorted(MAKERS))
async def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Make]:
    """Makes a cache of at most so many bytes."""
    made: list[Cache] = []

    async def maker(most: int) -> Cache:
        made.append(await MAKERS[request.param](tmp_path, most, clock))
        return made[-1]

    yield maker
    for cache in made:
        await cache.close()


@pytest.fixture
async def cache(make: Make) -> Cache:
    return await make(4 << 20)


@pytest.mark.parametrize("value", [b"", b"\0\xff", "ü".encode(), bytes(MOST_VALUE)])
async def test_what_was_set_comes_back(cache: Cache, value: bytes) -> None:
    item = Item(value, "image/png; a=b")
    assert await cache.get("a", "k") is None
    assert await cache.set("a", "k", item)
    assert await cache.get("a", "k") == item
    assert await cache.set("a", "k", Item(b"other"))
    assert await cache.get("a", "k") == Item(b"other")


async def test_keys_and_apps_are_apart(cache: Cache) -> None:
    for app, key in (("a", "k"), ("a", "K"), ("a", "k "), ("b", "k"), ("a", "a:k"), ("a", "ü")):
        assert await cache.set(app, key, Item(f"{app} {key}".encode()))
    found = await cache.get("b", "k")
    assert found is not None and found.value == b"b k"
    assert await cache.clear("a") == 5
    assert (await cache.get("a", "k"), await cache.get("b", "k")) == (None, found)


async def test_deleting(cache: Cache, clock: Clock) -> None:
    await cache.set("a", "k", Item(b"1"))
    assert [await cache.delete("a", "k"), await cache.delete("a", "k")] == [True, False]
    await cache.set("a", "k", Item(b"1", expires_at=clock.now + 1))
    clock.now += 1
    assert not await cache.delete("a", "k"), "it was gone already"


async def test_values_end(cache: Cache, clock: Clock) -> None:
    await cache.set("a", "k", Item(b"1", expires_at=clock.now + 10))
    clock.now += 9.9
    assert await cache.get("a", "k") is not None
    clock.now += 0.1
    assert await cache.get("a", "k") is None
    assert await cache.set("a", "k", Item(b"2"), Condition(absent=True))
    clock.now += 1e9
    assert await cache.get("a", "k") == Item(b"2")


async def test_conditions(cache: Cache, clock: Clock) -> None:
    one, two = Item(b"1"), Item(b"2")
    assert not await cache.set("a", "k", one, Condition(etag=one.etag)), "there is none"
    assert await cache.set("a", "k", one, Condition(absent=True))
    assert not await cache.set("a", "k", two, Condition(absent=True))
    assert not await cache.set("a", "k", two, Condition(etag=two.etag))
    assert await cache.get("a", "k") == one
    assert await cache.set("a", "k", two, Condition(etag=one.etag))
    assert await cache.get("a", "k") == two
    assert one.etag != Item(b"1", "text/plain").etag


async def test_one_of_many_gets_what_is_free(cache: Cache) -> None:
    tries = [cache.set("a", "lock", Item(str(n).encode()), Condition(absent=True)) for n in range(50)]
    done = await asyncio.gather(*tries)
    found = await cache.get("a", "lock")
    assert sum(done) == 1
    assert found is not None and done[int(found.value)]


async def test_counters_lose_nothing(cache: Cache) -> None:
    told = await asyncio.gather(*(cache.increment("a", "n", 1) for _ in range(100)))
    assert sorted(told) == list(range(1, 101))
    assert await cache.get("a", "n") == Item(b"100", NUMBER)
    assert await cache.increment("a", "n", -150) == -50
    await cache.set("a", "n", Item(b"41", "application/json"))
    assert await cache.increment("a", "n", 1) == 42


async def test_a_counter_keeps_its_time(cache: Cache, clock: Clock) -> None:
    await cache.increment("a", "n", 1, clock.now + 10)
    clock.now += 5
    assert await cache.increment("a", "n", 1, clock.now + 10) == 2
    clock.now += 5
    assert await cache.increment("a", "n", 1) == 1


@pytest.mark.parametrize("value", [b"", b"x", b"1.5", b"\xff", b"1 ", b"--1", b"9" * 30])
async def test_what_is_no_counter(cache: Cache, value: bytes) -> None:
    await cache.set("a", "n", Item(value))
    with pytest.raises(Conflict) as caught:
        await cache.increment("a", "n", 1)
    assert caught.value.code == "not-a-number"
    assert await cache.get("a", "n") == Item(value)


async def test_counters_stay_within_64_bits(cache: Cache) -> None:
    assert await cache.increment("a", "n", (1 << 63) - 1) == (1 << 63) - 1
    with pytest.raises(InvalidValue):
        await cache.increment("a", "n", 1)
    assert await cache.increment("a", "n", -1) == (1 << 63) - 2


async def test_what_is_too_large(cache: Cache, make: Make) -> None:
    await cache.set("a", "k", Item(b"before"))
    with pytest.raises(TooLarge):
        await cache.set("a", "k", Item(bytes(MOST_VALUE + 1)))
    assert await cache.get("a", "k") == Item(b"before")


async def test_the_longest_unused_goes_first(make: Make, clock: Clock) -> None:
    cache = await make(100_000)
    for number in range(8):
        await cache.set("a", str(number), Item(bytes(10_000)))
    await cache.set("a", "ends", Item(bytes(10_000), expires_at=clock.now + 1))
    await cache.get("a", "0")
    clock.now += 2
    await cache.set("b", "new", Item(bytes(20_000)))
    left = [key for key in (*map(str, range(8)), "ends") if await cache.get("a", key)]
    assert "0" in left and "ends" not in left
    await cache.set("b", "newer", Item(bytes(60_000)))
    left = [key for key in map(str, range(8)) if await cache.get("a", key)]
    assert left == ["5", "6", "7"], "those that were looked at last"
    assert await cache.get("b", "newer") is not None
    with pytest.raises(TooLarge):
        await cache.set("b", "all", Item(bytes(100_000)))


async def test_a_file_outlives_its_server(tmp_path: Path, clock: Clock) -> None:
    for make_one, is_kept in ((in_a_file, True), (in_memory, False)):
        first = await make_one(tmp_path, 1 << 20, clock)
        await first.set("a", "k", Item(b"1", "text/plain", clock.now + 60))
        await first.close()
        second = await make_one(tmp_path, 1 << 20, clock)
        assert (await second.get("a", "k") is not None) == is_kept
        await second.close()
