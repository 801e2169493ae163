"""How far a run is: what `_active_tasks`, `_scheduler` and the CLI show. Kept by the run, read by anybody."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from localsrv.model.checkpoints import Counts, Sequence_
from localsrv.model.exchange import Refusal

KEPT_REFUSALS = 100
_RATE_S = 10.0


@dataclass(slots=True)
class Progress:
    """Times are seconds since 1970. `pending` is what is left, None when the source does not tell."""

    counts: Counts = field(default_factory=Counts)
    source_seq: Sequence_ = 0
    through: Sequence_ = 0
    checkpointed: Sequence_ = 0
    pending: int | None = None
    refusals: deque[Refusal] = field(default_factory=lambda: deque(maxlen=KEPT_REFUSALS))
    started_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    told: Callable[[], None] = lambda: None
    """Called after each change."""
    _marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))

    def add(self, **more: int) -> None:
        """Adds to the counts."""
        self.counts = self.counts.plus(**more)
        self.updated_at = time.time()
        self._marks.append((time.monotonic(), self.counts.docs_written))
        self.told()

    def rate(self) -> float:
        """Documents written a second, over the last ten seconds; 0 when nothing moves."""
        now = time.monotonic()
        recent = [mark for mark in self._marks if now - mark[0] < _RATE_S]
        if len(recent) < 2:
            return 0.0
        (first_at, first), (_, last) = recent[0], recent[-1]
        return round((last - first) / max(now - first_at, 0.05), 1)

    def info(self) -> dict[str, Any]:
        """As CouchDB's `_scheduler` tells it in `info`, with our `bytes` and `rate` beside."""
        counts = self.counts
        return {
            "revisions_checked": counts.revisions_checked,
            "missing_revisions_found": counts.missing_revisions_found,
            "docs_read": counts.docs_read,
            "docs_written": counts.docs_written,
            "doc_write_failures": counts.doc_write_failures,
            "bulk_get_attempts": counts.bulk_get_attempts,
            "bulk_get_docs": counts.bulk_get_docs,
            "changes_pending": self.pending,
            "checkpointed_source_seq": self.checkpointed,
            "source_seq": self.source_seq,
            "through_seq": self.through,
            "bytes": counts.bytes,
            "rate": self.rate(),
        }
