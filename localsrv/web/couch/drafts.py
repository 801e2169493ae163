"""A document as a client sends it: CouchDB's own members (`_id`, `_rev`, …) told from the document's fields.

Source: CouchDB's `couch_doc.erl`, `transfer_fields`, whose words the refusals have. Differs in that members
which CouchDB keeps for itself inside a body (`_access`, `_replication_…`) are refused: a body here has no
member that begins with `_`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from localsrv.base.errors import InvalidValue
from localsrv.model.revisions import parse_revision, path_tree, revisions_path
from localsrv.web.couch.errors import CouchError

_IGNORED = frozenset({"_revs_info", "_local_seq", "_conflicts", "_deleted_conflicts"})
_NO_ATTACHMENTS: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class Draft:
    """A document to write. `fields` is its body; `attachments` the raw `_attachments`.

    `id` and `rev` are None when not given; `path` is `_revisions` (newest first), or `rev` alone, or empty.
    """

    fields: dict[str, Any]
    id: str | None = None
    rev: str | None = None
    deleted: bool = False
    attachments: Mapping[str, Any] = field(default_factory=lambda: _NO_ATTACHMENTS)
    path: tuple[str, ...] = ()


def draft_of(document: Any) -> Draft:
    """Takes `document` apart, and apart it stays: the object becomes the draft's `fields`.

    Raises:
        CouchError: not an object, an id or a revision that is none, an unknown member that begins with `_`.
    """
    if not isinstance(document, dict):
        raise CouchError(400, "bad_request", "Document must be a JSON object")
    draft = Draft(document, None, None, False, _NO_ATTACHMENTS, ())
    if "_id" in document:
        draft.id = checked_id(document.pop("_id"))
    if "_" not in "".join(document):  # a quick look before the exact one
        return draft
    for name in [name for name in document if name[:1] == "_"]:
        value = document.pop(name)
        if name == "_rev":
            draft.rev = checked_rev(value)
        elif name == "_deleted" and isinstance(value, bool):
            draft.deleted = value
        elif name == "_attachments" and isinstance(value, dict):
            draft.attachments = value
        elif name == "_revisions" and isinstance(value, dict):
            draft.path = _path(value)
        elif name not in _IGNORED:
            raise CouchError(400, "doc_validation", f"Bad special document member: {name[:200]}")
    if draft.path:
        draft.rev = draft.path[0]
    elif draft.rev is not None:
        draft.path = (draft.rev,)
    return draft


def checked_id(value: Any) -> str:
    """An id that a document, a design or a local one can have. Raises CouchError (`illegal_docid`)."""
    if not isinstance(value, str):
        raise CouchError(400, "illegal_docid", "Document id must be a string")
    if not value:
        raise CouchError(400, "illegal_docid", "Document id must not be empty")
    if value[0] == "_":
        if value == "_local/":
            raise CouchError(400, "bad_request", "Invalid _local document id.")
        if value == "_design/":
            raise CouchError(400, "illegal_docid", f"Illegal document id `{value}`")
        if not value.startswith(("_design/", "_local/")):
            reason = "Only reserved document ids may start with underscore."
            raise CouchError(400, "illegal_docid", reason)
    return value


def checked_rev(value: Any) -> str:
    """A revision id as a client sends it. Raises CouchError."""
    try:
        if isinstance(value, str):
            # A local document's are 0-1, 0-2, …; whether it is one's shows later.
            if not value.startswith("0-"):
                parse_revision(value)
            return value
    except InvalidValue:
        pass
    raise CouchError(400, "bad_request", "Invalid rev format")


def _path(value: Mapping[str, Any]) -> tuple[str, ...]:
    start, ids = value.get("start"), value.get("ids")
    if not isinstance(start, int) or isinstance(start, bool):
        raise CouchError(400, "doc_validation", "_revisions.start isn't an integer.")
    if not isinstance(ids, list):
        raise CouchError(400, "doc_validation", "_revisions.ids isn't a array.")
    if not all(isinstance(one, str) for one in ids):
        raise CouchError(400, "doc_validation", "RevId isn't a string")
    if not ids or start == 0:  # 0 is the generation of local documents, which have no history
        return ()
    path = revisions_path(start, ids)
    try:
        path_tree(path)
    except InvalidValue as error:
        raise CouchError(400, "doc_validation", error.message) from None
    return tuple(path)
