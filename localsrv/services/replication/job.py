"""A replication that is to be done: runs, pauses after failures, and ends when it is done or told to.

States are CouchDB's (docs: replication/replicator, «Replication states»): `initializing`, `running`,
`crashing` (waiting to be tried again), `completed`, `failed` (it never can), and `paused` of our own. A job
sleeps until something wakes it: the next try is due, the person says `now`, or the network came back.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from localsrv.base.errors import InvalidValue, LocalsrvError, VaultError
from localsrv.model.replication import Replication, retry_delay
from localsrv.outbound.errors import PeerError, PeerUnreachable
from localsrv.services.replication.peer import Peer
from localsrv.services.replication.progress import Progress
from localsrv.services.replication.run import Plan, Run

_log = logging.getLogger(__name__)

KEPT_EVENTS = 20
OFFLINE_LONGEST_S = 60.0
"""A peer that cannot be reached is tried at least this often: a try is one connection."""

OpenPeers = Callable[[], Awaitable[tuple[Peer, Peer]]]


@dataclass(frozen=True, slots=True)
class Key:
    """Names a job. `document` is its id in the app's `_replicator`, None when it lives in memory alone."""

    app: str
    id: str
    document: str | None = None


@dataclass(slots=True)
class Event:
    """Something that happened; `reason` with what went wrong."""

    at: float
    kind: str
    reason: str | None = None


class Watcher(Protocol):
    """Told of what happens to a job."""

    async def changed(self, job: Job, kind: str, text: str) -> None:
        """Its state."""

    def moved(self, job: Job) -> None:
        """Its progress."""


@dataclass(slots=True)
class Status:
    """How a job fares. Times are seconds since 1970; `next_at` is when it is tried again."""

    state: str = "initializing"
    errors: int = 0
    error: LocalsrvError | None = None
    started_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    next_at: float | None = None
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))


class Job:
    """Start it with `start`; `result` is done when it completed, failed or was stopped."""

    def __init__(
        self,
        key: Key,
        definition: Replication,
        base_id: str,
        open_peers: OpenPeers,
        watcher: Watcher,
        *,
        is_persistent: bool,
    ) -> None:
        """`is_persistent`: tried again after any failure; otherwise a one-shot job ends with its error."""
        self.key = key
        self.definition = definition
        self.status = Status()
        self.progress = Progress(told=lambda: watcher.moved(self))
        self.result: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._base_id = base_id
        self._open_peers = open_peers
        self._watcher = watcher
        self._is_persistent = is_persistent
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._running: asyncio.Task[dict[str, Any]] | None = None
        self._is_begun_again = False
        self._note("added")

    @property
    def is_over(self) -> bool:
        return self.status.state in ("completed", "failed")

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for its next try."""
        return self.status.next_at is not None

    @property
    def is_offline(self) -> bool:
        return self.is_waiting and isinstance(self.status.error, PeerUnreachable)

    def start(self) -> None:
        self._task = asyncio.create_task(self._work(), name=f"replication {self.key.id}")

    def now(self) -> None:
        """Tries at once instead of when it is due.

        One that has caught up and listens opens both sides again: only so it is known that they are there.
        """
        self._kick.set()
        if self._running is not None and self.status.state == "running" and self.progress.pending == 0:
            self.progress.pending = None
            self._is_begun_again = self._running.cancel()

    async def stop(self) -> None:
        """Ends it; what is done is recorded in a checkpoint."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if not self.result.done():
            self.result.cancel()

    async def _work(self) -> None:
        while not self.is_over:
            before = self.progress.counts.docs_written
            try:
                answer = await self._runs()
            except LocalsrvError as error:
                moved = self.progress.counts.docs_written > before
                await self._failed(error, 1 if moved else self.status.errors + 1)
            except Exception as error:  # a defect of ours; the replication goes on when it is mended
                _log.exception("a replication failed", extra={"fields": {"replication": self.key.id}})
                defect = LocalsrvError(
                    f"Something went wrong: {type(error).__name__}.", hint="The server's log says more."
                )
                await self._failed(defect, self.status.errors + 1)
            else:
                self.status.errors, self.status.error = 0, None
                await self._be("completed", self._counts())
                if not self.result.done():
                    self.result.set_result(answer)
                return
            if not self.is_over:
                await self._pause()

    async def _runs(self) -> dict[str, Any]:
        """One run, and another one whenever `now` ended it."""
        while True:
            self._is_begun_again = False
            self._running = asyncio.create_task(self._run(), name=f"run of replication {self.key.id}")
            try:
                return await self._running
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not self._is_begun_again or (task is not None and task.cancelling()):
                    raise
            finally:
                self._running = None

    async def _run(self) -> dict[str, Any]:
        source, target = await self._open_peers()
        try:
            plan = Plan(self.definition, source, target, self._base_id, secrets.token_hex(16))
            self.status.next_at, self.progress.pending = None, None
            await self._be("running", f"{source.label} to {target.label}", kind="started")
            return await Run(plan, self.progress, self._note).run()
        finally:
            await source.close()
            await target.close()

    async def _failed(self, error: LocalsrvError, errors: int) -> None:
        self.status.errors, self.status.error = errors, error
        is_final = isinstance(error, InvalidValue) and not isinstance(error, PeerError)
        if is_final or not (self._is_persistent or self.definition.continuous):
            await self._be("failed", with_hint(error))
            if not self.result.done():
                self.result.set_exception(error)
                self.result.exception()  # nobody may be waiting for it
            return
        await self._be("crashing", with_hint(error), kind="crashed")

    async def _pause(self) -> None:
        error = self.status.error
        wanted = error.after_s if isinstance(error, PeerError) else None
        delay = retry_delay(self.status.errors, random.random(), wanted)  # noqa: S311
        if isinstance(error, PeerUnreachable | VaultError):
            delay = min(delay, OFFLINE_LONGEST_S)
        self.status.next_at = time.time() + delay
        self._kick.clear()
        try:
            async with asyncio.timeout(delay):
                await self._kick.wait()
        except TimeoutError:
            pass
        self.status.next_at = None

    async def _be(self, state: str, text: str, *, kind: str | None = None) -> None:
        self.status.state = state
        self.status.updated_at = time.time()
        failed = state in ("crashing", "failed")
        self.status.events.appendleft(Event(time.time(), kind or state, text if failed else None))
        await self._watcher.changed(self, kind or state, text)

    def _note(self, kind: str, text: str = "") -> None:
        self.status.events.appendleft(Event(time.time(), kind, text or None))

    def _counts(self) -> str:
        counts = self.progress.counts
        text = f"{counts.docs_written:,} documents written"
        return text + (f", {counts.doc_write_failures:,} refused" if counts.doc_write_failures else "")


def words(error: LocalsrvError) -> str:
    """An error as one line of a log, as CouchDB's `db_not_found: could not open …`."""
    told = f" ({error.details})" if error.details else ""
    return f"{error.code.replace('-', '_')}: {error.message}{told}"


def with_hint(error: LocalsrvError) -> str:
    """As `words`, and what to do."""
    said = words(error)
    return f"{said}{'' if said.endswith(('.', ')')) else '.'} {error.hint}" if error.hint else said


def told(error: LocalsrvError) -> dict[str, Any]:
    """An error as it is kept of a replication. `hint` is for people: CouchDB knows none."""
    return {"error": words(error)} | ({"hint": error.hint} if error.hint else {})
