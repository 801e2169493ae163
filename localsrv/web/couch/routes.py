"""Every route of the sync face, one line for each module."""

from __future__ import annotations

from localsrv.web.couch import server
from localsrv.web.routes import Route

ROUTES: tuple[Route, ...] = (*server.ROUTES,)
