"""Who asks, as design documents' functions are told it, and what these have to say in a write."""

from __future__ import annotations

from aiohttp import web

from localsrv.base.errors import Forbidden
from localsrv.model.scopes import ADMIN
from localsrv.services.design import Design, UserContext
from localsrv.store.review import Review
from localsrv.web.context import call, database, grant, services


def user_of(request: web.Request) -> UserContext:
    """The grant's name, a paired client's id; an admin of the app has CouchDB's role for that."""
    here = call(request)
    holder = grant(request)
    is_admin = holder.allows(None if here.app is None else here.app.id, ADMIN)
    return UserContext(holder.user, ("_admin",) if is_admin else ())


async def reviewer(request: web.Request, collection: str) -> Review | None:
    """What `validate_doc_update` says of a statement's writes; None where nobody has a say in them.

    Every write that is no edit of the sync face's takes it along. See `services.design.Design.reviewer`.

    Raises:
        Forbidden: a system database, which only its own service writes: it keeps credentials out of it.
    """
    if collection.startswith("_"):
        raise Forbidden(
            f"`{collection}` is not written here.",
            code="system-database",
            details=collection,
            hint="Use localsrv sync, /api/v1/apps/<app>/replications or the sync face.",
        )
    db = database(request)
    if not db.has_design_documents:  # nearly always, so it must cost nothing
        return None
    design: Design = services(request).extra[Design]
    return await design.reviewer(db, collection, user_of(request))
