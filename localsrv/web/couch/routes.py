"""Every route of the sync face, one line for each module."""

from __future__ import annotations

from localsrv.web.couch import (
    all_docs,
    attachments,
    bulk,
    bulk_get,
    changes,
    config,
    copy,
    databases,
    design,
    documents,
    find,
    local,
    maintenance,
    replicate,
    revisions,
    scheduler,
    server,
    session,
    shards,
    views,
)
from localsrv.web.routes import Route

ROUTES: tuple[Route, ...] = (
    *server.ROUTES,
    *session.ROUTES,
    *config.ROUTES,
    *replicate.ROUTES,
    *scheduler.ROUTES,
    *databases.ROUTES,
    *maintenance.ROUTES,
    *shards.ROUTES,
    *bulk.ROUTES,
    *all_docs.ROUTES,
    *changes.ROUTES,
    *find.ROUTES,
    *views.ROUTES,
    *design.ROUTES,
    *revisions.ROUTES,
    *local.ROUTES,
    *bulk_get.ROUTES,
    *documents.ROUTES,
    *copy.ROUTES,
    *attachments.ROUTES,
)
