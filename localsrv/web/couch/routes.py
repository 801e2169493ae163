"""Every route of the sync face, one line for each module."""

from __future__ import annotations

from localsrv.web.couch import (
    all_docs,
    attachments,
    bulk,
    bulk_get,
    changes,
    copy,
    databases,
    design,
    documents,
    local,
    replicate,
    revisions,
    scheduler,
    server,
    views,
)
from localsrv.web.routes import Route

ROUTES: tuple[Route, ...] = (
    *server.ROUTES,
    *replicate.ROUTES,
    *scheduler.ROUTES,
    *databases.ROUTES,
    *bulk.ROUTES,
    *all_docs.ROUTES,
    *changes.ROUTES,
    *views.ROUTES,
    *design.ROUTES,
    *revisions.ROUTES,
    *local.ROUTES,
    *bulk_get.ROUTES,
    *documents.ROUTES,
    *copy.ROUTES,
    *attachments.ROUTES,
)
