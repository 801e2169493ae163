"""Which cache apps get: in memory, or in a file if the owner wants it to outlive the server.

It is made when it is first used: a start pays nothing for apps that cache nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from localsrv.services.cache import Cache, FileCache, MemoryCache
from localsrv.store.cache_file import CacheFile


class Caches:
    """`file` is where values lie if `is_persisted`; what an earlier server left there goes otherwise."""

    def __init__(self, file: Path, most_bytes: int, *, is_persisted: bool) -> None:
        self._file = file
        self._most = most_bytes
        self._is_persisted = is_persisted
        self._opening = asyncio.Lock()
        self._cache: Cache | None = None

    async def cache(self) -> Cache:
        """The cache of all apps. Raises StorageError when its file cannot be made."""
        async with self._opening:
            if self._cache is None:
                if self._is_persisted:
                    self._cache = FileCache(await CacheFile.open(self._file, self._most))
                else:
                    await asyncio.to_thread(remove, self._file)
                    self._cache = MemoryCache(self._most)
            return self._cache

    async def forget_app(self, app: str) -> None:
        """Removes the values of an app that goes."""
        if self._cache is not None or (self._is_persisted and self._file.exists()):
            await (await self.cache()).clear(app)

    async def close(self) -> None:
        if self._cache is not None:
            await self._cache.close()


def remove(file: Path) -> None:
    """Removes a cache's file with what SQLite puts beside it."""
    for one in (file, *file.parent.glob(f"{file.name}-*")):
        one.unlink(missing_ok=True)
