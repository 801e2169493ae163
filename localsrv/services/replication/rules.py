"""What the documents of an app say about a replication: which pass its filter, which it may not write."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from localsrv.base.errors import LocalsrvError
from localsrv.model.exchange import Revision
from localsrv.model.replication import Replication
from localsrv.model.selector import Selector, parse_selector
from localsrv.services.design import ADMIN, Design
from localsrv.store.database import Database
from localsrv.store.editing import Edit

BY_VIEW = "_view"


class AppRules:
    """The rules of one replication in one app. `design` runs the functions of its design documents."""

    def __init__(self, definition: Replication, database: Database, design: Design) -> None:
        """Raises InvalidValue: a selector that is none."""
        self._filter = definition.filter
        self._selector = check_filter(definition)
        self._database = database
        self._design = design

    async def check(self, name: str, edits: Sequence[Edit]) -> list[LocalsrvError | None]:
        """Why `validate_doc_update` refuses each edit, or None."""
        return await self._design.check_updates(self._database, name, edits, ADMIN, new_edits=False)

    async def lets_through(self, name: str, revisions: Sequence[Revision]) -> list[bool]:
        """Whether the filter wants each of these winners. Raises DesignError."""
        if self._selector is not None:
            selector = self._selector
            return [selector.matches(_whole(revision)) for revision in revisions]
        path, parameters = self._filter.function or "", dict(self._filter.parameters)
        is_view = path == BY_VIEW
        if is_view:
            path = str(parameters.get("view", ""))
        texts = [orjson.dumps(_whole(revision)).decode() for revision in revisions]
        request = {"query": parameters}
        return await self._design.filter_changes(self._database, name, path, texts, request, by_view=is_view)


def check_filter(definition: Replication) -> Selector | None:
    """The definition's selector. Raises InvalidValue when it is none."""
    selector = definition.filter.selector
    return None if selector is None else parse_selector(dict(selector))


def _whole(revision: Revision) -> dict[str, object]:
    """The document as filters see it."""
    head: dict[str, object] = {"_id": revision.id, "_rev": revision.rev}
    if revision.deleted:
        head["_deleted"] = True
    return head | revision.fields
