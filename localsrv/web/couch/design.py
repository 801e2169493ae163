"""What design documents have besides views: facts about their indexes, cleaning up, and what is not here.

`_show`, `_list`, `_update` and `_rewrite` are deprecated since CouchDB 3.0 and are not served: a program of
one's own beside localsrv does their work. `_temp_view` is gone since CouchDB 2.0.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from localsrv.model.mango_index import LANGUAGE
from localsrv.services.design import Design
from localsrv.services.views import IndexState, Views
from localsrv.web.context import database, param, services
from localsrv.web.couch.answers import json_answer
from localsrv.web.couch.bodies import require_json
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.sequences import token_of
from localsrv.web.couch.views import design_of
from localsrv.web.routes import ADMIN, Face, Route


async def info(request: web.Request) -> web.Response:
    db, name = database(request), param(request, "db")
    design = await design_of(request)
    if design.language == LANGUAGE:  # its indexes are the table's own, which no write leaves behind
        state = IndexState(seq=(await db.information(name)).last_seq)
    else:
        views: Views = services(request).extra[Views]
        state = await views.state(db, name, design)
    sizes = {"file": state.file_bytes, "external": state.row_bytes, "active": state.row_bytes}
    return json_answer(
        {
            "name": design.name,
            "view_index": {
                "signature": design.signature,
                "language": design.language,
                "sizes": sizes,
                "updater_running": state.is_building,
                "compact_running": False,
                "waiting_clients": state.waiting,
                "waiting_commit": False,
                "update_seq": token_of(db, name, state.seq),
                "purge_seq": 0,
                "collator_versions": ["code point"],
            },
        }
    )


def indexing_tasks(request: web.Request) -> list[dict[str, Any]]:
    """The indexes of the app that are being built, as `_active_tasks` tells them."""
    views: Views = services(request).extra[Views]
    return [
        {
            "type": "indexer",
            "database": task.database,
            "design_document": task.design,
            "changes_done": task.done,
            "total_changes": task.total,
            "progress": 100 * task.done // max(task.total, 1),
            "started_on": int(task.started),
            "updated_on": int(task.updated),
        }
        for task in views.building(database(request))
    ]


async def clean_up(request: web.Request) -> web.Response:
    require_json(request)
    db, name = database(request), param(request, "db")
    db.collection(name)
    design: Design = services(request).extra[Design]
    views: Views = services(request).extra[Views]
    await views.clean_up(db, name, list((await design.documents(db, name)).values()))
    return json_answer({"ok": True}, status=202)


async def temp_view(request: web.Request) -> web.Response:
    raise CouchError(410, "gone", "Temporary views are not supported in CouchDB")


async def not_here(request: web.Request) -> web.Response:
    reason = "Show, list, update and rewrite functions are deprecated in CouchDB, and not run here."
    raise CouchError(501, "not_implemented", reason)


_DESIGN = "/couch/{db}/_design/{design}"

_NOT_HERE = tuple(
    Route(method, f"{_DESIGN}/{kind}/{{path...}}", not_here, scope, f"Not here: `{kind}`", face=Face.COUCH)
    for kind in ("_show", "_list", "_update", "_rewrite")
    for method, scope in (
        ("GET", "{db}:read"),
        ("POST", "{db}:write"),
        ("PUT", "{db}:write"),
    )
)

ROUTES = (
    Route("GET", f"{_DESIGN}/_info", info, "{db}:read", "Where the index stands", face=Face.COUCH),
    Route(
        "POST",
        "/couch/{db}/_view_cleanup",
        clean_up,
        ADMIN,
        "Removes indexes that no design document needs any more",
        statuses=(202,),
        face=Face.COUCH,
    ),
    Route("POST", "/couch/{db}/_temp_view", temp_view, "{db}:read", "Gone, as in CouchDB", face=Face.COUCH),
    *_NOT_HERE,
)
