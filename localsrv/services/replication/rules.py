"""What the documents of an app say about a replication: which pass its filter, which it may not write."""

from __future__ import annotations

from collections.abc import Sequence

from localsrv.base.errors import InvalidValue, LocalsrvError
from localsrv.model.exchange import Revision
from localsrv.model.replication import Replication
from localsrv.model.selector import parse_selector


class AppRules:
    """The rules of one replication in one app."""

    def __init__(self, definition: Replication) -> None:
        kept = definition.filter
        self._selector = None if kept.selector is None else parse_selector(dict(kept.selector))
        self._function = kept.function

    async def check(self, database: str, revisions: Sequence[Revision]) -> list[LocalsrvError | None]:
        return [None] * len(revisions)

    async def lets_through(self, database: str, revisions: Sequence[Revision]) -> list[bool]:
        if self._selector is not None:
            selector = self._selector
            return [selector.matches(_whole(revision)) for revision in revisions]
        raise InvalidValue(f"There is no filter function `{self._function}`.", details="filter")


def _whole(revision: Revision) -> dict[str, object]:
    """The document as filters see it."""
    head: dict[str, object] = {"_id": revision.id, "_rev": revision.rev}
    if revision.deleted:
        head["_deleted"] = True
    return head | revision.fields
