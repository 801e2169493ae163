"""Changes as one kind of listener sees them: read from the store, filtered, written as JSON.

A row is kept in two parts, its number and the rest, since `seq_interval` leaves numbers out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from localsrv.store.database import Database
from localsrv.store.document_changes import ChangesQuery, DocumentChange
from localsrv.web.couch.answers import text_of
from localsrv.web.couch.changes_filter import ChangesFilter
from localsrv.web.couch.contents import Segment
from localsrv.web.couch.included import Included
from localsrv.web.couch.sequences import ending_of

PAGE = 1000
"""Changes that are read at once."""
PAGE_OF_BODIES = 500
"""With bodies, which the store ends early when they are large."""


@dataclass(slots=True)  # not frozen, since that triples the time of making one
class Row:
    """One change. `seq` is its number's JSON, `rest` what stands behind that."""

    number: int
    seq: str
    rest: list[Segment]

    def segments(self, *, with_seq: bool = True, before: str = "") -> list[Segment]:
        """The row as JSON, with what stands before it."""
        return [f'{before}{{"seq":{self.seq if with_seq else "null"}'.encode(), *self.rest]


@dataclass(frozen=True)
class Batch:
    """Rows after `since`. `last_seq` is where to go on from; `more` that the batch was cut."""

    since: int
    last_seq: int
    rows: list[Row]
    more: bool = False

    @cached_property
    def size(self) -> int:
        """The bytes that the rows take in memory, at least."""
        return sum(len(part) for row in self.rows for part in row.rest if isinstance(part, bytes))

    @cached_property
    def lines(self) -> list[Segment]:
        """The rows as a continuous feed sends them, made once for all listeners."""
        return joined([segment for row in self.rows for segment in (*row.segments(), b"\n")])

    @cached_property
    def events(self) -> list[Segment]:
        """The rows as server-sent events."""
        return joined([segment for row in self.rows for segment in event_of(row, with_seq=True)])


def event_of(row: Row, *, with_seq: bool) -> list[Segment]:
    """A row as a server-sent event."""
    return [b"data: ", *row.segments(with_seq=with_seq), f"\nid: {row.seq}\n\n".encode()]


def joined(segments: list[Segment]) -> list[Segment]:
    """One text where there are no attachments between."""
    texts = [segment for segment in segments if isinstance(segment, bytes)]
    return [b"".join(texts)] if len(texts) == len(segments) else segments


@dataclass(frozen=True, slots=True)
class ChangesView:
    """What is seen of a database. `included` None leaves the documents out.

    `number` is the collection's own: another one of the same name is another database. `begin` is from where
    its tokens count.
    """

    db: Database
    name: str
    number: int
    begin: int
    all_leaves: bool
    included: Included | None
    filter: ChangesFilter | None

    @property
    def key(self) -> object:
        """Equal for views of one database that show the same."""
        return (self.all_leaves, self.included, None if self.filter is None else self.filter.key)

    def token(self, seq: int) -> str:
        """A sequence number as JSON text."""
        return f'"{max(0, seq - self.begin)}-{self.db.epoch}{ending_of(self.number)}"'

    async def read(
        self, since: int, *, limit: int | None = None, until: int | None = None, descending: bool = False
    ) -> Batch:
        """One batch of at most `limit` changes before the filter. Raises NotFound and the filter's errors."""
        has_bodies = self.included is not None or (self.filter is not None and self.filter.needs_bodies)
        size = PAGE_OF_BODIES if has_bodies else PAGE
        found = await self.db.document_changes(
            self.name,
            ChangesQuery(
                since,
                until,
                size if limit is None else min(limit, size),
                descending,
                self.all_leaves,
                has_bodies,
                ids=None if self.filter is None else self.filter.ids,
            ),
        )
        changes: Sequence[DocumentChange] = found.changes
        if self.filter is not None:
            changes = await self.filter.passing(self.db, self.name, changes)
        return Batch(since, found.last_seq, await self._rows(changes), found.more)

    async def pending(self, after: int, *, descending: bool = False) -> int:
        """How many changes come after a number, the filter left aside."""
        query = ChangesQuery(after, limit=1, with_pending=True)
        if descending:
            query = ChangesQuery(0, after - 1, 1, True, with_pending=True)
        found = await self.db.document_changes(self.name, query)
        return len(found.changes) + (found.pending or 0)

    async def _rows(self, changes: Sequence[DocumentChange]) -> list[Row]:
        tail, begin = f'-{self.db.epoch}{ending_of(self.number)}"', self.begin
        if self.included is None:
            return [Row(c.seq, f'"{c.seq - begin}{tail}', [_rest(c).encode() + b"}"]) for c in changes]
        shown = await self.included.segments(self.db, self.name, [c.document for c in changes])
        return [
            Row(c.seq, f'"{c.seq - begin}{tail}', _with_document(_rest(c).encode(), document))
            for c, document in zip(changes, shown, strict=True)
        ]


def _with_document(rest: bytes, document: list[Segment]) -> list[Segment]:
    if len(document) == 1 and isinstance(document[0], bytes):
        return [b'%b,"doc":%b}' % (rest, document[0])]
    return [rest + b',"doc":', *document, b"}"]


def _rest(change: DocumentChange) -> str:
    revs = _revs(change.revs)
    text = f',"id":{text_of(change.id)},"changes":[{revs}]'
    return text + ',"deleted":true' if change.deleted else text


def _revs(revs: Sequence[str]) -> str:
    # A revision holds nothing that JSON would have to escape (`model.revisions.parse_revision`).
    return f'{{"rev":"{revs[0]}"}}' if len(revs) == 1 else ",".join([f'{{"rev":"{rev}"}}' for rev in revs])
