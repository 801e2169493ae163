"""The whole application on a real loopback socket, inside the test's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from localsrv.base.listeners import listen
from localsrv.base.proof import proof
from localsrv.javascript.pool import JavaScript
from localsrv.outbound.guarded import Outside
from localsrv.server.outside import open_outside
from localsrv.services.apps import Apps
from localsrv.services.audit import Audit
from localsrv.services.codes import Codes
from localsrv.services.design import Design
from localsrv.services.grants import Grants, new_token
from localsrv.services.imports import program
from localsrv.services.pairing import Pairing
from localsrv.services.ports import AppPorts, Opened
from localsrv.services.replication.replicator import Replicator
from localsrv.services.secrets import Secrets
from localsrv.services.signing import Signer
from localsrv.services.tokens import Tokens
from localsrv.services.vaults import Vaults
from localsrv.services.views import Views
from localsrv.store.audit import AuditStore
from localsrv.store.replications import ReplicationStore
from localsrv.store.system import System
from localsrv.store.vault_entries import VaultEntries
from localsrv.web.addresses import Addresses
from localsrv.web.app import Runner
from localsrv.web.context import Services
from localsrv.web.endings import ENDINGS, Ending
from tests.support.leaks import known_of
from tests.support.outside import Names, refuse
from tests.support.vaults import MemoryVault, NoChoice

ALLOWED_ORIGIN = "http://localhost:5173"


@dataclass
class Answer:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class WebServer:
    """A running application. `ask` is a request with the owner's token unless told otherwise."""

    services: Services
    runner: web.AppRunner
    session: aiohttp.ClientSession
    owner: str
    home: Path
    vault: MemoryVault
    names: Names
    stops: list[None] = field(default_factory=list)
    kept: dict[str, int | None] = field(default_factory=dict)
    resolved: list[str] = field(default_factory=list)
    names_lead_here: bool = True

    @property
    def endings(self) -> set[Ending]:
        """The live feeds that are open."""
        assert self.runner.app is not None
        return self.runner.app[ENDINGS]

    async def leave(self) -> None:
        """Stops the server as its process does when it is asked to."""
        async with asyncio.timeout(4):
            await self.runner.cleanup()

    @property
    def port(self) -> int:
        return self.services.addresses.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def origin(self, app: str | None = None) -> str:
        return self.services.addresses.app_origin(app) if app else self.services.addresses.url

    def host(self, app: str | None = None) -> str:
        return self.origin(app).removeprefix("http://")

    def headers(
        self, *, app: str | None = None, token: str | None = "", headers: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Host of the server or of an app, and the token (`""`: the owner's; None: none)."""
        out = {"Host": self.host(app)}
        if token is not None:
            out["Authorization"] = f"Bearer {token or self.owner}"
        return {**out, **(headers or {})}

    async def ask(
        self,
        method: str,
        path: str,
        *,
        app: str | None = None,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        port: int | None = None,
        **options: Any,
    ) -> Answer:
        """One request. `options` go to aiohttp (`json`, `data`, `params`); redirects are not followed.

        `port` is where to connect, if not at the server's own.
        """
        from yarl import URL

        url = self.url if port is None else f"http://127.0.0.1:{port}"
        async with self.session.request(
            method,
            URL(url + path, encoded=True),
            headers=self.headers(app=app, token=token, headers=headers),
            allow_redirects=False,
            **options,
        ) as response:
            body = await response.read()
            known_of(path, response.status, body, response.headers.get("Location"))
            return Answer(response.status, response.headers, body)

    async def raw(self, data: bytes, port: int | None = None) -> bytes:
        """Sends bytes as they are and returns everything that comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        try:
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    async def key(self, app: str, *scopes: str, **more: Any) -> str:
        """A new key's token."""
        made = await self.ask(
            "POST", "/api/v1/keys", json={"name": "test", "app": app, "scopes": list(scopes), **more}
        )
        assert made.status == 201, made.body
        return str(made.json["token"])

    async def make_app(self, app: str, **collections: Any) -> None:
        """An empty app with these collections."""
        made = await self.ask("POST", "/api/v1/apps", json={"id": app, "title": app.title()})
        assert made.status == 201, made.body
        if collections:
            made = await self.ask("PUT", f"/api/v1/apps/{app}/collections", json=collections)
            assert made.status == 201, made.body

    async def fill(self, app: str, collection: str, *documents: Mapping[str, Any]) -> None:
        done = await self.ask(
            "POST", f"/api/v1/apps/{app}/collections/{collection}/import", json=list(documents)
        )
        assert done.status == 200, done.body


@pytest.fixture
async def web_server(tmp_path: Path) -> AsyncIterator[WebServer]:
    """A running application with an empty home, one allowed foreign origin, and a small body limit."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    owner, home = new_token(), tmp_path / "data"
    home.mkdir()
    system = await System.open(home / "system.db")
    audit = Audit(AuditStore(system))
    grants = await Grants.open(system, owner, audit)
    apps = await Apps.start(system, home / "apps", grants)
    stops: list[None] = []

    async def status(probe_vault: bool) -> Mapping[str, Any]:
        return {"pid": 1, "uptime_s": 0.0}

    async def open_port(port: int, or_next: bool) -> Opened:
        opened = listen(["127.0.0.1"], port, or_next=or_next)[0]
        site = web.SockSite(runner, opened.socket)
        await site.start()
        return Opened(opened.port, ("127.0.0.1",), site.stop)

    async def resolves(name: str) -> bool:
        server.resolved.append(name)
        return server.names_lead_here

    def keep(app: str, port: int | None) -> None:
        server.kept[app] = port

    vault = MemoryVault()
    javascript = JavaScript(program())
    design, views = Design(javascript), Views(javascript)
    replicator = await Replicator.start(apps, ReplicationStore(system), vault, design, "test-device")
    main, by_app = listener.getsockname()[1], dict[str, int]()
    name_server = Names()
    vaults = Vaults({"os_keyring": vault}, "os_keyring", await VaultEntries.open(system), audit, NoChoice())
    secrets = Secrets(vaults, audit)
    apps.on_delete.append(secrets.forget_app)
    stack = contextlib.AsyncExitStack()
    outside = await open_outside(
        stack,
        system,
        apps,
        secrets,
        vaults,
        audit,
        lambda: frozenset({main, *by_app.values()}),
        home / "cache",
        outside=Outside(lambda: frozenset({main, *by_app.values()}), lambda: name_server, refuse),
    )
    ports = AppPorts(apps, grants, {}, main, by_app, open_port=open_port, keep=keep, resolves=resolves)
    tokens = Tokens(grants, audit)
    pairing = Pairing(tokens, audit)
    apps.on_remove.append(pairing.forget_app)
    services = Services(
        addresses=Addresses(main, ("my-desk.local",), by_app),
        apps=apps,
        ports=ports,
        grants=grants,
        audit=audit,
        codes=Codes(),
        signer=Signer(),
        status=status,
        prove=partial(proof, owner),
        stop=lambda: stops.append(None),
        allowed_origins=frozenset({ALLOWED_ORIGIN}),
        max_body=1 << 20,
        max_upload=4 << 20,
        extra={
            Design: design,
            Views: views,
            Replicator: replicator,
            Vaults: vaults,
            Secrets: secrets,
            Tokens: tokens,
            Pairing: pairing,
            **outside,
        },
    )
    runner = Runner(services, shutdown_timeout=5)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    async with aiohttp.ClientSession() as session:
        server = WebServer(services, runner, session, owner, home, vault, name_server, stops)
        yield server
    await runner.cleanup()
    await stack.aclose()
    pairing.close()
    await replicator.close()
    await views.close()
    await javascript.close()
    await apps.close()
    await grants.close()
    await audit.close()
    await system.close()
