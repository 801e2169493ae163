"""Kill the server at any moment: what it acknowledged is there, and nothing is half there."""

from __future__ import annotations

import asyncio
import io
import json
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.server import RunningServer

KILLS = 50
BATCH = 40

Servers = Callable[..., RunningServer]


@dataclass
class Promise:
    """What a document must look like: `sure` was acknowledged; `maybe` was asked for and not answered.

    A document is a value or None for absent. A promise belongs to one client, which waits for each answer.
    """

    sure: Any = None
    maybe: list[Any] = field(default_factory=list)

    def allows(self, found: Any) -> bool:
        return found == self.sure or found in self.maybe


def define(server: RunningServer) -> None:
    """An app with a collection of one keyed counter per client and one for batches."""
    fields = {"n": "integer", "value": "integer"}
    definitions = {
        "single": {"fields": fields, "key": "n", "indexes": ["value"]},
        "batches": {"fields": {"batch": "integer", "row": "integer"}, "indexes": ["batch"]},
    }
    assert server.request("POST", "/api/v1/apps", {"id": "crash", "title": "Crash"}).status in (200, 201)
    answer = server.request("PUT", "/api/v1/apps/crash/collections", definitions)
    assert answer.status in (200, 201), answer.body


class Load:
    """Several clients writing at once until the server goes away."""

    def __init__(self, seed: int, singles: dict[int, Promise], batches: dict[int, bool]) -> None:
        self.chance = random.Random(seed)
        self.singles = singles
        self.batches = batches
        self.acknowledged = 0

    async def run(self, server: RunningServer, after: float) -> None:
        base = f"{server.url_by_address}/apps/crash/rest/v1"
        headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
        async with aiohttp.ClientSession(headers=headers) as session:
            clients = [asyncio.ensure_future(self._single(session, base, n)) for n in range(8)]
            clients += [asyncio.ensure_future(self._batch(session, base)) for _ in range(2)]
            await asyncio.sleep(after)  # the moment of the crash, chosen by the caller
            server.kill()
            await asyncio.gather(*clients)

    async def _single(self, session: aiohttp.ClientSession, base: str, client: int) -> None:
        """Creates, changes and deletes documents of its own."""
        while True:
            n = client * 1_000_000 + self.chance.randrange(200)
            promise = self.singles.setdefault(n, Promise())
            value: int | None = self.chance.randrange(10**9)
            if promise.sure is None:
                request = session.post(f"{base}/single", json={"n": n, "value": value})
            elif self.chance.random() < 0.3:
                value = None
                request = session.delete(f"{base}/single?n=eq.{n}")
            else:
                request = session.patch(f"{base}/single?n=eq.{n}", json={"value": value})
            promise.maybe.append(value)
            try:
                async with request as answer:
                    assert answer.status in (200, 201, 204), await answer.text()
            except (aiohttp.ClientError, ConnectionError):
                return
            promise.sure, promise.maybe = value, []
            self.acknowledged += 1

    async def _batch(self, session: aiohttp.ClientSession, base: str) -> None:
        while True:
            batch = len(self.batches)
            self.batches[batch] = False
            rows = [{"batch": batch, "row": r} for r in range(BATCH)]
            try:
                async with session.post(f"{base}/batches", json=rows) as answer:
                    assert answer.status == 201, await answer.text()
            except (aiohttp.ClientError, ConnectionError):
                return
            self.batches[batch] = True
            self.acknowledged += 1


def check(server: RunningServer, load: Load) -> None:
    """Compares the server's data with every promise, then settles what was uncertain."""
    path = "/apps/crash/rest/v1/single?select=n,value"
    found = {row["n"]: row["value"] for row in server.request("GET", path).json()}
    for n, promise in load.singles.items():
        assert promise.allows(found.get(n)), (n, promise, found.get(n))
        promise.sure, promise.maybe = found.get(n), []
    counts: dict[int, int] = {}
    for row in server.request("GET", "/apps/crash/rest/v1/batches?select=batch").json():
        counts[row["batch"]] = counts.get(row["batch"], 0) + 1
    assert set(counts.values()) <= {BATCH}, "a batch is half there"
    for batch, acknowledged in load.batches.items():
        assert not acknowledged or batch in counts, f"acknowledged batch {batch} is lost"
        load.batches[batch] = batch in counts


@pytest.mark.timeout(600)
def test_fifty_kills_under_mixed_load_lose_nothing(servers: Servers, tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = servers(home)
    define(server)
    chance = random.Random(20)
    load = Load(4, {}, {})
    for _ in range(KILLS):
        asyncio.run(load.run(server, chance.uniform(0.02, 0.25)))
        server = servers(home)  # nothing is repaired in between
        check(server, load)
    assert load.acknowledged > KILLS * 10
    file = next(home.glob("data/apps/crash/app.db"))
    server.stop()
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@pytest.mark.timeout(300)
def test_killed_in_the_middle_of_a_bulk_insert(servers: Servers, tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = servers(home)
    define(server)
    rows = json.dumps([{"batch": 1, "row": n, "note": "x" * 50} for n in range(60_000)]).encode()
    seen = set()
    for after in (0.05, 0.2, 0.4, 0.6, 0.9):
        acknowledged = asyncio.run(_bulk(server, rows, after))
        server = servers(home)
        count = int(
            server.request(
                "HEAD", "/apps/crash/rest/v1/batches?select=batch&limit=1", headers={"Prefer": "count=exact"}
            )
            .headers["content-range"]
            .split("/")[1]
        )
        assert count in ((60_000,) if acknowledged else (0, 60_000))
        seen.add(count)
        if count:
            answer = server.request("DELETE", "/apps/crash/rest/v1/batches?batch=eq.1")
            assert answer.status == 204
    assert 0 in seen, "no kill came before the commit"


async def _bulk(server: RunningServer, rows: bytes, after: float) -> bool:
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    url = f"{server.url_by_address}/apps/crash/rest/v1/batches"
    async with aiohttp.ClientSession(headers=headers) as session:

        async def send() -> bool:
            try:
                async with session.post(url, data=io.BytesIO(rows)) as answer:
                    return answer.status == 201
            except (aiohttp.ClientError, ConnectionError):
                return False

        sending = asyncio.ensure_future(send())
        await asyncio.sleep(after)  # somewhere between the first byte and the answer
        server.kill()
        return await sending
