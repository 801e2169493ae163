"""A revision as JSON with what was asked for beside it, and as multipart with its attachments behind it.

Source: CouchDB's `couch_doc.erl`, `to_json_obj`, and `couch_httpd_multipart.erl`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from localsrv.model.multipart import part_head, quoted
from localsrv.model.revisions import Tree, ancestry, leaves, parse_revision
from localsrv.store.reading import AttachmentInfo, Document, Revisions
from localsrv.web.couch.answers import digest_of, document_text, stub_text, text_of
from localsrv.web.couch.contents import Enclosed, Segment
from localsrv.web.couch.errors import JSON
from localsrv.web.couch.revision_query import RevisionQuery

_HOLE = "\0"  # no JSON text has it; attachments are put where it stands


class Show(Enum):
    """How attachments are shown: as stubs, in base64, or behind the document."""

    STUBS, INLINE, FOLLOW = range(3)


@dataclass(slots=True)
class Shown:
    """A revision to send: its JSON, and the attachments that follow it."""

    json: list[Segment]
    follow: list[tuple[AttachmentInfo, Enclosed]]


def shown(
    name: str,
    document: Document,
    *,
    show: Show = Show.STUBS,
    since: int = 0,
    fields: Mapping[str, str] | None = None,
) -> Shown:
    """A revision of collection `name`. Attachments that came up to generation `since` are stubs always."""
    if show is Show.STUBS or not document.attachments:
        return Shown([document_text(document, fields=fields or {}).encode()], [])
    members, enclosed = [], list[tuple[AttachmentInfo, Enclosed]]()
    for info in document.attachments:
        if info.revpos <= since:
            members.append(f"{text_of(info.name)}:{stub_text(info)}")
            continue
        members.append(f"{text_of(info.name)}:{_member(info, show)}")
        where = (name, document.id, document.rev, info.name)
        enclosed.append((info, Enclosed(*where, 0, info.length, is_base64=show is Show.INLINE)))
    text = document_text(document, attachments="{" + ",".join(members) + "}", fields=fields or {})
    if show is Show.FOLLOW:
        return Shown([text.encode()], enclosed)
    first, *others = text.split(_HOLE)
    segments: list[Segment] = [first.encode()]
    for (_, content), other in zip(enclosed, others, strict=True):
        segments += (content, other.encode())
    return Shown(segments, [])


def _member(info: AttachmentInfo, show: Show) -> str:
    head = (
        f'{{"content_type":{text_of(info.content_type)},"revpos":{info.revpos},"digest":"{digest_of(info)}",'
    )
    if show is Show.INLINE:
        return f'{head}"data":"{_HOLE}"}}'
    return f'{head}"length":{info.length},"follows":true}}'


def known_since(path: Sequence[str], revisions: Sequence[str] | None) -> int:
    """The generation of the newest of a revision's `path` that the asker has; 0 for none (`atts_since`)."""
    known = frozenset(revisions or ())
    return next((parse_revision(revision)[0] for revision in path if revision in known), 0)


def related(boundary: str, one: Shown) -> Iterator[Segment]:
    """A document and the attachments that follow it as multipart/related; the document alone if none does."""
    if not one.follow:
        yield from one.json
        return
    delimiter = f"\r\n--{boundary}".encode()
    yield delimiter[2:] + part_head({"Content-Type": JSON})
    yield from one.json
    for info, content in one.follow:
        head = {
            "Content-Disposition": f"attachment; filename={quoted(info.name)}",
            "Content-Type": info.content_type,
            "Content-Length": str(info.length),
        }
        yield delimiter + part_head(head)
        yield content
    yield delimiter + b"--"


def related_type(boundary: str, one: Shown) -> str:
    """The content type of what `related` gives."""
    return f'multipart/related; boundary="{boundary}"' if one.follow else JSON


def new_boundary() -> str:
    """A boundary that nobody can have put into a document."""
    return secrets.token_hex(16)


def path_of(tree: Tree, revision: str) -> list[str]:
    """A revision and its known ancestors, newest first."""
    return list(ancestry(tree, revision)) or [revision]  # compaction may have taken it since it was read


def revisions_text(path: Sequence[str]) -> str:
    """`_revisions` of a path, newest first."""
    parsed = [parse_revision(revision) for revision in path]
    return f'{{"start":{parsed[0][0]},"ids":{text_of([digest for _, digest in parsed])}}}'


def meta_fields(query: RevisionQuery, revision: str, known: Revisions) -> dict[str, str]:
    """The fields that `revs`, `revs_info`, `conflicts` and `deleted_conflicts` ask for, as JSON texts."""
    fields: dict[str, str] = {}
    path = path_of(known.tree, revision)
    if query.revs:
        fields["_revisions"] = revisions_text(path)
    if query.revs_info:
        infos = [{"rev": r, "status": _status(known, r)} for r in path]
        fields["_revs_info"] = text_of(infos)
    if query.conflicts or query.deleted_conflicts:
        fields |= _conflicts(query, known.tree, known.winner)
    return fields


def _status(known: Revisions, revision: str) -> str:
    if revision not in known.available:
        return "missing"
    return "deleted" if known.tree.nodes[revision].deleted else "available"


def _conflicts(query: RevisionQuery, tree: Tree, winner: str) -> dict[str, str]:
    """Losing leaves, in the order in which they would win. A field without any is left out."""
    fields: dict[str, str] = {}
    losing = [leaf for leaf in leaves(tree) if leaf != winner]
    for name, wanted, deleted in (
        ("_conflicts", query.conflicts, False),
        ("_deleted_conflicts", query.deleted_conflicts, True),
    ):
        found = [leaf for leaf in losing if tree.nodes[leaf].deleted is deleted]
        if wanted and found:
            fields[name] = text_of(found)
    return fields
