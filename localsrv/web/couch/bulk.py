"""`_bulk_docs`: many documents in one request, each written or refused for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from localsrv.base.errors import LocalsrvError, StorageError, Unavailable
from localsrv.store.ids import uuid7s
from localsrv.web.context import app, database, grant, param
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.bodies import read_object
from localsrv.web.couch.drafts import Draft, draft_of
from localsrv.web.couch.errors import CouchError, row_error
from localsrv.web.couch.local import PREFIX as LOCAL
from localsrv.web.couch.local import write_draft
from localsrv.web.couch.writing import edit_of, plain_edit_of, write
from localsrv.web.routes import Face, Route

Result = str | Exception
"""The revision that was written, or why it was not."""

AT_ONCE = 1000
"""Documents that are looked at before other requests have their turn."""

NOT_ALLOWED = CouchError(
    403, "forbidden", "You are not allowed to write design documents: that needs a key with the scope `sync`."
)


def new_ids(count: int) -> list[str]:
    """Ids as CouchDB makes them: 32 hexadecimal digits, later ones behind earlier ones."""
    return [one.replace("-", "") for one in uuid7s(count)] if count else []


async def bulk_docs(request: web.Request) -> web.Response:
    database(request).collection(param(request, "db"))
    body = await read_object(request)
    documents, new_edits = body.get("docs"), body.get("new_edits", True)
    if "docs" not in body:
        raise CouchError(400, "bad_request", "POST body must include `docs` parameter.")
    if not isinstance(documents, list):
        raise CouchError(400, "bad_request", "`docs` parameter must be an array.")
    if not isinstance(new_edits, bool):
        raise CouchError(400, "bad_request", "`new_edits` parameter must be a boolean.")
    if body.get("all_or_nothing") is True:
        refusal = {"error": "not_implemented", "reason": "all_or_nothing is not supported"}
        return json_answer([refusal for _ in documents], status=417)
    drafts: list[Draft] = []
    for at in range(0, len(documents), AT_ONCE):
        drafts += [draft_of(document) for document in documents[at : at + AT_ONCE]]
        await asyncio.sleep(0)
    lacking = [draft for draft in drafts if draft.id is None]
    for draft, made in zip(lacking, new_ids(len(lacking)), strict=True):
        draft.id = made
    results = await _write(request, drafts, new_edits=new_edits)
    return json_answer(_told(drafts, results, new_edits=new_edits), status=201)


async def _write(request: web.Request, drafts: list[Draft], *, new_edits: bool) -> list[Result]:
    """The result of each draft. Raises CouchError for one that no document can look like, StorageError."""
    name = param(request, "db")
    may_design = grant(request).allows(app(request).id, "sync")
    refused: dict[int, Result] = {}
    edits = []
    places: list[int] = []
    local: list[int] = []
    for at, draft in enumerate(drafts):
        if at % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        ident = draft.id or ""
        if ident[0] == "_" and ident.startswith(LOCAL):
            local.append(at)
        elif ident[0] == "_" and not may_design:
            refused[at] = NOT_ALLOWED
        else:
            try:
                edits.append(
                    await edit_of(request, name, draft, ident, new_edits=new_edits)
                    if draft.attachments
                    else plain_edit_of(draft, ident, new_edits=new_edits)
                )
                places.append(at)
            except CouchError as error:
                if error.status == 400:
                    raise
                refused[at] = error
    results = await write(request, name, edits, new_edits=new_edits)
    if not new_edits:
        _check_passing(results)
    if len(edits) == len(drafts):
        return results
    done = dict(zip(places, results, strict=True)) | refused
    for at in local:
        done[at] = await _local(request, drafts[at])
    return [done[at] for at in range(len(drafts))]


def _check_passing(results: Iterable[Result]) -> None:
    """Raises what is not about one document and will pass.

    CouchDB's replicator takes an error in a row for the document's own, and never sends that revision again.
    The other revisions may well come again: they keep their ids.
    """
    for result in results:
        if isinstance(result, (StorageError, Unavailable)):
            raise result


async def _local(request: web.Request, draft: Draft) -> Result:
    try:
        return await write_draft(request, (draft.id or "").removeprefix(LOCAL), draft, draft.rev)
    except LocalsrvError as error:
        return error


def _told(drafts: list[Draft], results: list[Result], *, new_edits: bool) -> list[dict[str, Any]]:
    """Rows of the answer. Of revisions made elsewhere only the refused ones are told, with their revision."""
    rows: list[dict[str, Any]] = []
    for draft, result in zip(drafts, results, strict=True):
        if isinstance(result, Exception):
            row: dict[str, Any] = {"id": draft.id}
            if not new_edits:
                row["rev"] = draft.rev
            rows.append(row | row_error(result))
        elif new_edits:
            rows.append({"ok": True, "id": draft.id, "rev": result})
    return rows


ROUTES = (
    Route(
        "POST",
        "/couch/{db}/_bulk_docs",
        bulk_docs,
        "{db}:write",
        "Writes many documents; with `new_edits` false under the revisions they have",
        statuses=(201,),
        face=Face.COUCH,
    ),
)
