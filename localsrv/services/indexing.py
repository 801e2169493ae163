"""One run over a database's changes, which brings a view index up to date.

Reading, mapping and writing overlap. Whatever functions emit, only so much of it is in memory at a time, and
no transaction is so large that others wait long for theirs: a document's rows may come in several. Until the
last rows of a batch are written the index has not seen its changes, so that a run which was broken off is
taken up there, and replaces what it left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

from localsrv.base.errors import NotFound
from localsrv.javascript.pool import JavaScript
from localsrv.model.collation import raw_sort_key, sort_key
from localsrv.model.design_document import DesignDocument
from localsrv.services.mapping import Emitted, map_lines, view_rows, views_program
from localsrv.store.database import Database
from localsrv.store.view_source import SourceBatch, SourceDocument, read_batch
from localsrv.store.views import Index, Row, ViewFile

T = TypeVar("T")


@dataclass(slots=True)
class Run:
    """A run. `index` is where the index stands, as far as it is known to be written."""

    javascript: JavaScript
    database: Database
    name: str
    design: DesignDocument
    file: ViewFile
    index: Index
    _writing: asyncio.Future[Index] | None = field(default=None, repr=False)

    async def follow(self) -> AsyncGenerator[int, None]:
        """Goes on until the index has seen all there is; gives the changes it has come to.

        Raises:
            JavaScriptError: a function failed as a whole. NotFound: the collection is gone.
        """
        reading = asyncio.ensure_future(self._read(self.index.seq))
        try:
            more = True
            while more:
                batch = await reading
                more = batch.more
                if more:
                    reading = asyncio.ensure_future(self._read(batch.last))
                await self._index(batch)
                if not more:
                    await self._written()
                yield batch.last
        finally:
            reading.cancel()
            writing = () if self._writing is None else (self._writing,)
            await asyncio.gather(reading, *writing, return_exceptions=True)

    async def _read(self, since: int) -> SourceBatch:
        database, options = self.database, self.design.options
        state = database.collection(self.name)
        if state.number != self.index.collection:
            raise NotFound("The database was deleted.", code="no-collection", details=self.name)
        until = database.last_seq
        return await database.read(
            lambda connection: read_batch(
                connection,
                state,
                since,
                until,
                with_design=options.get("include_design") is True,
                local_seq=options.get("local_seq") is True,
            )
        )

    async def _index(self, batch: SourceBatch) -> None:
        live = [document for document in batch.documents if document.text is not None]  # they come first
        dead = [document.id for document in batch.documents[len(live) :]]
        if not live or not self.design.maps:
            await self._write([document.id for document in live] + dead, [], batch.last)
            return
        program = views_program(self.database, self.name, self.design)
        lines = [document.text or b"" for document in live]
        async with aclosing(map_lines(self.javascript, program, self.design.maps, lines)) as parts:
            async for part in parts:
                rows = await self._rows(live, part)
                replaced = [document.id for document in live[part.first : part.first + len(part.results)]]
                if part.before:
                    del replaced[0]
                if part.done == len(live):
                    await self._write(replaced + dead, rows, batch.last)
                else:
                    await self._write(replaced, rows, self.index.seq)

    async def _rows(self, live: Sequence[SourceDocument], part: Emitted) -> list[Row]:
        documents = live[part.first : part.first + len(part.results)]
        orders = [raw_sort_key if is_raw else sort_key for is_raw in self.design.raw]
        return await _in_thread(
            sum(map(len, part.results)), lambda: view_rows(documents, part.results, orders, part.before)
        )

    async def _write(self, replaced: Sequence[str], rows: Sequence[Row], seq: int) -> None:
        """Begins to write once the last has ended."""
        await self._written()
        seq = max(seq, self.index.seq)
        self._writing = asyncio.ensure_future(self.file.apply(self.index, replaced, rows, seq))

    async def _written(self) -> None:
        if self._writing is not None:
            self.index = await self._writing
            self._writing = None


async def _in_thread(size: int, function: Callable[[], T]) -> T:
    """A few rows are made at once; a hop to a thread would take longer."""
    return function() if size <= 20 else await asyncio.to_thread(function)
