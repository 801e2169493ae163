"""One run of a replication: from the newest common checkpoint to the end of the source's feed, or beyond it.

    source.page → what does the target lack? → source.fetch → target.write → checkpoint on both sides

Pages are read ahead and worked on several at a time; they are counted as done in their order, so that a
checkpoint never passes a page that is still under way. How many are in flight, and how large a page is,
bounds the memory. Everything may be repeated: a revision that is written twice is there once.

Two things keep a first sync free of requests per document. A page brings documents with it, and those that
are whole (the only leaf, its history known) are written as they are. And a target that is empty when the run
begins lacks everything: it is not asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from localsrv.base.errors import BadRequest, LocalsrvError, NotFound
from localsrv.model.checkpoints import Sequence_, Session, Start, common_start
from localsrv.model.exchange import Page, Refusal, Revision, Row, Wanted, Written
from localsrv.model.replication import Replication
from localsrv.model.revisions import parse_revision
from localsrv.outbound.errors import PeerError, PeerMissing, PeerRefused
from localsrv.services.replication.peer import Peer
from localsrv.services.replication.progress import Progress

IN_FLIGHT = 3
"""Pages that are worked on at the same time."""

_LAST_CHECKPOINT_S = 5.0
_UNFIT = ("bad_document", "It holds a number that would lose digits here, or nests too deep.")
_OTHER_SINCE = frozenset({"peer-400", "peer-409"})
READ_ONLY = "source_read_only"


class DatabaseMissing(NotFound):
    """A side does not exist. CouchDB's word is `db_not_found`."""

    code = "db-not-found"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `name` is that of the checkpoints (`Replication.base_id`), `session` a fresh random id."""

    options: Replication
    source: Peer
    target: Peer
    name: str
    session: str


class Run:
    """Used once. `progress` may be looked at any time."""

    def __init__(self, plan: Plan, progress: Progress, note: Callable[[str, str], None]) -> None:
        """`note` takes a kind and a text for the replication's log."""
        self._plan = plan
        self._options = plan.options
        self._source, self._target = plan.source, plan.target
        self.progress = progress
        self._note = note
        self._session = Session(plan.session, formatdate(usegmt=True), Start())
        self._is_blind = False
        self._source_read_only = False
        self._under_way: deque[tuple[Page, asyncio.Task[None]]] = deque()
        self._unsaved = False
        self._moved_before = 0

    async def run(self) -> dict[str, Any]:
        """Runs to the end, which a continuous replication has none of; the answer of CouchDB's `_replicate`.

        Raises:
            LocalsrvError: what is done is kept and need not be done again.
        """
        try:
            start = await self._begin()
            await self._transfer(start.since)
        except BaseException:
            await self._save_quietly()
            raise
        nothing = start.is_latest and self.progress.through == start.since
        if self._unsaved and not nothing:
            await self._save()
        answer = self._session.document(self.progress.counts, self.progress.through, formatdate(usegmt=True))
        if nothing:
            return {"no_changes": True, **answer, "history": list(start.history)}
        return answer

    # ── where to begin ─────────────────────────────────────────────────────────────────────────────────────

    async def _begin(self) -> Start:
        source = await self._information(self._source)
        try:
            target = await self._information(self._target)
        except DatabaseMissing:
            if not self._options.create_target:
                raise
            await self._target.create()
            self._note("target-created", self._target.label)
            target = await self._information(self._target)
        self._is_blind = target.is_empty
        start = await self._start()
        self._session = Session(self._session.id, self._session.start_time, start)
        self.progress.source_seq = source.update_seq
        self.progress.through = self.progress.checkpointed = start.since
        return start

    async def _information(self, peer: Peer) -> Any:
        try:
            return await peer.information()
        except (NotFound, PeerMissing) as error:
            raise DatabaseMissing(
                f"could not open {peer.label}", details=error.details, hint=self._how_to_open(peer, error)
            ) from error

    def _how_to_open(self, peer: Peer, error: LocalsrvError) -> str:
        if isinstance(error, PeerMissing) and error.hint:
            return error.hint
        if peer.is_local:
            return f"There is no database {peer.label} in this app. Make it, or name another."
        if peer is self._target:
            return "Make the database over there, or remove this replication and add it again with --create."
        return "Is the name at the end of the address right? Nothing over there can be read until it exists."

    async def _start(self) -> Start:
        given = self._options.since
        if not self._options.use_checkpoints:
            return Start(given or 0)
        theirs = await self._target.checkpoint(self._plan.name)
        mine: dict[str, Any] | None
        if theirs and theirs.get(READ_ONLY):
            self._source_read_only, mine = True, theirs
        else:
            mine = await self._source.checkpoint(self._plan.name)
        start = common_start(mine, theirs)
        return Start(given, start.history) if given is not None and not start.since else start

    # ── moving revisions ───────────────────────────────────────────────────────────────────────────────────

    async def _transfer(self, since: Sequence_) -> None:
        """Moves everything. When a page fails, those before it are finished and counted all the same."""
        queue: asyncio.Queue[asyncio.Task[None] | None] = asyncio.Queue(IN_FLIGHT)
        reader = asyncio.create_task(self._read_ahead(since, queue))
        try:
            await self._follow(queue)
            await reader
        finally:
            tasks = [reader, *(task for _, task in self._under_way)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._count()

    async def _read_ahead(self, since: Sequence_, queue: asyncio.Queue[Any]) -> None:
        """Ends the queue when the feed ends or fails; its error is for whoever awaits this."""
        try:
            await self._read(since, queue)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():  # the file was closed: nobody asked us to stop
                await queue.put(None)
            raise
        except Exception:  # of whatever kind: whoever waits for the queue must not wait for ever
            await queue.put(None)
            raise
        await queue.put(None)

    async def _read(self, since: Sequence_, queue: asyncio.Queue[Any]) -> None:
        """Reads pages ahead. A run that is not continuous ends where the feed ended when it began, or soon
        after: what is changed meanwhile may still come."""
        at, is_live, left = since, False, None
        while True:
            page = await self._page(at, wait=is_live)
            if left is None and page.pending is not None:
                left = page.pending + page.count
            task = asyncio.create_task(self._process(page, self._is_blind))
            self._under_way.append((page, task))
            await queue.put(task)
            at, is_live = page.last_seq, page.is_end
            if left is not None:
                left -= page.count
            if page.is_end:
                self._is_blind = False
            if not self._options.continuous and (page.is_end or (left is not None and left <= 0)):
                return

    async def _page(self, since: Sequence_, *, wait: bool) -> Page:
        try:
            return await self._source.page(since, wait=wait)
        except (BadRequest, PeerError) as error:
            is_first = since == self._session.start.since
            if not is_first or since in (0, "0"):
                raise
            if isinstance(error, PeerError) and error.code not in _OTHER_SINCE:
                raise
            # The checkpoint is of another time of this database, or of another one of its name.
            self._note("started-over", error.message)
            self._session = Session(self._session.id, self._session.start_time, Start())
            return await self._source.page(0, wait=wait)

    async def _follow(self, queue: asyncio.Queue[Any]) -> None:
        """Counts the pages that are done, and records how far they came from time to time."""
        saved_at = time.monotonic()
        task: asyncio.Task[None] | None = None
        while True:
            due = saved_at + self._options.checkpoint_s
            try:
                async with asyncio.timeout(due - time.monotonic() if self._unsaved else None):
                    if task is None and (task := await queue.get()) is None:
                        return
                    await asyncio.shield(task)
            except TimeoutError:
                await self._save()
                saved_at = time.monotonic()
                continue
            task = None
            self._count()
            if time.monotonic() >= due:
                await self._save()
                saved_at = time.monotonic()

    def _count(self) -> None:
        """Passes the pages that are done, in their order, up to the first that is not."""
        while self._under_way:
            page, task = self._under_way[0]
            if not task.done() or task.cancelled() or task.exception() is not None:
                return
            self._under_way.popleft()
            self.progress.through = page.last_seq
            self.progress.pending = page.pending
            self._unsaved = True
            self.progress.told()

    async def _process(self, page: Page, is_blind: bool) -> None:
        """Brings one page's revisions to the target, which if `is_blind` surely lacks them."""
        rows = self._without_echoes(page.read())
        if not rows:
            return
        checked = sum([len(row.revs) for row in rows])
        if is_blind:
            there: list[tuple[str, str]] = []
            whole = [row.revision for row in rows if row.revision is not None]
            wanted = [Wanted(row.id, row.revs) for row in rows if row.revision is None]
            found = checked
            self._source.expect(len(rows), len(rows))
        else:
            missing = await self._target.missing({row.id: row.revs for row in rows})
            there = [(row.id, row.revs[0]) for row in rows if row.id not in missing]
            whole, wanted = _brought(rows, missing)
            found = sum([len(want.revs) for want in missing.values()])
            self._source.expect(len(missing), len(rows))
        self.progress.add(revisions_checked=checked, missing_revisions_found=found)
        revisions = whole + await self._fetch(wanted) if wanted else whole
        refused = await self._write(revisions)
        both = there + [(revision.id, revision.path[0]) for revision in revisions]
        if refused:
            failed = {(refusal.id, refusal.rev) for refusal in refused}
            both = [one for one in both if one not in failed]
        await self._source.mark(self._target.peer_id, both)
        await self._target.mark(self._source.peer_id, both)

    def _without_echoes(self, rows: list[Row]) -> list[Row]:
        """Leaves out the changes that the target itself brought, while neither side was set back, and those
        of a single leaf only: another one may be news."""
        if not self._session.start.is_latest:
            return rows
        target = f"peer:{self._target.peer_id}"
        return [row for row in rows if row.source != target or len(row.revs) > 1]

    async def _fetch(self, wanted: list[Wanted]) -> list[Revision]:
        found = await self._source.fetch(wanted)
        known = {want.id: set(want.ancestors) for want in wanted if want.ancestors}
        for revision in found:
            if ancestors := known.get(revision.id):
                there = [rev for rev in revision.path if rev in ancestors]
                revision.since = parse_revision(there[0])[0] if there else 0
        attempts = sum(len(want.revs) for want in wanted)
        self.progress.add(bulk_get_attempts=attempts, bulk_get_docs=len(found))
        return found

    async def _write(self, revisions: list[Revision]) -> list[Refusal]:
        if not revisions:
            return []
        fit = [revision for revision in revisions if revision.is_json]
        done: Written = await self._target.write(fit, self._source)
        if len(fit) < len(revisions):
            done.refused += [Refusal(r.id, r.rev, *_UNFIT) for r in revisions if not r.is_json]
        if done.gone:  # their attachments went while we read: a newer leaf took their place
            again = await self._source.fetch([Wanted(r.id, (r.rev,)) for r in done.gone])
            second = await self._target.write(again, self._source)
            done.refused += second.refused
            done.refused += [
                Refusal(r.id, r.rev, "not_found", "an attachment is missing at the source")
                for r in second.gone
            ]
        for refusal in done.refused:
            self.progress.refusals.append(refusal)
        moved = sum(peer.moved for peer in self._counted)
        self.progress.add(
            docs_read=len(revisions),
            docs_written=len(revisions) - len(done.refused),
            doc_write_failures=len(done.refused),
            bytes=moved - self._moved_before,
        )
        self._moved_before = moved
        return done.refused

    @property
    def _counted(self) -> list[Peer]:
        """Whose bytes count: those that crossed the network, or were read when none does."""
        return [p for p in (self._source, self._target) if not p.is_local] or [self._source]

    # ── checkpoints ────────────────────────────────────────────────────────────────────────────────────────

    async def _save(self) -> None:
        """Records how far the run came on both sides."""
        if not self._options.use_checkpoints:
            self._unsaved = False
            return
        through = self.progress.through
        document = self._session.document(self.progress.counts, through, formatdate(usegmt=True))
        if not self._source_read_only:
            try:
                await self._source.record(self._plan.name, document)
            except PeerRefused as error:
                if self._source.is_local:
                    raise
                self._source_read_only = True
                self._note("source-read-only", error.message)
        if self._source_read_only:
            document[READ_ONLY] = True
        await self._target.record(self._plan.name, document)
        self.progress.checkpointed = through
        self._unsaved = False

    async def _save_quietly(self) -> None:
        """Before the run ends early: the next one need not repeat what is done. The error that ended it is
        the one to tell."""
        if not self._unsaved:
            return
        with contextlib.suppress(LocalsrvError, TimeoutError):
            async with asyncio.timeout(_LAST_CHECKPOINT_S):
                await self._save()


def _brought(rows: Iterable[Row], missing: Mapping[str, Wanted]) -> tuple[list[Revision], list[Wanted]]:
    """Of what the target lacks, what the feed brought along, and what is still to be fetched."""
    whole: list[Revision] = []
    wanted: list[Wanted] = []
    for row in rows:
        if (want := missing.get(row.id)) is None:
            continue
        if row.revision is not None and row.revs[0] in want.revs:
            whole.append(row.revision)
        else:
            wanted.append(want)
    return whole, wanted
