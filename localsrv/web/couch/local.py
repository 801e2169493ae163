"""`/{db}/_local/{id}`: documents that stay on this side. Replicators keep their checkpoints in them.

Who pulls keeps a checkpoint here too, and needs no more than the right to read for it. Such a client makes
local documents of its own, few and small ones, and changes no other's: a lost checkpoint makes somebody's
next replication begin anew.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from localsrv.base.errors import Forbidden, TooLarge
from localsrv.model.scopes import write as write_scope
from localsrv.store.local_documents import LocalDocument
from localsrv.web.context import app, database, grant, param, services
from localsrv.web.couch.answers import etag_of, json_answer, text_of
from localsrv.web.couch.bodies import read_json
from localsrv.web.couch.drafts import Draft, checked_rev, draft_of
from localsrv.web.couch.errors import CouchError
from localsrv.web.routes import Face, Route

PREFIX = "_local/"

READERS_MOST = 1000
"""Local documents that a client may make which may only read: one for each device that pulls with its key."""

READERS_BYTES = 64 * 1024
"""How long each of these may be. CouchDB's replicator keeps 50 entries of some 350 bytes."""


async def get(request: web.Request) -> web.Response:
    return read(request, param(request, "id"))


async def put(request: web.Request) -> web.Response:
    return await write(request, param(request, "id"))


async def delete(request: web.Request) -> web.Response:
    return await remove(request, param(request, "id"))


async def no_attachments(request: web.Request) -> web.Response:
    raise CouchError(400, "bad_request", "_local documents do not accept attachments.")


def read(request: web.Request, local_id: str) -> web.Response:
    """A local document by its id without `_local/`. Raises CouchError (`not_found`), NotFound."""
    found = database(request).get_local(param(request, "db"), checked(local_id))
    if found is None:
        raise _missing()
    return json_answer(local_text(found), headers={hdrs.ETAG: etag_of(found.rev)})


def checked(local_id: str) -> str:
    """An id without `_local/`. Raises CouchError for an empty one."""
    if not local_id:
        raise CouchError(400, "bad_request", "Invalid _local document id.")
    return local_id


def local_text(document: LocalDocument) -> str:
    """A local document as it is shown."""
    head = f'{{"_id":{text_of(PREFIX + document.id)},"_rev":"{document.rev}"'
    return head + ("}" if document.body == "{}" else "," + document.body[1:])


async def write(request: web.Request, local_id: str) -> web.Response:
    """Writes the body as a local document. Raises CouchError, Conflict, NotFound."""
    draft = draft_of(await read_json(request))
    checked(local_id)
    if draft.id is not None and draft.id != PREFIX + local_id:
        raise CouchError(400, "bad_request", "Document ID in the body and in the address are not the same.")
    revision = await write_draft(request, local_id, draft, _asked_rev(request) or draft.rev)
    answer = {"ok": True, "id": PREFIX + local_id, "rev": revision}
    return json_answer(answer, status=201, headers={hdrs.ETAG: etag_of(revision)})


async def write_draft(request: web.Request, local_id: str, draft: Draft, revision: str | None) -> str:
    """Writes or, when the draft deletes, removes a local document; its revision. Raises as `write`."""
    # Attachments of a local document are passed over, as CouchDB does it; asking for one is the error.
    db, name = database(request), param(request, "db")
    if draft.deleted:
        await _delete(request, local_id, revision)
        return "0-0"
    body = text_of(draft.fields)
    _check_whose(request, db.get_local(name, local_id), local_id, len(body))
    return await db.put_local(name, local_id, body, revision, grant(request).id)


async def remove(request: web.Request, local_id: str) -> web.Response:
    """Removes a local document; as in CouchDB, the revision may be left out. Raises CouchError, Conflict."""
    await _delete(request, local_id, _asked_rev(request))
    return json_answer({"ok": True, "id": PREFIX + local_id, "rev": "0-0"})


async def _delete(request: web.Request, local_id: str, revision: str | None) -> None:
    db, name = database(request), param(request, "db")
    found = db.get_local(name, checked(local_id))
    if found is None:
        raise _missing()
    _check_whose(request, found, local_id)
    await db.delete_local(name, local_id, revision)


def _check_whose(request: web.Request, there: LocalDocument | None, local_id: str, size: int = 0) -> None:
    """That a grant which may only read touches its own local documents alone, and does not fill the disk.

    What a key that has ended left behind is anybody's.

    Raises:
        Forbidden: another's, or too many. TooLarge.
    """
    db, name, holder = database(request), param(request, "db"), grant(request)
    if holder.allows(app(request).id, write_scope(name)):
        return
    own = None if there is None else there.writer
    if there is not None and own != holder.id and (own is None or services(request).grants.by_id(own)):
        raise Forbidden(
            f"`{PREFIX}{local_id[:200]}` was written by another client, and this key may only read.",
            code="scope-missing",
            details=write_scope(name),
        )
    if there is None and db.count_local(name, holder.id) >= READERS_MOST:
        raise Forbidden(f"This key has made {READERS_MOST:,} local documents already.", code="too-many")
    if size > READERS_BYTES:
        raise TooLarge(f"A local document of a key that may only read has up to {READERS_BYTES:,} bytes.")


def _asked_rev(request: web.Request) -> str | None:
    value = request.query.get("rev") or request.headers.get(hdrs.IF_MATCH, "").strip().strip('"')
    return checked_rev(value) if value else None


def _missing() -> CouchError:
    return CouchError(404, "not_found", "missing")


_PATH = "/couch/{db}/_local/{id}"
_BELOW = _PATH + "/{name...}"
_SCOPE = "{db}:read"

ROUTES = (
    Route("GET", _PATH, get, _SCOPE, "A local document", face=Face.COUCH),
    Route(
        "PUT", _PATH, put, _SCOPE, "Writes a local document: a checkpoint", statuses=(201,), face=Face.COUCH
    ),
    Route("DELETE", _PATH, delete, _SCOPE, "Removes a local document", face=Face.COUCH),
    *(
        Route(method, _BELOW, no_attachments, _SCOPE, "Refused: no attachments here", face=Face.COUCH)
        for method in ("GET", "PUT")
    ),
)
