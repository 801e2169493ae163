"""Which revision of a document is asked for, and what is to be told beside it: a query string as values.

Source: CouchDB's docs, api/document/common, and `chttpd_db.erl`, `parse_doc_query`: flags are set by `true`
alone, and what is not known is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from localsrv.web.couch.drafts import checked_rev
from localsrv.web.couch.errors import CouchError

_META = ("revs_info", "conflicts", "deleted_conflicts")
_FLAGS = frozenset((*_META, "attachments", "revs", "local_seq", "latest"))
ALL = "all"


@dataclass(slots=True)
class RevisionQuery:
    """`open_revs` is None, `"all"` or revisions; `atts_since` None or revisions."""

    rev: str | None = None
    open_revs: str | list[str] | None = None
    atts_since: list[str] | None = None
    new_edits: bool = True
    batch: bool = False
    attachments: bool = False
    revs: bool = False
    revs_info: bool = False
    conflicts: bool = False
    deleted_conflicts: bool = False
    local_seq: bool = False
    latest: bool = False

    @property
    def has_meta(self) -> bool:
        """Whether the answer depends on more than the revision, so that no ETag can stand for it."""
        return self.revs_info or self.conflicts or self.deleted_conflicts or self.local_seq


def revision_query(pairs: Iterable[tuple[str, str]]) -> RevisionQuery:
    """The parameters that are known.

    Raises:
        CouchError: a revision, or a list of them, that is none.
    """
    query = RevisionQuery()
    for name, value in pairs:
        if value == "true" and name in _FLAGS:
            setattr(query, name, True)
        elif name == "meta" and value == "true":
            for flag in _META:
                setattr(query, flag, True)
        elif name == "rev":
            query.rev = checked_rev(value)
        elif name == "open_revs":
            query.open_revs = ALL if value == ALL else _revs(value)
        elif name == "atts_since":
            query.atts_since = _revs(value)
        elif name == "new_edits" and value in ("true", "false"):
            query.new_edits = value == "true"
        elif name == "batch":
            query.batch = value == "ok"
    return query


def read_revs(values: Any) -> list[str]:
    """A list of revisions. Raises CouchError."""
    if not isinstance(values, list):
        raise CouchError(400, "bad_request", "Invalid list of revisions")
    return [checked_rev(value) for value in values]


def _revs(text: str) -> list[str]:
    try:
        values = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        raise CouchError(400, "bad_request", "invalid UTF-8 JSON") from None
    return read_revs(values)
