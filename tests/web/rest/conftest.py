"""The data face over a real socket and a real file: its routes and error renderer, nothing before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from localsrv.base.errors import LocalsrvError
from localsrv.model.schema_parse import parse_collection
from localsrv.model.scopes import Grant
from localsrv.services.apps import App
from localsrv.store.database import Database
from localsrv.web.addresses import Site
from localsrv.web.context import CALL, Call
from localsrv.web.rest.errors import render
from localsrv.web.rest.routes import ROUTES

Client = TestClient[web.Request, web.Application]

COLLECTIONS: dict[str, dict[str, Any]] = {
    "categories": {"fields": {"id": "integer", "name": {"type": "text", "required": True}}, "key": "id"},
    "products": {
        "fields": {
            "id": "integer",
            "name": {"type": "text", "required": True},
            "price": "decimal",
            "stock": {"type": "integer", "default": 7},
            "category_id": "integer",
            "code": "text",
            "made": "timestamptz",
        },
        "key": "id",
        "unique": ["code"],
        "full_text": ["name"],
        "relations": [{"fields": "category_id", "to": "categories"}],
    },
    "lines": {"fields": {"order": "integer", "part": "text", "count": "integer"}, "key": ["order", "part"]},
    "notes": {},
    "strict": {"fields": {"a": "integer"}, "strict": True, "schema": {"properties": {"a": {"minimum": 0}}}},
}


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "app.db", tmp_path / "blobs")
    await database.define({name: parse_collection(name, d) for name, d in COLLECTIONS.items()})
    await database.insert("categories", [{"id": 1, "name": "Drinks"}, {"id": 2, "name": "Food"}])
    await database.insert(
        "products",
        [
            {"id": n, "name": f"Product {n}", "price": f"{n}.50", "category_id": 1 + n % 2, "code": f"c{n}"}
            for n in range(1, 11)
        ],
    )
    yield database
    await database.close()


@pytest.fixture
async def start(db: Database) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Makes a client whose grant has the given scopes."""
    clients: list[Client] = []
    served = {route.method: route for route in ROUTES} | {"HEAD": ROUTES[0]}

    async def make(*scopes: str) -> Client:
        grant = Grant("g", "test", "*", frozenset(scopes or ("admin",)))

        async def handle(request: web.Request) -> web.StreamResponse:
            route = served[request.method]
            params = {"collection": request.path.rpartition("/")[2]}
            try:
                app = App("shop", cast(Any, None), db)
                request[CALL] = Call(route, params, Site(None, "http://localhost"), app, grant)
                return await route.handler(request)
            except LocalsrvError as error:
                return render(error)

        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", handle)
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def client(start: Callable[..., Awaitable[Client]]) -> Client:
    return await start()
