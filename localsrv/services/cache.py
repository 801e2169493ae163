"""An app's own cache: values by key that may be gone at any moment, with a time to live.

`Cache` is the interface; `MemoryCache` forgets with the server, `FileCache` does not. Both are bounded, and
what was not used for the longest time goes first. A hub's cache in Redis will be a third: nothing here asks
for more than `GET`, `SET … PX NX`, `DEL`, `INCRBY` and a short script can do.

One suite tests them all (`tests/contract/test_caches.py`).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from localsrv.base.errors import Conflict, InvalidValue, TooLarge
from localsrv.store.cache_file import CacheFile, Entry

MOST_VALUE = 1 << 20
"""Bytes of one value."""
MOST_KEY = 250
"""Bytes of a key, as memcached has it."""
LONGEST_LIFE_S = 366 * 86_400

NUMBER = "text/plain; charset=utf-8"
"""What a counter is: decimal digits."""

_BESIDE = 200
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Item:
    """A value. `expires_at` in seconds since 1970; None: when there is no more room."""

    value: bytes
    content_type: str = "application/octet-stream"
    expires_at: float | None = None

    @property
    def etag(self) -> str:
        """What the value is, for conditional requests; without quotes."""
        return sha256(self.content_type.encode() + b"\0" + self.value).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Condition:
    """When a value is set: only if there is none (`absent`), or only if it is the one of this `etag`."""

    absent: bool = False
    etag: str | None = None

    def holds(self, found: Item | None) -> bool:
        if self.absent:
            return found is None
        return self.etag is None or (found is not None and found.etag == self.etag)


ALWAYS = Condition()


class Cache(Protocol):
    """Values by app and key. Methods raise StorageError, or Unavailable, when what is below refuses."""

    async def get(self, app: str, key: str) -> Item | None: ...

    async def set(self, app: str, key: str, item: Item, condition: Condition = ALWAYS) -> bool:
        """Sets a value, atomically with the look at `condition`; False when that did not hold.

        Raises:
            TooLarge: the value is larger than `MOST_VALUE` or than the whole cache.
        """

    async def delete(self, app: str, key: str) -> bool:
        """Whether there was a value."""

    async def increment(self, app: str, key: str, by: int, expires_at: float | None = None) -> int:
        """Adds to a counter, atomically, and returns it; one that is missing begins at 0 and lives until
        `expires_at`, one that is there keeps its time.

        Raises:
            Conflict: the value is no whole number. InvalidValue: it would pass 64 bits.
        """

    async def clear(self, app: str) -> int:
        """Removes everything of an app; how many values there were."""

    async def close(self) -> None: ...


class MemoryCache:
    """In this process's memory, at most `most_bytes` for all apps together."""

    def __init__(self, most_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._most = most_bytes
        self._clock = clock
        self._items: OrderedDict[tuple[str, str], Item] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        return self._size

    async def get(self, app: str, key: str) -> Item | None:
        found = self._live((app, key))
        if found is not None:
            self._items.move_to_end((app, key))
        return found

    async def set(self, app: str, key: str, item: Item, condition: Condition = ALWAYS) -> bool:
        check(item, self._most - _BESIDE - len(key))
        if not condition.holds(self._live((app, key))):
            return False
        self._put((app, key), item)
        return True

    async def delete(self, app: str, key: str) -> bool:
        was_live = self._live((app, key)) is not None
        self._drop((app, key))
        return was_live

    async def increment(self, app: str, key: str, by: int, expires_at: float | None = None) -> int:
        made = added(self._live((app, key)), by, expires_at)
        self._put((app, key), made)
        return int(made.value)

    async def clear(self, app: str) -> int:
        gone = [place for place in self._items if place[0] == app]
        for place in gone:
            self._drop(place)
        return len(gone)

    async def close(self) -> None:
        self._items.clear()
        self._size = 0

    def _live(self, place: tuple[str, str]) -> Item | None:
        found = self._items.get(place)
        if found is not None and found.expires_at is not None and found.expires_at <= self._clock():
            self._drop(place)
            return None
        return found

    def _put(self, place: tuple[str, str], item: Item) -> None:
        self._drop(place)
        self._items[place] = item
        self._size += _size(place, item)
        if self._size > self._most:
            self._drop_ended()
        while self._size > self._most:
            self._drop(next(iter(self._items)))

    def _drop_ended(self) -> None:
        now = self._clock()
        for place in [p for p, i in self._items.items() if i.expires_at is not None and i.expires_at <= now]:
            self._drop(place)

    def _drop(self, place: tuple[str, str]) -> None:
        gone = self._items.pop(place, None)
        if gone is not None:
            self._size -= _size(place, gone)


class FileCache:
    """In a bounded file, through restarts."""

    def __init__(self, file: CacheFile, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock

    async def get(self, app: str, key: str) -> Item | None:
        found = await self._file.get(app, key, self._clock())
        return _item(found[0]) if found else None

    async def set(self, app: str, key: str, item: Item, condition: Condition = ALWAYS) -> bool:
        check(item, self._file.most_bytes - _BESIDE - len(key) - len(item.content_type) - 20)
        is_set = False

        def change(entry: Entry | None) -> Entry | None:
            nonlocal is_set
            is_set = condition.holds(_item(entry) if entry else None)
            return _entry(item) if is_set else None

        await self._file.change(app, key, self._clock(), change)
        return is_set

    async def delete(self, app: str, key: str) -> bool:
        is_live = bool(await self._file.get(app, key, self._clock()))
        return bool(await self._file.delete(app, key)) and is_live

    async def increment(self, app: str, key: str, by: int, expires_at: float | None = None) -> int:
        def change(entry: Entry | None) -> Entry:
            return _entry(added(_item(entry) if entry else None, by, expires_at))

        made = await self._file.change(app, key, self._clock(), change)
        assert made is not None
        return int(made.body)

    async def clear(self, app: str) -> int:
        return await self._file.clear(app)

    async def close(self) -> None:
        await self._file.close()


def check(item: Item, most: int = MOST_VALUE) -> None:
    """Raises TooLarge."""
    limit = min(MOST_VALUE, most)
    if len(item.value) > limit:
        raise TooLarge(
            f"A value in the cache has at most {limit} bytes.",
            details=f"{len(item.value)} bytes",
            hint="Keep it as a document or an attachment.",
        )


def added(found: Item | None, by: int, expires_at: float | None) -> Item:
    """A counter after an addition. Raises as `Cache.increment`."""
    before = 0
    if found is not None:
        text = found.value.decode("ascii", "replace")
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
            raise Conflict("The value of this key is no whole number.", code="not-a-number")
        before = int(text)
    after = before + by
    if not _LOWEST <= after <= _HIGHEST:
        raise InvalidValue("The counter would pass 64 bits.", details="by")
    return Item(str(after).encode(), NUMBER, found.expires_at if found else expires_at)


def _size(place: tuple[str, str], item: Item) -> int:
    return len(place[1]) + len(item.value) + len(item.content_type) + _BESIDE


def _item(entry: Entry) -> Item:
    return Item(entry.body, entry.meta["type"], entry.expires_at)


def _entry(item: Item) -> Entry:
    return Entry(item.value, {"type": item.content_type}, item.expires_at)
