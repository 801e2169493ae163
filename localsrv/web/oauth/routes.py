"""Every route of OAuth, on the server's own host."""

from __future__ import annotations

from localsrv.web.oauth import authorize, metadata, token
from localsrv.web.routes import Route

ROUTES: tuple[Route, ...] = (*metadata.ROUTES, *authorize.ROUTES, *token.ROUTES)
