"""An app whose data somebody wants, and a web site of somebody else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.server import RunningServer

VENDOR = Path(__file__).parents[3] / "localsrv" / "sample" / "inventory" / "ui" / "vendor"
ITEMS = {"fields": {"name": "text"}}


@pytest.fixture
def shop(server: RunningServer) -> RunningServer:
    """A server with the apps `shop` and `other`, each with a row in `items`."""
    for app in ("shop", "other"):
        assert server.request("POST", "/api/v1/apps", {"id": app, "title": app.title()}).status == 201
        made = server.request("PUT", f"/api/v1/apps/{app}/collections", {"items": ITEMS})
        assert made.status == 201, made.body
        added = server.request("POST", f"/apps/{app}/rest/v1/items", {"name": "apple"})
        assert added.status == 201, added.body
    return server


@dataclass
class Site:
    """A web server of somebody else: pages by their path, and the libraries that they use."""

    pages: dict[str, str] = field(default_factory=dict)
    port: int = 0

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.path in ("/supabase.js", "/pouchdb.js"):
            return web.FileResponse(VENDOR / request.path[1:])
        page = self.pages.get(request.path, "<!doctype html><title>A page</title>")
        return web.Response(text=page, content_type="text/html")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    application = web.Application()
    application.router.add_get("/{path:.*}", made.serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


def as_js(value: object) -> str:
    """A value in the text of a script."""
    return json.dumps(value).replace("<", "\\u003c")
