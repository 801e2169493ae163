"""The histories of many revisions at once, for feeds that bring documents along with them."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from localsrv.store.catalog import CollectionState
from localsrv.store.driver import Connection


def paths(
    connection: Connection, state: CollectionState, asked: Sequence[tuple[str, str]]
) -> list[tuple[str, ...]]:
    """For each `(id, revision)` the revision and its known ancestors, newest first.

    One statement for each part of the collection, however many are asked for. A revision that is not known
    here has itself alone.
    """
    parents: dict[str, dict[str, str | None]] = {}
    for part in state.parts:
        ids = [i for i, revision in asked if state.home(i) is part and not revision.startswith("1-")]
        if not ids:
            continue
        # CROSS fixes the order: the planner, without statistics, reads every history of the collection.
        rows = connection.execute(
            "SELECT r.id, r.generation, r.digest, r.parent FROM json_each(?) AS w"
            " CROSS JOIN localsrv_revisions AS r ON r.collection = ? AND r.id = w.value",
            (orjson.dumps(ids).decode(), part.number),
        )
        for document_id, generation, digest, parent in rows:
            parents.setdefault(document_id, {})[f"{generation}-{digest}"] = parent
    return [_path(parents.get(document_id, {}), revision) for document_id, revision in asked]


def _path(parents: dict[str, str | None], revision: str) -> tuple[str, ...]:
    out = [revision]
    at = parents.get(revision)
    while at is not None and at in parents:
        out.append(at)
        at = parents[at]
    return tuple(out)
