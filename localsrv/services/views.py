"""View indexes: built when somebody asks, from where they were left, in the background.

One task builds an index (`services.indexing`); whoever asks meanwhile waits for the same task. It reads
documents in the order of their changes (`store.view_source`), has a child process map them (`javascript`),
and hands the rows to the file of the indexes (`store.views`). A function that never ends, or that eats all
memory, fails the queries that need it; the index then rests for a while, longer each time, before anybody's
query may try it again, so that it cannot keep a processor busy for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from localsrv.base.errors import LocalsrvError, StorageError
from localsrv.base.threads import in_thread
from localsrv.javascript.pool import JavaScript
from localsrv.javascript.worker import JavaScriptError
from localsrv.model.design_document import JAVASCRIPT, DesignDocument
from localsrv.services.indexing import Run
from localsrv.services.reducing import Reducer
from localsrv.store.database import Database
from localsrv.store.view_snapshot import Snapshot
from localsrv.store.views import Index, ViewFile

log = logging.getLogger("localsrv.views")

FIRST_REST_S = 30.0
LONGEST_REST_S = 3600.0


@dataclass(slots=True)
class _Failure:
    error: JavaScriptError
    rests_until: float
    rest_s: float


@dataclass(slots=True)
class _Job:
    """One index of one database, and the task that builds it while there is one."""

    database: Database
    name: str
    number: int
    design: DesignDocument
    file: ViewFile | None = None
    index: Index | None = None
    seen: int = 0
    """All changes up to this one are in the index."""
    task: asyncio.Task[None] | None = None
    failure: _Failure | None = None
    waiting: int = 0
    done: int = 0
    started: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Building:
    """What a running build tells of itself. Times are Unix seconds; `done` and `total` count changes."""

    database: str
    design: str
    done: int
    total: int
    started: float
    updated: float


@dataclass(frozen=True, slots=True)
class IndexState:
    """An index: the last change it has seen, whether it is being built, and how many queries wait for that.

    `file_bytes` are the file's, which holds all indexes of the app; `row_bytes` those of its rows.
    """

    seq: int
    is_building: bool = False
    waiting: int = 0
    file_bytes: int = 0
    row_bytes: int = 0


class Views:
    """The view indexes of all apps."""

    def __init__(self, javascript: JavaScript) -> None:
        self._javascript = javascript
        self.reducer = Reducer(javascript)
        self._jobs: WeakKeyDictionary[Database, dict[tuple[int, str], _Job]] = WeakKeyDictionary()

    async def close(self) -> None:
        """Ends what builds; where it was is kept."""
        tasks = [j.task for jobs in self._jobs.values() for j in jobs.values() if j.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def snapshot(
        self, database: Database, name: str, design: DesignDocument, *, update: bool = True
    ) -> AsyncIterator[Snapshot]:
        """One state of the index of a design document; `update` brings it up to date first.

        Raises:
            JavaScriptError: the index cannot be built. NotFound: the collection is gone.
        """
        file, snapshot = await self._begin(self._job(database, name, design), update)
        try:
            yield snapshot
        except asyncio.CancelledError:
            raise  # a thread may still read from it: its connection is closed when that has ended
        except BaseException:
            file.release(snapshot)
            raise
        file.release(snapshot)

    async def _begin(self, job: _Job, update: bool) -> tuple[ViewFile, Snapshot]:
        for is_last in (False, True):
            try:
                if update:
                    await self._bring_up_to_date(job)
                else:
                    await self._open(job)
                assert job.file is not None and job.index is not None
                return job.file, await job.file.snapshot(job.index)
            except StorageError as error:
                await self._mend(job, error)
                if is_last:
                    raise
        raise AssertionError

    def update_later(self, database: Database, name: str, design: DesignDocument) -> None:
        """Brings an index up to date without anybody waiting for it."""
        self._start(self._job(database, name, design))

    async def state(self, database: Database, name: str, design: DesignDocument) -> IndexState:
        """Where the index of a design document stands, without bringing it up to date."""
        job = self._job(database, name, design)
        file, snapshot = await self._begin(job, False)
        try:
            size = await in_thread(snapshot.size_bytes)
            seq = max(snapshot.seq, job.seen)
            is_building = job.task is not None and not job.task.done()
            return IndexState(seq, is_building, job.waiting, file.size_bytes(), size)
        finally:
            file.release(snapshot)

    async def clean_up(self, database: Database, name: str, keep: Sequence[DesignDocument]) -> None:
        """Removes the indexes of a collection that none of its design documents needs any more."""
        number = database.collection(name).number
        signatures = {design.signature for design in keep}
        jobs = self._jobs.get(database, {})
        for key in [key for key in jobs if key[0] == number and key[1] not in signatures]:
            task = jobs.pop(key).task
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await (await database.views()).clean_up(number, signatures)

    def building(self, database: Database) -> list[Building]:
        """What is being built now."""
        return [
            Building(job.name, job.design.id, job.done, database.last_seq, job.started, job.updated)
            for job in self._jobs.get(database, {}).values()
            if job.task is not None and not job.task.done()
        ]

    # ── building ───────────────────────────────────────────────────────────────────────────────────────────

    def _job(self, database: Database, name: str, design: DesignDocument) -> _Job:
        if design.language != JAVASCRIPT:
            raise JavaScriptError("unknown_query_language", design.language)
        number = database.collection(name).number
        jobs = self._jobs.setdefault(database, {})
        key = (number, design.signature)
        if key not in jobs:
            jobs[key] = _Job(database, name, number, design)
        return jobs[key]

    async def _open(self, job: _Job) -> Index:
        file = await job.database.views()
        if job.index is None or job.file is not file:
            job.index = await file.index(job.number, job.design.signature, len(job.design.maps))
            job.file, job.seen = file, job.index.seq
        return job.index

    async def _mend(self, job: _Job, error: StorageError) -> None:
        """Makes the next try begin anew where that can help; raises the error where it cannot."""
        if error.code == "storage-damaged":
            log.warning(
                "the view indexes of %s are damaged and are built again", job.database.path.parent.name
            )
            await job.database.views(broken=job.file)
        elif error.code != "index-dropped":
            raise error
        job.index, job.file, job.seen = None, None, 0

    async def _bring_up_to_date(self, job: _Job) -> None:
        wanted = job.database.last_seq
        await self._open(job)
        while job.seen < wanted:
            if job.failure is not None and time.monotonic() < job.failure.rests_until:
                raise job.failure.error
            job.waiting += 1
            try:
                await asyncio.shield(self._start(job))
            finally:
                job.waiting -= 1

    def _start(self, job: _Job) -> asyncio.Task[None]:
        if job.task is None or job.task.done():
            job.started = job.updated = time.time()
            job.task = asyncio.get_running_loop().create_task(self._build(job))
            job.task.add_done_callback(_retrieve)
        return job.task

    async def _build(self, job: _Job) -> None:
        """Builds until the index has seen all there is."""
        try:
            await self._open(job)
            await self._follow(job)
        except JavaScriptError as error:
            rest = min(job.failure.rest_s * 2, LONGEST_REST_S) if job.failure else FIRST_REST_S
            job.failure = _Failure(error, time.monotonic() + rest, rest)
            log.warning("%s cannot be indexed: %s: %s", job.design.id, error.error, error.message)
            raise
        job.failure = None

    async def _follow(self, job: _Job) -> None:
        assert job.file is not None and job.index is not None
        run = Run(self._javascript, job.database, job.name, job.design, job.file, job.index)
        try:
            async with aclosing(run.follow()) as steps:
                async for job.done in steps:
                    job.updated = time.time()
        finally:
            job.index = run.index
        job.seen = job.done


def _retrieve(task: asyncio.Task[None]) -> None:
    """Whoever waits gets the error; that nobody waits is no reason to complain."""
    if not task.cancelled():
        error = task.exception()
        if error is not None and not isinstance(error, LocalsrvError):
            log.error("building a view index failed", exc_info=error)
