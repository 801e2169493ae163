"""When an open file is compacted, and in which steps (`compaction` has what each step forgets).

No timer wakes: a file that was not looked at for long is compacted after its next change, others after many.
Each step is an operation of its own, so that writes never wait long behind it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from localsrv.base.errors import LocalsrvError
from localsrv.store import compaction
from localsrv.store.catalog import CollectionState, all_parts

if TYPE_CHECKING:
    from localsrv.store.open_file import OpenFile

_EVERY = 20_000
"""Changes after which old bodies are looked at again."""


class Upkeep:
    """The compaction of one open file. `is_overdue` makes it due at the next change."""

    def __init__(self, file: OpenFile, *, is_overdue: bool) -> None:
        self._file = file
        self._done_at = -_EVERY if is_overdue else file.committed
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def is_due(self) -> bool:
        return self._file.committed - self._done_at > _EVERY and not self._is_closed

    @property
    def is_running(self) -> bool:
        """Whether old bodies are being forgotten now in the background."""
        return self._task is not None and not self._task.done()

    def begin(self) -> None:
        """Begins `compact` in the background, unless it runs already."""
        if not self.is_running and not self._is_closed:
            self._done_at = self._file.committed
            self._task = asyncio.get_running_loop().create_task(self._compact_quietly())

    async def close(self) -> None:
        """Ends what runs in the background; nothing begins any more."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def compact(self) -> dict[str, int]:
        """Forgets what retention allows; returns counts of `bodies`, `revisions`, `contents` and `files`."""
        file, submit = self._file, self._file.writer.submit
        before = await file.read(lambda c: compaction.oldest_kept(c, file.options.retention_s))
        counts = {"bodies": 0, "revisions": 0, "contents": 0, "files": 0}
        while forgotten := await submit(lambda tx: compaction.forget_bodies(tx, before)):
            counts["bodies"] += forgotten
        parts = all_parts(file.states.values())
        numbers = {state.number: state for state in parts}
        for number, document_id in await file.read(lambda c: compaction.overgrown(c, parts)):
            if state := numbers.get(number):
                counts["revisions"] += await self._stem(state, document_id)
        await submit(lambda tx: compaction.forget_times(tx, before))
        counts["contents"] = await submit(file.blobs.forget_unreferenced)
        counts["files"] = await file.read(file.blobs.sweep)
        await self._forget_sources()
        await submit(compaction.note_done)
        return counts

    async def _stem(self, state: CollectionState, document_id: str) -> int:
        return await self._file.writer.submit(lambda tx: compaction.stem(tx, state, [document_id]))

    async def _forget_sources(self) -> None:
        file = self._file
        until = file.committed  # before the collections, so that it holds all that had changes up to then
        states = all_parts(file.states.values())
        obsolete = await file.read(lambda c: compaction.obsolete_sources(c, states, until))
        for at in range(0, len(obsolete), compaction.BATCH):
            batch = obsolete[at : at + compaction.BATCH]
            await file.writer.submit(partial(compaction.forget_sources, numbers=batch))

    async def _compact_quietly(self) -> None:
        try:
            await self.compact()
        except LocalsrvError:
            # A full or failing disk is told to whoever writes next; compaction is tried again later.
            self._done_at = self._file.committed
