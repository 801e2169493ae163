"""The file of the view indexes in use: opened when first asked for, replaced when it turns out broken."""

from __future__ import annotations

import asyncio
import contextlib

from localsrv.base.errors import LocalsrvError, Unavailable
from localsrv.store.open_file import OpenFile
from localsrv.store.views import FILE_NAME, ViewFile, remove


class OpenViews:
    """Holds the view file of an app's file, if there is one as yet."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._views: ViewFile | None = None
        self._opening = asyncio.Lock()
        self._is_closed = False

    async def get(self, broken: ViewFile | None) -> ViewFile:
        """See `Database.views`."""
        if self._views is not None and self._views is not broken and not self._is_closed:
            return self._views
        # Whoever asks may go away; a file must not be opened by two at once.
        return await asyncio.shield(asyncio.ensure_future(self._open(broken)))

    async def _open(self, broken: ViewFile | None) -> ViewFile:
        async with self._opening:
            if self._is_closed:
                raise Unavailable("The store is closing.", code="closing")
            if self._views is None or self._views is broken:
                path = self._file.path.with_name(FILE_NAME)
                if self._views is not None:
                    await self._views.close()
                    await asyncio.to_thread(remove, path)
                self._views = None
                views = await ViewFile.open(path, self._file.epoch)
                await views.forget_collections(self._numbers())
                self._views = views
            return self._views

    async def forget_dropped(self) -> None:
        """Drops the indexes of collections that are there no more."""
        if self._views is not None:
            with contextlib.suppress(LocalsrvError):  # else they go when the file is next opened
                await self._views.forget_collections(self._numbers())

    async def close(self) -> None:
        """Closes the file; nobody gets it any more."""
        self._is_closed = True
        async with self._opening:
            if self._views is not None:
                await self._views.close()

    def _numbers(self) -> set[int]:
        return {state.number for state in self._file.states.values()}
