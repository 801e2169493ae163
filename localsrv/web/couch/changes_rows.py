"""The rows of one answer of `_changes`: how many, in which form, and what stands behind the last."""

from __future__ import annotations

from localsrv.web.couch.changes_query import ChangesArguments, Feed
from localsrv.web.couch.changes_view import Batch, ChangesView, Row, event_of, joined
from localsrv.web.couch.contents import Segment


class Rows:
    """Counts the rows of one answer, and writes them."""

    def __init__(self, wanted: ChangesArguments) -> None:
        self._feed = wanted.feed
        self._interval = wanted.seq_interval
        self._count = 0
        self.left = wanted.limit
        self.last: int | None = None
        self.was_cut = False
        """Whether the last batch had more rows than were taken."""

    @property
    def is_full(self) -> bool:
        return self.left == 0

    @property
    def is_empty(self) -> bool:
        return not self._count

    def take(self, batch: Batch) -> list[Segment]:
        """The rows of a batch, up to the limit, as they are sent."""
        rows = batch.rows
        if self.left is None and self._interval is None and self._feed in (Feed.CONTINUOUS, Feed.EVENTSOURCE):
            self._count += len(rows)
            return batch.lines if self._feed is Feed.CONTINUOUS else batch.events
        self.was_cut = self.left is not None and len(rows) > self.left
        if self.left is not None:
            rows = rows[: self.left]
            self.left -= len(rows)
        out: list[Segment] = []
        for row in rows:
            out += self._written(row)
            self._count += 1
        if rows:
            self.last = rows[-1].number
        return joined(out)

    def _written(self, row: Row) -> list[Segment]:
        with_seq = self._interval is None or self._count % self._interval == 0
        if self._feed is Feed.EVENTSOURCE:
            return event_of(row, with_seq=with_seq)
        if self._feed is Feed.CONTINUOUS:
            return [*row.segments(with_seq=with_seq), b"\n"]
        return row.segments(with_seq=with_seq, before=",\n" if self._count else "")


async def tail_of(view: ChangesView, rows: Rows, batch: Batch, *, descending: bool = False) -> bytes:
    last, pending = batch.last_seq, 0
    if rows.is_full and (batch.more or rows.was_cut):
        last = rows.last or last
        pending = await view.pending(last, descending=descending)
    return f'\n],\n"last_seq":{view.token(last)},"pending":{pending}}}\n'.encode()
