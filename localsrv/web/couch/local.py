"""`/{db}/_local/{id}`: documents that stay on this side. Replicators keep their checkpoints in them."""

from __future__ import annotations

from aiohttp import hdrs, web

from localsrv.store.local_documents import LocalDocument
from localsrv.web.context import database, param
from localsrv.web.couch.answers import etag_of, json_answer, text_of
from localsrv.web.couch.bodies import read_json
from localsrv.web.couch.drafts import Draft, checked_rev, draft_of
from localsrv.web.couch.errors import CouchError
from localsrv.web.routes import Face, Route

PREFIX = "_local/"


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
    return await db.put_local(name, local_id, text_of(draft.fields), revision)


async def remove(request: web.Request, local_id: str) -> web.Response:
    """Removes a local document; as in CouchDB, the revision may be left out. Raises CouchError, Conflict."""
    await _delete(request, local_id, _asked_rev(request))
    return json_answer({"ok": True, "id": PREFIX + local_id, "rev": "0-0"})


async def _delete(request: web.Request, local_id: str, revision: str | None) -> None:
    db, name = database(request), param(request, "db")
    if db.get_local(name, checked(local_id)) is None:
        raise _missing()
    await db.delete_local(name, local_id, revision)


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
