"""Who asks, as CouchDB tells it: `userCtx` of sessions, and of what design documents' functions are told."""

from __future__ import annotations

from aiohttp import web

from localsrv.model.scopes import ADMIN
from localsrv.services.design import UserContext
from localsrv.web.context import call, grant


def user_of(request: web.Request) -> UserContext:
    """The grant's name; an admin of the app has CouchDB's role for that."""
    here = call(request)
    holder = grant(request)
    is_admin = holder.allows(None if here.app is None else here.app.id, ADMIN)
    return UserContext(holder.name, ("_admin",) if is_admin else ())
