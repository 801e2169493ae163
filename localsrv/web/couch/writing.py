"""How the sync face writes documents: drafts become edits, edits are validated and stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from aiohttp import web

from localsrv.base.errors import LocalsrvError, NotFound, StorageError
from localsrv.model.revisions import EMPTY, leaves
from localsrv.services.design import Design
from localsrv.services.replication.replicator import DATABASE
from localsrv.store.database import Database
from localsrv.store.editing import Edit, NewAttachment
from localsrv.store.reading import AttachmentInfo, Revisions
from localsrv.web.context import app, database, services
from localsrv.web.couch.drafts import Draft
from localsrv.web.couch.enclosures import Enclosure, Kind, enclosures
from localsrv.web.couch.errors import CONFLICT, CouchError
from localsrv.web.couch.receiving import one_piece, receive
from localsrv.web.couch.replicate import replicator
from localsrv.web.users import user_of

T = TypeVar("T")

NONE_FOLLOWED: Mapping[str, NewAttachment] = {}


async def edit_of(
    request: web.Request,
    name: str,
    draft: Draft,
    document_id: str,
    *,
    new_edits: bool = True,
    followed: Mapping[str, NewAttachment] = NONE_FOLLOWED,
) -> Edit:
    """What the store is to do for a draft. Inline attachments are received; `followed` came already.

    With `new_edits` the draft's attachments are all that the document has afterwards; stubs stay from the
    revision that it changes. Otherwise stubs stand for what the nearest known ancestor has.

    Raises:
        CouchError: a stub without attachment (412), attachments that are none, or no revision where
            `new_edits=false` needs one.
    """
    edit = plain_edit_of(draft, document_id, new_edits=new_edits)
    if draft.attachments:
        db, given = database(request), enclosures(draft.attachments)
        stubs = [one for one in given if one.kind is Kind.STUB]
        if stubs:
            ancestors = draft.path[1:] if not new_edits else draft.path[:1]
            check_stubs(db, name, document_id, draft.path, ancestors, stubs, new_edits=new_edits)
            edit.kept = tuple(stub.name for stub in stubs)
        edit.attachments = tuple(
            [
                await _received(request, db, one, followed, new_edits=new_edits)
                for one in given
                if one.kind is not Kind.STUB
            ]
        )
    return edit


def plain_edit_of(draft: Draft, document_id: str, *, new_edits: bool = True) -> Edit:
    """As `edit_of`, without the attachments. Raises CouchError."""
    if new_edits:
        return Edit(document_id, draft.fields, draft.rev, draft.deleted)
    check_path(draft)
    return Edit(document_id, draft.fields, None, draft.deleted, path=draft.path)


def check_path(draft: Draft) -> None:
    """That a draft made elsewhere says which revision it is. Raises CouchError."""
    if not draft.path:
        reason = "When `new_edits: false`, the document needs `_rev` or `_revisions` specified"
        raise CouchError(400, "bad_request", reason)


async def _received(
    request: web.Request,
    db: Database,
    one: Enclosure,
    followed: Mapping[str, NewAttachment],
    *,
    new_edits: bool,
) -> NewAttachment:
    if one.kind is Kind.FOLLOWS:
        there = followed.get(one.name)
        if there is None:
            reason = f"Attachment `{one.name[:200]}` was to follow and did not"
            raise CouchError(400, "bad_request", reason)
        return there
    raw, is_gzip = one.content(is_replicated=not new_edits)
    limit = services(request).max_body
    blob = await receive(db, one_piece(raw), limit=limit, is_gzip=is_gzip)
    return NewAttachment(one.name, one.content_type, blob, revpos_of(one, new_edits=new_edits))


def revpos_of(one: Enclosure, *, new_edits: bool) -> int:
    """The generation that an attachment came in; 0 where that is the one being written."""
    return 0 if new_edits else one.revpos or 0


def check_current(known: Revisions | None, revision: str | None) -> None:
    """That an edit of `revision` (None: one that makes a document) is no conflict as things are now.

    Raises:
        CouchError: 409.
    """
    tree = EMPTY if known is None else known.tree
    if revision is None:
        is_current = known is None or tree.nodes[known.winner].deleted
    else:
        is_current = revision in leaves(tree)
    if not is_current:
        raise CouchError(409, "conflict", CONFLICT)


def check_stubs(
    db: Database,
    name: str,
    document_id: str,
    path: Sequence[str],
    ancestors: Sequence[str],
    stubs: Iterable[Enclosure],
    *,
    new_edits: bool,
) -> None:
    """That each stub stands for an attachment which the nearest known ancestor has, of the same `revpos`.

    A write that will be refused as a conflict, or that is known already, is left to the store.

    Raises:
        CouchError: 412, as CouchDB says it.
    """
    known = db.revisions(name, document_id)
    tree = EMPTY if known is None else known.tree
    if new_edits:
        check_current(known, path[0] if path else None)
    elif path[0] in tree and known is not None and path[0] in known.available:
        return
    there = _attachments_of(db, name, document_id, [a for a in ancestors if a in tree])
    if there is None:
        reason = f"Previous revision missing for document {document_id[:200]}"
        raise CouchError(412, "missing_stub", reason)
    for stub in stubs:
        found = there.get(stub.name)
        if found is None or (stub.revpos is not None and stub.revpos != found.revpos):
            raise missing_stub(document_id, stub.name)


def _attachments_of(
    db: Database, name: str, document_id: str, ancestors: Iterable[str]
) -> dict[str, AttachmentInfo] | None:
    for ancestor in ancestors:
        found = db.get_document(name, document_id, ancestor)
        if found is not None and found.body is not None:
            return {info.name: info for info in found.attachments}
    return None


def missing_stub(document_id: str, attachment: str) -> CouchError:
    """The error of a stub that stands for nothing."""
    reason = f"Invalid attachment stub in {document_id[:200]} for {attachment[:200]}"
    return CouchError(412, "missing_stub", reason)


async def write(
    request: web.Request, name: str, edits: Sequence[Edit], *, new_edits: bool = True
) -> list[str | Exception]:
    """Writes edits, each for itself, and returns for each its revision or why it was refused.

    Design documents have their say first (`validate_doc_update`), whoever writes.

    Raises:
        StorageError: the disk or the file refused; nothing of it was written.
    """
    if not edits:
        return []
    if name == DATABASE:
        return await replicator(request).store(app(request).id, edits, new_edits=new_edits)
    db, design = database(request), services(request).extra[Design]
    refused = await design.check_updates(db, name, edits, user_of(request), new_edits=new_edits)
    allowed = edits if not any(refused) else [e for e, no in zip(edits, refused, strict=True) if no is None]
    results = iter(await _put(db, name, allowed, new_edits=new_edits) if allowed else ())
    answers = [next(results) if no is None else no for no in refused]
    return [
        one if isinstance(one, str) else _told(edit, one) for edit, one in zip(edits, answers, strict=True)
    ]


async def write_one(request: web.Request, name: str, edit: Edit, *, new_edits: bool = True) -> str:
    """As `write` of one edit, whose refusal is raised."""
    if new_edits and edit.id[0] != "_" and name != DATABASE:
        db = database(request)
        if not db.design_seq(name):  # nobody has a say in it: the short way that most writes take
            try:
                return await db.put(name, edit)
            except NotFound as error:
                raise _told(edit, error) from None
    result = (await write(request, name, [edit], new_edits=new_edits))[0]
    if isinstance(result, Exception):
        raise result
    return result


async def _put(
    db: Database, name: str, edits: Sequence[Edit], *, new_edits: bool
) -> Sequence[str | Exception]:
    if len(edits) == 1 and new_edits:  # a savepoint fewer
        try:
            return [await db.put(name, edits[0])]
        except LocalsrvError as error:
            if error.code == "no-collection" or isinstance(error, StorageError):
                raise
            return [error]
    return await db.put_many(name, edits, new_edits=new_edits)


def _told(edit: Edit, result: T) -> T | CouchError:
    """What the store refuses in CouchDB's words, where no code of the store's tells the same."""
    if isinstance(result, NotFound) and result.code == "no-attachment":
        return missing_stub(edit.id, result.details or "")
    return result
