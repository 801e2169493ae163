"""Every route of the sync face, one line for each module."""

from __future__ import annotations

from localsrv.web.couch import (
    attachments,
    bulk,
    bulk_get,
    copy,
    databases,
    documents,
    local,
    revisions,
    server,
)
from localsrv.web.routes import Route

ROUTES: tuple[Route, ...] = (
    *server.ROUTES,
    *databases.ROUTES,
    *bulk.ROUTES,
    *revisions.ROUTES,
    *local.ROUTES,
    *bulk_get.ROUTES,
    *documents.ROUTES,
    *copy.ROUTES,
    *attachments.ROUTES,
)
