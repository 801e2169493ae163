"""Writes that somebody looks at before they are made: what would be written is shown first.

What a statement writes is known only inside the operation that writes it: a filter chooses rows, a relation
takes others along. So the operation is *rehearsed*: it runs in a savepoint that is rolled back, while
`Documents` notes every revision in it. The reviewer, who may take long and ask others, refuses by raising.
Then the operation runs in earnest, and is kept only if it writes the very same revisions: their ids are
hashes of what they say and of what they follow, so nothing came in between that the reviewer did not see.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from localsrv.base.errors import Conflict
from localsrv.store.engine import RollbackAfter, Transaction, Writer

if TYPE_CHECKING:
    from localsrv.store.history import Attachment

T = TypeVar("T")

TRIES = 8
"""Rehearsals of one write, while others change the same documents."""


@dataclass(frozen=True, slots=True)
class Written:
    """A revision as an operation writes it. `parent` is what it follows, None for a document's first."""

    collection: str
    id: str
    revision: str
    parent: str | None
    document: Mapping[str, Any]
    deleted: bool = False
    attachments: Sequence[Attachment] = ()

    @property
    def name(self) -> tuple[str, str, str]:
        return self.collection, self.id, self.revision


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """All that an operation would write, in its order; `contents` by SHA-256: length in bytes and MD5."""

    written: Sequence[Written]
    contents: Mapping[bytes, tuple[int, bytes]]


Review = Callable[[Rehearsal], Awaitable[None]]
"""Looks at what would be written, and raises to refuse it."""


class _OthersWritten(Exception):
    """In earnest other revisions were written than in the rehearsal."""


async def write_reviewed(writer: Writer, operation: Callable[[Transaction], T], review: Review) -> T:
    """Runs an operation when `review` lets it pass.

    Raises:
        What the operation or the review raises; nothing is written then. Conflict: others keep changing the
        same documents.
    """
    for _ in range(TRIES):
        rehearsal = await writer.submit(partial(_rehearse, operation=operation))
        await review(rehearsal)
        names = [one.name for one in rehearsal.written]
        try:
            return await writer.submit(partial(_run, operation=operation, names=names))
        except _OthersWritten:
            continue
    raise Conflict(
        "What this changes is being changed by others all the time.",
        code="revision-conflict",
        hint="Try again in a moment.",
    )


def _rehearse(tx: Transaction, operation: Callable[[Transaction], Any]) -> Rehearsal:
    mark = tx.mark()
    tx.execute("SAVEPOINT rehearsal")
    written: list[Written] = []
    tx.written = written
    with contextlib.suppress(RollbackAfter):  # any other error fails the operation, and the engine rolls back
        operation(tx)
    found = Rehearsal(written, _contents(tx, written))
    tx.written = None
    tx.execute("ROLLBACK TO rehearsal")
    tx.execute("RELEASE rehearsal")
    tx.reset(mark)
    return found


def _contents(tx: Transaction, written: Sequence[Written]) -> dict[bytes, tuple[int, bytes]]:
    named = {attachment.sha256 for one in written for attachment in one.attachments}
    sql = "SELECT length, md5 FROM localsrv_blobs WHERE sha256 = ?"
    return {sha256: tx.execute(sql, (sha256,)).fetchone() for sha256 in named}


def _run(tx: Transaction, operation: Callable[[Transaction], T], names: Sequence[tuple[str, str, str]]) -> T:
    written: list[Written] = []
    tx.written = written
    result = operation(tx)
    if [one.name for one in written] != names:
        raise _OthersWritten
    return result
