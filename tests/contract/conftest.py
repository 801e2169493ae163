"""Two databases, each reached as a peer in this process or over HTTP, on a running server."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from localsrv.model.replication import Credentials, Endpoint, Replication, parse_replication
from localsrv.outbound.couch_peer import CouchPeer
from localsrv.services.design import Design
from localsrv.services.replication.local_peer import LocalPeer
from localsrv.services.replication.peer import Peer
from localsrv.services.replication.progress import Progress
from localsrv.services.replication.rules import AppRules
from localsrv.services.replication.run import Plan, Run
from localsrv.store.database import Database
from tests.web.conftest import WebServer, web_server

__all__ = ["web_server"]

KINDS = ("local", "http")


@dataclass
class Replica:
    """One database: `database` to look into it, `peer` to replicate it."""

    server: WebServer
    kind: str
    app: str
    name: str
    database: Database

    @property
    def endpoint(self) -> Any:
        if self.kind == "local":
            return self.name
        return {"url": f"{self.server.url}/apps/{self.app}/couch/{self.name}"}

    def peer(self, endpoint: Endpoint, options: Replication) -> Peer:
        if self.kind == "http":
            return CouchPeer(endpoint, Credentials("owner", self.server.owner), options)
        rules = AppRules(options, self.database, self.server.services.extra[Design])
        return LocalPeer(self.database, endpoint, options, rules)


@dataclass
class Pair:
    """A source and a target. `run` replicates; `progress` and `notes` are of the newest run."""

    source: Replica
    target: Replica
    progress: Progress = field(default_factory=Progress)
    notes: list[str] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)

    def prepare(self, **options: Any) -> Run:
        """A run that did not begin yet."""
        body = {"source": self.source.endpoint, "target": self.target.endpoint, **options}
        parsed, _ = parse_replication(body)
        source = self.source.peer(parsed.source, parsed)
        target = self.target.peer(parsed.target, parsed)
        self.peers += [source, target]
        self.progress, self.notes = Progress(), []
        plan = Plan(parsed, source, target, parsed.base_id("device", "app"), secrets.token_hex(16))
        return Run(plan, self.progress, lambda kind, text: self.notes.append(kind))

    async def run(self, **options: Any) -> dict[str, Any]:
        return await self.prepare(**options).run()


@pytest.fixture(params=[(a, b) for a in KINDS for b in KINDS], ids=lambda kinds: "-".join(kinds))
async def pair(request: pytest.FixtureRequest, web_server: WebServer) -> AsyncIterator[Pair]:
    """An empty source and an empty target, in two apps."""
    replicas = []
    for app, kind, name in zip(("one", "two"), request.param, ("from", "into"), strict=True):
        await web_server.make_app(app)
        database = (await web_server.services.apps.open(app)).database
        await database.create_database(name)
        replicas.append(Replica(web_server, kind, app, name, database))
    made = Pair(*replicas)
    yield made
    for peer in made.peers:
        await peer.close()
