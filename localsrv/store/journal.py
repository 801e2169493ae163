"""Sequence numbers: the order of changes in a file, when they happened and where they came from.

Used on the writer thread only. A number given to an operation that is rolled back is never used: gaps are
harmless, repeats would not be.
"""

from __future__ import annotations

import time
from functools import partial

from localsrv.store.engine import Transaction


class Journal:
    """Gives the file's sequence numbers."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._noted_at = 0

    def next(
        self, tx: Transaction, source: str | None = None, cause: str | None = None, *, count: int = 1
    ) -> int:
        """The number of a change made now, or the first of `count` numbers.

        `source` None means an ordinary local write.
        """
        seq = self.last + 1
        self.last = tx.last_seq = self.last + count
        now = time.time_ns() // 1_000_000
        if (now - self._noted_at >= 1000 or now < self._noted_at) and not tx.time_is_noted:
            tx.time_is_noted = True
            tx.execute("INSERT OR REPLACE INTO localsrv_times VALUES (?, ?)", (seq, now))
            tx.after_commit(partial(setattr, self, "_noted_at", now))
        if source is not None or cause is not None:
            tx.execute(
                "INSERT INTO localsrv_sources (seq, last, source, cause) VALUES (?, ?, ?, ?)",
                (seq, self.last, source or "local", cause),
            )
        return seq
