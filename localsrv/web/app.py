"""The whole server on one screen: what stands before the routes, and every route table.

Order of a request: exact Host → preflight → Origin and Sec-Fetch-Site → route → token → scope → the app's
database → handler → one error renderer per face → headers that every answer carries (`web.dispatch`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web

from localsrv.web import cache, connections, endings, errors, integrations, live, openapi
from localsrv.web.admin import (
    apps,
    attachments,
    audit,
    challenge,
    codes,
    collections,
    conflicts,
    documents,
    grants,
    imports,
    keys,
    query,
    replications,
    requests,
    secrets,
    server,
    session,
    sign,
    vault,
)
from localsrv.web.admin import integrations as integration_settings
from localsrv.web.context import SERVICES, Services
from localsrv.web.couch import errors as couch_errors
from localsrv.web.couch import routes as couch
from localsrv.web.couch.changes_hub import Hubs
from localsrv.web.couch.changes_live import HUBS
from localsrv.web.dispatch import Dispatcher
from localsrv.web.oauth import errors as oauth_errors
from localsrv.web.oauth import routes as oauth
from localsrv.web.protocol import Server
from localsrv.web.rest import errors as rest_errors
from localsrv.web.rest import routes as rest
from localsrv.web.routes import Face, Route, RouteTable

ADMIN_ROUTES: tuple[Route, ...] = (
    *server.ROUTES,
    *openapi.ROUTES,
    *apps.ROUTES,
    *collections.ROUTES,
    *documents.ROUTES,
    *attachments.ROUTES,
    *conflicts.ROUTES,
    *imports.ROUTES,
    *replications.ROUTES,
    *integration_settings.ROUTES,
    *live.ROUTES,
    *query.ROUTES,
    *sign.ROUTES,
    *secrets.ROUTES,
    *vault.ROUTES,
    *keys.ROUTES,
    *codes.ROUTES,
    *session.ROUTES,
    *grants.ROUTES,
    *requests.ROUTES,
    *audit.ROUTES,
    *challenge.ROUTES,
    *oauth.ROUTES,
)
"""`/api/v1/…` and `/oauth/…`, on the server's own host; what names an app also on that app's host."""

APP_ROUTES: tuple[Route, ...] = (
    *openapi.APP_ROUTES,
    *rest.ROUTES,
    *couch.ROUTES,
    *integrations.ROUTES,
    *cache.ROUTES,
)
"""Below an app's base: `/apps/{app}/…`, and at the root of its own host."""

RENDERERS = {
    Face.API: errors.render,
    Face.REST: rest_errors.render,
    Face.COUCH: couch_errors.render,
    Face.INTEGRATIONS: integrations.render,
    Face.CACHE: errors.render,
    Face.OAUTH: oauth_errors.render,
}


def served() -> Iterator[tuple[str, Route]]:
    """Every route with the path that the server's own host serves it at."""
    for route in ADMIN_ROUTES:
        yield route.path, route
    for route in APP_ROUTES:
        yield "/apps/{app}" + route.path, route


class Runner(web.AppRunner):
    """aiohttp's runner of the whole server, with every request handed to the dispatcher.

    `options` are those of `web.AppRunner`. The lifetime of `services` is the caller's.
    """

    def __init__(self, services: Services, **options: Any) -> None:
        app = web.Application(client_max_size=services.max_body)
        app[SERVICES] = services
        routes = app[openapi.SERVED] = tuple(served())
        app[endings.ENDINGS] = set()
        app[HUBS] = Hubs()
        app.on_shutdown.append(endings.end_all)
        self._dispatcher = Dispatcher(app, services, RouteTable(routes), RENDERERS)
        # Bodies are uncompressed where they are read, in bounded steps (`web.incoming`).
        super().__init__(app, access_log=None, handle_signals=False, auto_decompress=False, **options)

    async def _make_server(self) -> web.Server:
        """As aiohttp's, with our dispatcher and our connections. There is no public way to give it either."""
        made = await super()._make_server()
        server = Server(
            self._dispatcher.handle,  # type: ignore[arg-type] # the requests of its factory are web.Requests
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
        server.most_connections = connections.limit()
        return server
