"""Storing a revision that is known already, or one new leaf on a branch that does not hold the winner.

Documents in conflict get many of these, tombstones above all. A few lookups tell them from revisions that
join branches, bury or revive, for which whole trees are merged (`documents.Documents.graft`): with a thousand
leaves that would take a thousand times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import orjson

from localsrv.model import revisions as rev
from localsrv.store.catalog import CollectionState
from localsrv.store.driver import Connection
from localsrv.store.engine import Transaction
from localsrv.store.history import ADD_NODE, CONFLICT, ONE_REVISION, SUPERSEDED, WINNER, Current


class Fit(Enum):
    """What storing a path would change."""

    NOTHING = "nothing"
    LOSER = "a leaf that loses"
    WINNER = "a leaf that wins over another live one"
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf to store, with the number of the change that brings it."""

    text: str
    deleted: bool
    seq: int


def fit(
    connection: Connection, state: CollectionState, document_id: str, path: Sequence[str], *, deleted: bool
) -> Fit:
    """What storing a path, newest first, would change, as far as a few lookups can tell; else MORE."""
    where = (state.number, document_id)
    newest = _node(connection, where, path[0])
    if newest is not None:
        known = bool(newest[1]) == deleted and _is_known(connection, where, path)
        return Fit.NOTHING if known else Fit.MORE
    if len(path) < 2:
        return Fit.MORE
    parent = _node(connection, where, path[1])
    if parent is None or parent[2] == WINNER or not _is_known(connection, where, path[1:]):
        return Fit.MORE
    if _longest(connection, where, path[0]) > state.revs_limit:
        return Fit.MORE  # something may have to be cut
    winner, is_dead = _winner(connection, state, document_id)
    if rev.rank(path[0], deleted=deleted) < rev.rank(winner, deleted=is_dead):
        return Fit.LOSER
    return Fit.MORE if is_dead else Fit.WINNER


def add_loser(
    tx: Transaction, state: CollectionState, document_id: str, path: Sequence[str], leaf: Leaf
) -> None:
    """Stores a path that fits as LOSER."""
    where = (state.number, document_id)
    _add_node(tx, where, path, leaf, CONFLICT, leaf.text)
    if not tx.execute(f"UPDATE {state.table} SET _seq = ? WHERE _id = ?", (leaf.seq, document_id)).rowcount:
        tx.execute(
            "UPDATE localsrv_tombstones SET seq = ? WHERE collection = ? AND id = ?", (leaf.seq, *where)
        )


def add_winner(
    tx: Transaction, state: CollectionState, current: Current, path: Sequence[str], leaf: Leaf
) -> None:
    """Stores a path that fits as WINNER in place of the `current` winner, which stays as a leaf."""
    where = (state.number, current.id)
    tx.execute(
        f"UPDATE localsrv_revisions SET state = ?, body = ?{ONE_REVISION}",
        (CONFLICT, current.body, *where, *rev.parse_revision(current.rev)),
    )
    _add_node(tx, where, path, leaf, WINNER, None)
    values = state.safe_column_values(orjson.loads(leaf.text))
    tx.execute(state.update_sql, (path[0], leaf.seq, leaf.text, *values, current.row))


def _add_node(
    tx: Transaction, where: tuple[int, str], path: Sequence[str], leaf: Leaf, as_state: int, text: str | None
) -> None:
    """Adds the leaf, and ends the leaf that it extends if it does."""
    newest, parent = path[0], path[1]
    tx.execute(
        ADD_NODE, (*where, *rev.parse_revision(newest), parent, int(leaf.deleted), as_state, text, None)
    )
    tx.execute(
        f"UPDATE localsrv_revisions SET state = ?, superseded = ?{ONE_REVISION} AND state = ?",
        (SUPERSEDED, leaf.seq, *where, *rev.parse_revision(parent), CONFLICT),
    )


def _node(
    connection: Connection, where: tuple[int, str], revision: str
) -> tuple[str | None, int, int] | None:
    found: tuple[str | None, int, int] | None = connection.execute(
        f"SELECT parent, deleted, state FROM localsrv_revisions{ONE_REVISION}",
        (*where, *rev.parse_revision(revision)),
    ).fetchone()
    return found


def _is_known(connection: Connection, where: tuple[int, str], path: Sequence[str]) -> bool:
    """Whether a path's revisions are all here, each below the next."""
    for revision, parent in zip(path, [*path[1:], None], strict=True):
        found = _node(connection, where, revision)
        if found is None or (parent is not None and found[0] != parent):
            return False
    return True


def _longest(connection: Connection, where: tuple[int, str], revision: str) -> int:
    """The highest generation that the tree has with `revision`: no branch is longer."""
    found = connection.execute(
        "SELECT max(generation) FROM localsrv_revisions WHERE collection = ? AND id = ?", where
    ).fetchone()[0]
    return max(int(found), rev.parse_revision(revision)[0])


def _winner(connection: Connection, state: CollectionState, document_id: str) -> tuple[str, bool]:
    found = connection.execute(f"SELECT _rev FROM {state.table} WHERE _id = ?", (document_id,)).fetchone()
    if found:
        return found[0], False
    found = connection.execute(
        "SELECT rev FROM localsrv_tombstones WHERE collection = ? AND id = ?", (state.number, document_id)
    ).fetchone()
    return found[0], True
