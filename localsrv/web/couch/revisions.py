"""`_revs_diff` and `_missing_revs`: which of a peer's revisions are not here."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from localsrv.web.context import database, param
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.bodies import read_object
from localsrv.web.couch.drafts import checked_rev
from localsrv.web.couch.errors import CouchError
from localsrv.web.routes import Face, Route

Missing = dict[str, tuple[list[str], list[str]]]


async def revs_diff(request: web.Request) -> web.Response:
    told: dict[str, Any] = {}
    for document_id, (missing, ancestors) in (await _missing(request)).items():
        told[document_id] = {"missing": missing}
        if ancestors:
            told[document_id]["possible_ancestors"] = ancestors
    return json_answer(told)


async def missing_revs(request: web.Request) -> web.Response:
    found = await _missing(request)
    return json_answer({"missing_revs": {i: missing for i, (missing, _) in found.items()}})


async def _missing(request: web.Request) -> Missing:
    """Raises CouchError for a body that is not `{id: [revision, …]}`, NotFound."""
    asked = await read_object(request)
    for revisions in asked.values():
        if not isinstance(revisions, list):
            raise CouchError(400, "bad_request", "Revisions must be in an array.")
        for revision in revisions:
            checked_rev(revision)
    return await database(request).missing_revisions(param(request, "db"), asked)


ROUTES = (
    Route(
        "POST",
        "/couch/{db}/_revs_diff",
        revs_diff,
        "{db}:read",
        "Which of these revisions are not here, and what they may extend",
        face=Face.COUCH,
    ),
    Route(
        "POST",
        "/couch/{db}/_missing_revs",
        missing_revs,
        "{db}:read",
        "Which of these revisions are not here",
        face=Face.COUCH,
    ),
)
