"""Which changes a feed tells: `_doc_ids`, `_selector`, `_design`, `_view` and filter functions.

Source: `couch_changes.erl`, `configure_filter` and `filter`. A filter looks at each leaf that the feed's
style tells; a change of which no leaf passes is left out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from localsrv.model.selector import Selector, parse_selector
from localsrv.services.design import Design
from localsrv.store.database import Database
from localsrv.store.document_changes import DocumentChange
from localsrv.store.reading import Document
from localsrv.web.couch.answers import document_text
from localsrv.web.couch.errors import CouchError

Test = Callable[[Sequence[str]], Awaitable[Sequence[bool]]]
"""Whether each of some documents, given as JSON texts, passes."""


@dataclass(frozen=True, slots=True)
class ChangesFilter:
    """`ids` limits the feed to these documents; `test` looks at bodies, `id_test` at ids alone.

    `key` is equal for filters that let the same pass.
    """

    key: object
    ids: frozenset[str] | None = None
    id_test: Callable[[str], bool] | None = None
    test: Test | None = None

    @property
    def needs_bodies(self) -> bool:
        return self.test is not None

    async def passing(
        self, db: Database, name: str, changes: Sequence[DocumentChange]
    ) -> Sequence[DocumentChange]:
        """The changes that are told, each with the leaves that pass."""
        if self.id_test is not None:
            return [change for change in changes if self.id_test(change.id)]
        if self.test is None or not changes:
            return changes
        leaves = [await _leaves(db, name, change) for change in changes]
        texts = [document_text(leaf) for found in leaves for leaf in found]
        passes = iter(await self.test(texts))
        passing = [tuple(leaf.rev for leaf in found if next(passes)) for found in leaves]
        return [
            change if revs == change.revs else replace(change, revs=revs)
            for change, revs in zip(changes, passing, strict=True)
            if revs
        ]


async def _leaves(db: Database, name: str, change: DocumentChange) -> Sequence[Document]:
    winner = change.document
    if winner is None:  # forgotten since: told by its revision alone
        winner = Document(change.id, change.revs[0], change.deleted, None)
    if len(change.revs) == 1:
        return (winner,)
    return (winner, *await db.open_revisions(name, change.id, change.revs[1:]))


def by_ids(ids: object) -> ChangesFilter:
    """`filter=_doc_ids`. Raises CouchError for what is no list of ids."""
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise CouchError(400, "bad_request", "`doc_ids` filter parameter is not a list of doc ids.")
    wanted = frozenset(ids)
    return ChangesFilter(("ids", wanted), ids=wanted)


DESIGN_ONLY = ChangesFilter("_design", id_test=lambda document_id: document_id.startswith("_design/"))
"""`filter=_design`."""


async def by_function(
    design: Design, db: Database, name: str, path: str, request: Mapping[str, Any] | None
) -> ChangesFilter:
    """`filter=<design document>/<function>`, told `request`; or, without one, `_view`.

    Raises:
        DesignError: there is no such function.
    """
    by_view = request is None

    async def test(texts: Sequence[str]) -> Sequence[bool]:
        return await design.filter_changes(db, name, path, texts, request, by_view=by_view)

    await test(())  # shows now whether it is there
    return ChangesFilter(("function", path, by_view, orjson.dumps(request or {})), test=test)


def by_selector(body: Mapping[str, Any] | None) -> ChangesFilter:
    """`filter=_selector`. Raises CouchError."""
    if body is None:
        raise CouchError(400, "bad_request", "Selector must be specified in POST payload")
    given = body.get("selector")
    if not isinstance(given, dict):
        raise CouchError(400, "bad_request", "Selector error: expected a JSON object")
    selector: Selector = parse_selector(given)

    async def test(texts: Sequence[str]) -> Sequence[bool]:
        return [selector.matches(orjson.loads(text)) for text in texts]

    return ChangesFilter(("selector", orjson.dumps(given, option=orjson.OPT_SORT_KEYS)), test=test)
