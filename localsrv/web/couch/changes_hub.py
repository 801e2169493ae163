"""What makes a thousand listeners of one database cost one read of the store for each write.

Theory of operation. Listeners that see the same (`ChangesView.key`) share a hub. The hub alone waits for the
store; when something was written it reads once, keeps the batch for a while under the number it begins at,
and wakes the listeners, each of which sends the batch's text, made once. One that is behind, because its
network is slow, finds its place in the kept batches or reads for itself. Nothing is queued for anybody. While
there are many listeners the hub takes a breath between two reads, so that a stream of writes is told in
fewer, larger batches.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from localsrv.base.errors import LocalsrvError, NotFound
from localsrv.web.couch.changes_view import Batch, ChangesView

KEPT = 16
"""Batches that are kept for listeners that are a little behind."""
KEPT_BYTES = 4 << 20
"""How much they take together; the newest is kept whatever it takes, since all wait for it."""

BREATH_PER_LISTENER = 50e-6
LONGEST_BREATH = 0.1


class Hub:
    """The listeners of one view. Belongs to the event loop."""

    def __init__(self, view: ChangesView, since: int) -> None:
        self._view = view
        self._position = since
        self._kept: OrderedDict[int, Batch] = OrderedDict()
        self._news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listeners = 0
        self._pump: asyncio.Task[None] | None = None
        self.error: LocalsrvError | None = None
        """Why there will be no further changes: the database was deleted, or a filter fails."""
        self.is_over = False
        """Whether the app was closed, or `error` is set."""

    def join(self) -> None:
        """One listener more. The hub works while there is one."""
        self._listeners += 1
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._run())

    def leave(self) -> bool:
        """One listener less; whether it was the last."""
        self._listeners -= 1
        if self._listeners or self._pump is None:
            return False
        self._pump.cancel()
        return True

    def kept(self, since: int) -> Batch | None:
        """The batch that begins at `since`, if it is kept."""
        return self._kept.get(since)

    def is_ahead_of(self, since: int) -> bool:
        """Whether there are changes after `since` that are not kept any longer."""
        return since < self._position

    @property
    def news(self) -> asyncio.Future[None]:
        """Done when there is something new, or nothing will be. Shared: wait for it, never cancel it."""
        return self._news

    async def _run(self) -> None:
        db, looked = self._view.db, self._position
        try:
            while True:
                definitions = db.collections
                if db.collection(self._view.name).number != self._view.number:
                    raise NotFound("This database was deleted.", code="no-collection")
                await db.wait_for_change(looked, definitions)
                looked = db.last_seq
                more = True
                while more:
                    batch = await self._view.read(self._position)
                    more = batch.more
                    self._keep(batch)
                breath = self._listeners * BREATH_PER_LISTENER
                if breath > 0.005:
                    await asyncio.sleep(min(breath, LONGEST_BREATH))
        except LocalsrvError as error:
            self.error = error
        finally:
            self.is_over = True
            self._wake()

    def _keep(self, batch: Batch) -> None:
        if batch.last_seq == batch.since:
            return
        self._kept[batch.since] = batch
        self._position = batch.last_seq
        size = sum(one.size for one in self._kept.values())
        while len(self._kept) > KEPT or (size > KEPT_BYTES and len(self._kept) > 1):
            size -= self._kept.popitem(last=False)[1].size
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.get_running_loop().create_future()
        if not news.done():
            news.set_result(None)


class Hubs:
    """The hubs of a server, by what their listeners see."""

    def __init__(self) -> None:
        self._hubs: dict[object, Hub] = {}

    def __len__(self) -> int:
        return len(self._hubs)

    @contextmanager
    def listening(self, view: ChangesView, since: int) -> Iterator[Hub]:
        """The hub of a view, for as long as the block runs."""
        key = (view.db, view.number, view.key)
        hub = self._hubs.get(key)
        if hub is None or hub.is_over:
            hub = self._hubs[key] = Hub(view, since)
        hub.join()
        try:
            yield hub
        finally:
            if hub.leave() and self._hubs.get(key) is hub:
                del self._hubs[key]
