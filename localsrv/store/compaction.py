"""Forgetting: old bodies after their retention, trees beyond the revision limit, contents nobody refers to.

Kept whatever their age: bodies of all leaves, all bodies of a document that has a live conflict (one of them
is the ancestor that a merge needs), and revisions that a peer is known to have.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from localsrv.model import revisions as rev
from localsrv.store import history
from localsrv.store.catalog import CollectionState
from localsrv.store.driver import Connection
from localsrv.store.engine import Transaction
from localsrv.store.history import ONE_REVISION

BATCH = 2000
"""Bodies forgotten in one operation, so that writes never wait long behind compaction."""

_DAY_S = 86_400

_FORGETTABLE = """
SELECT r.collection, r.id, r.generation, r.digest FROM localsrv_revisions AS r
WHERE r.state = 0 AND r.body IS NOT NULL AND r.superseded < ?
  AND NOT EXISTS (SELECT 1 FROM localsrv_revisions AS c
                  WHERE c.collection = r.collection AND c.id = r.id AND c.state = 2 AND NOT c.deleted)
  AND NOT EXISTS (SELECT 1 FROM localsrv_synced AS s
                  WHERE s.collection = r.collection AND s.id = r.id
                    AND s.generation = r.generation AND s.digest = r.digest)
ORDER BY r.superseded LIMIT ?
"""


def oldest_kept(connection: Connection, retention_s: float) -> int:
    """The first sequence number whose changes are younger than the retention time."""
    limit = (time.time() - retention_s) * 1000
    found = connection.execute(
        "SELECT seq FROM localsrv_times WHERE at > ? ORDER BY seq LIMIT 1", (limit,)
    ).fetchone()
    if found:
        return int(found[0])
    newest = connection.execute("SELECT max(seq) FROM localsrv_times").fetchone()[0]
    return (newest or 0) + 1_000_000_000 if retention_s <= 0 or newest else 0


def forget_bodies(tx: Transaction, before: int) -> int:
    """Forgets up to BATCH bodies superseded before a sequence number; returns how many."""
    found: list[tuple[int, str, int, str]] = tx.execute(_FORGETTABLE, (before, BATCH)).fetchall()
    tx.executemany(f"UPDATE localsrv_revisions SET body = NULL{ONE_REVISION}", found)
    tx.executemany(
        "DELETE FROM localsrv_attachments WHERE collection = ? AND id = ? AND rev = ?",
        [
            (collection, document_id, f"{generation}-{digest}")
            for collection, document_id, generation, digest in found
        ],
    )
    return len(found)


def overgrown(connection: Connection, states: Sequence[CollectionState]) -> list[tuple[int, str]]:
    """`(collection number, id)` of documents with more revisions than their collection's limit."""
    limits = {state.number: state.revs_limit for state in states}
    if not limits:
        return []
    rows = connection.execute(
        "SELECT collection, id, count(*) FROM localsrv_revisions GROUP BY collection, id HAVING count(*) > ?",
        (min(limits.values()),),
    )
    return [(number, i) for number, i, count in rows if number in limits and count > limits[number]]


def stem(tx: Transaction, state: CollectionState, ids: Sequence[str]) -> int:
    """Cuts the trees of some documents to the collection's limit; returns how many revisions went."""
    gone = 0
    for document_id in ids:
        tree = history.tree(tx.connection, state, document_id)
        short = rev.stemmed(tree, state.revs_limit)
        place = (state.number, document_id)
        for revision in tree.nodes.keys() - short.nodes.keys():
            tx.execute(
                f"DELETE FROM localsrv_revisions{ONE_REVISION}",
                (*place, *rev.parse_revision(revision)),
            )
            tx.execute(
                "DELETE FROM localsrv_attachments WHERE collection = ? AND id = ? AND rev = ?",
                (*place, revision),
            )
            gone += 1
        for revision, node in short.nodes.items():
            if node.parent is None and tree.nodes[revision].parent is not None:
                tx.execute(
                    f"UPDATE localsrv_revisions SET parent = NULL{ONE_REVISION}",
                    (*place, *rev.parse_revision(revision)),
                )
    return gone


def is_due(connection: Connection) -> bool:
    """Whether the last compaction is more than a day ago."""
    last = connection.execute("SELECT value FROM localsrv_meta WHERE key = 'compacted_at'").fetchone()[0]
    return not 0 <= time.time() - float(last) < _DAY_S


def note_first_use(connection: Connection) -> None:
    """A new file has nothing to forget yet."""
    connection.execute("INSERT OR IGNORE INTO localsrv_meta VALUES ('compacted_at', ?)", (str(time.time()),))


def note_done(tx: Transaction) -> None:
    """Remembers that a compaction ended now."""
    tx.execute("INSERT OR REPLACE INTO localsrv_meta VALUES ('compacted_at', ?)", (str(time.time()),))


def obsolete_sources(
    connection: Connection, states: Sequence[CollectionState], until: int
) -> list[tuple[int]]:
    """Numbers up to `until` that have a source and are no document's latest change any more.

    `states` are all collections that had changes up to then.
    """
    numbers = ", ".join(str(state.number) for state in states) or "NULL"
    span = "BETWEEN s.seq AND s.last"
    latest = "".join(f" AND NOT EXISTS (SELECT 1 FROM {state.table} WHERE _seq {span})" for state in states)
    return connection.execute(
        f"SELECT s.seq FROM localsrv_sources AS s WHERE s.last <= ?{latest} AND NOT EXISTS (SELECT 1"
        f" FROM localsrv_tombstones AS t WHERE t.collection IN ({numbers}) AND t.seq {span})",
        (until,),
    ).fetchall()


def forget_sources(tx: Transaction, numbers: Sequence[tuple[int]]) -> None:
    """Forgets where changes came from."""
    tx.executemany("DELETE FROM localsrv_sources WHERE seq = ?", numbers)


def forget_times(tx: Transaction, before: int) -> None:
    """Thins what is remembered of when changes happened."""
    tx.execute(
        "DELETE FROM localsrv_times WHERE seq < ? AND seq < (SELECT max(seq) FROM localsrv_times)", (before,)
    )
