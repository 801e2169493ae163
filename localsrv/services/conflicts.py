"""Settles conflicts by their collection's policy, on every device that has the policy, by the same revisions.

Theory of operation. Each open app is followed by one task, which sleeps until something in the app changes.
What has conflicts after a change is looked at in a reader thread (`model.merge` says what to write, if
anything) and written in one operation per batch. A client's write neither waits for this nor is
overwritten: when a document changed between the look and the write, nothing is written and the later change
is looked at instead.

Nothing is remembered on disk: when an app opens, or a collection gets another policy, all of the
collection's conflicts are looked at, by an index that is nearly always empty. A conflict that cannot be
settled here, because what it takes is forgotten, is left alone until its document changes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from localsrv.base.errors import LocalsrvError, NotFound
from localsrv.model.merge import NewRevision, Settlement, by_latest, by_merge, live_leaves
from localsrv.model.merge_base import History
from localsrv.model.moments import SORTABLE
from localsrv.model.schema import Collection, ConflictPolicy, FieldType
from localsrv.store.blobs import Blob
from localsrv.store.conflicts import Ending
from localsrv.store.database import ChangesQuery, Database
from localsrv.store.editing import Edit, NewAttachment

_log = logging.getLogger(__name__)

SOURCE = "service:conflicts"
"""Where the change feed says that a settlement came from; its cause is the policy."""

PAUSE_S = 0.02
"""Least time between two looks, so that a busy collection costs no look for each of its writes."""

BATCH = 50
"""Documents looked at and written at once, so that clients' writes come in between."""


class Conflicts:
    """Follows open apps. Made inside the event loop; `close` it before the databases close."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, app: str, database: Database) -> None:
        """Settles the app's conflicts from now on, until its database closes."""
        task = asyncio.get_running_loop().create_task(Follower(app, database).run())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("conflicts are not settled any more", exc_info=error)

    async def close(self) -> None:
        """Stops following. What is being written is written."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass(slots=True)
class _Place:
    """How far a collection was looked at, under which policy."""

    policy: tuple[ConflictPolicy, str | None]
    since: int


@dataclass(slots=True)
class Follower:
    """One app, and how far each of its collections was looked at."""

    app: str
    database: Database
    _places: dict[int, _Place] = field(default_factory=dict)

    async def run(self) -> None:
        """Looks, and sleeps until there is something new, until it is cancelled."""
        while True:
            newest, collections = self.database.last_seq, self.database.collections
            await self.look()
            await asyncio.sleep(PAUSE_S)
            await self.database.wait_for_change(newest, collections)

    async def look(self) -> None:
        """Settles what came up since it last looked."""
        for name, state in self.database.collections.items():
            if state.definition.conflict is not ConflictPolicy.KEEP:
                await self._look_quietly(name, state.number, state.definition)

    async def _look_quietly(self, name: str, number: int, definition: Collection) -> None:
        """A full disk, or a collection that was dropped meanwhile, is met again at the next change."""
        try:
            await self._look(name, number, definition)
        except LocalsrvError as error:
            fields = {"app": self.app, "collection": name, "code": error.code}
            _log.warning("conflicts wait: %s", error.message, extra={"fields": fields})

    async def _look(self, name: str, number: int, definition: Collection) -> None:
        policy = (definition.conflict, definition.latest_field)
        newest, place = self.database.last_seq, self._places.get(number)
        settle = partial(_settlement, _policy(definition))
        if place is None or place.policy != policy:
            await self._look_at_all(name, settle, definition.conflict)
            self._places[number] = _Place(policy, newest)
            return
        if not await self.database.conflicts(name, limit=1):
            place.since = newest
            return
        while True:
            query = ChangesQuery(since=place.since, limit=500, all_leaves=True)
            found = await self.database.document_changes(name, query)
            ids = [change.id for change in found.changes if len(change.revs) > 1 and not change.deleted]
            await self._settle(name, ids, settle, definition.conflict)
            place.since = found.last_seq
            if not found.more:
                return

    async def _look_at_all(self, name: str, settle: Settle, policy: ConflictPolicy) -> None:
        after: str | None = None
        while found := await self.database.conflicts(name, after, BATCH):
            await self._settle(name, [document.id for document in found], settle, policy)
            after = found[-1].id

    async def _settle(self, name: str, ids: list[str], settle: Settle, policy: ConflictPolicy) -> None:
        for at in range(0, len(ids), BATCH):
            batch = ids[at : at + BATCH]
            proposals = await self.database.examine(name, batch, settle)
            endings = self._endings(name, zip(batch, proposals, strict=True), policy)
            if not endings:
                continue
            for ending, done in zip(endings, await self.database.end_conflicts(name, endings), strict=True):
                if isinstance(done, Exception):
                    _log.warning(
                        "a conflict stays: %s",
                        done,
                        extra={"fields": {"app": self.app, "collection": name, "id": ending.id}},
                    )

    def _endings(
        self, name: str, proposals: Iterable[tuple[str, Proposal | None]], policy: ConflictPolicy
    ) -> list[Ending]:
        found = []
        for document_id, proposal in proposals:
            if proposal is None:
                continue
            leaves, settlement = proposal
            with contextlib.suppress(NotFound):  # compacted since it was looked at: something newer is there
                edits = [self._edit(name, document_id, new, policy) for new in settlement.revisions]
                found.append(Ending(document_id, leaves, tuple(edits)))
        return found

    def _edit(self, name: str, document_id: str, new: NewRevision, policy: ConflictPolicy) -> Edit:
        return Edit(
            document_id,
            new.body,
            deleted=new.deleted,
            attachments=tuple(
                taken_over(self.database, name, document_id, file, origin)
                for file, origin in new.attachments.items()
                if origin != new.parent
            ),
            kept=tuple(file for file, origin in new.attachments.items() if origin == new.parent),
            path=(new.revision, new.parent),
            source=SOURCE,
            cause=policy.value,
        )


def taken_over(
    database: Database, name: str, document_id: str, attachment: str, revision: str
) -> NewAttachment:
    """The attachment of a stored revision for another one of the same document. Raises NotFound."""
    found = database.attachment(name, document_id, attachment, revision)
    if found is None:
        raise NotFound(f"{revision} has no attachment `{attachment[:200]}`.", code="no-attachment")
    info = found.info  # the bytes are here already and need not be read
    blob = Blob(info.sha256, info.md5, info.length, found.data)
    return NewAttachment(attachment, info.content_type, blob)


# ── policies ───────────────────────────────────────────────────────────────────────────────────────────────

Proposal = tuple[frozenset[str], Settlement]
"""What to write for a document, with the live leaves that this was found for."""

Settle = Callable[[str, History], Proposal | None]


def _settlement(
    policy: Callable[[History], Settlement | None], document_id: str, history: History
) -> Proposal | None:
    found = policy(history)
    return None if found is None else (frozenset(live_leaves(history.tree)), found)


def _policy(definition: Collection) -> Callable[[History], Settlement | None]:
    if definition.conflict is ConflictPolicy.MERGE or definition.latest_field is None:
        return by_merge
    declared = definition.field_named(definition.latest_field)
    kind = declared.type if declared is not None else FieldType.TIMESTAMPTZ
    return lambda history: by_latest(history, partial(moment, kind), definition.latest_field or "")


def moment(kind: FieldType, value: Any) -> float | datetime | None:
    """A field's value as it is compared with others of its type; None when it is none."""
    if kind in (FieldType.INTEGER, FieldType.NUMBER):
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(SORTABLE[kind](value))
    except (ValueError, OverflowError):
        return None
