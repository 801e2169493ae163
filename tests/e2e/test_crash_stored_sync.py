"""Kill servers whose replications are stored, their password in a real keyring: each start goes on by itself.

The collection lets the latest stand, so whoever is killed in the middle of settling conflicts must, with the
other, come to the same documents and the same trees in the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.secret_service import secret_service
from tests.support.server import RunningServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only on Linux: the keyring of the test is gnome-keyring"
)

Servers = Callable[..., RunningServer]

COUCH = "/apps/crash/couch"
DEFINITIONS = {"notes": {"fields": {"at": "integer", "text": "text"}, "conflicts": {"latest": "at"}}}
DOCUMENTS = 25
VICTIMS = ("a", "b", "ab", "a", "ab")
"""Who is killed; the replications are stored at `a`."""


def ask(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    answer = server.request(method, path, body)
    assert answer.status < 300, (path, answer.status, answer.body)
    return answer.json()


def root(ident: str) -> str:
    return hashlib.md5(ident.encode(), usedforsecurity=False).hexdigest()


class Writers:
    """What clients of one server make: edits of the first revision of documents, all in conflict.

    `promised` has every acknowledged revision with its moment, by document; `doubtful` those not answered.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.chance = random.Random(seed)
        self.promised: dict[str, dict[str, int]] = {}
        self.doubtful: dict[str, dict[str, int]] = {}

    async def write(self, server: RunningServer) -> None:
        """Writes until the server goes away."""
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.token}"}) as session:
            while True:
                ident = f"note{self.chance.randrange(DOCUMENTS)}"
                at = self.chance.randrange(10**9)
                revision = f"2-{root(f'{ident}-{at}')}"
                self.doubtful.setdefault(ident, {})[revision] = at
                path = {"start": 2, "ids": [revision[2:], root(ident)]}
                edit = {"_id": ident, "_revisions": path, "at": at, "text": f"by {self.name}"}
                url = f"{server.url_by_address}{COUCH}/notes/_bulk_docs"
                try:
                    async with session.post(url, json={"docs": [edit], "new_edits": False}) as answer:
                        assert (answer.status, await answer.json()) == (201, [])
                except (aiohttp.ClientError, ConnectionError):
                    return
                self.promised.setdefault(ident, {})[revision] = self.doubtful[ident].pop(revision)


async def until_killed(
    servers: dict[str, RunningServer], victims: str, writers: dict[str, Writers], after: float
) -> None:
    """Both have their clients until `victims` are killed; those of the other server stop then, too."""
    tasks = {name: asyncio.ensure_future(writers[name].write(server)) for name, server in servers.items()}
    await asyncio.sleep(after)  # the moment of the crash, chosen by the caller
    for name in victims:
        servers[name].kill()
    for name, task in tasks.items():
        if name in victims:
            await task
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


def trees(server: RunningServer) -> dict[str, list[str]]:
    rows = ask(server, "GET", f"{COUCH}/notes/_changes?style=all_docs&limit=100000")["results"]
    return {row["id"]: sorted(change["rev"] for change in row["changes"]) for row in rows}


def notes(server: RunningServer) -> dict[str, Any]:
    rows = ask(server, "GET", f"{COUCH}/notes/_all_docs?include_docs=true&conflicts=true")["rows"]
    return {row["id"]: row["doc"] for row in rows}


def is_settled(server: RunningServer) -> bool:
    return not any("_conflicts" in doc for doc in notes(server).values())


def store_replications(here: RunningServer, there: RunningServer) -> str:
    """One each way, in `_replicator`, and the password that they are stored with."""
    wanted = {"name": "peer", "app": "crash", "scopes": ["sync"]}
    password: str = ask(there, "POST", "/api/v1/keys", wanted)["token"]
    auth = {"basic": {"username": "peer", "password": password}}
    remote = {"url": f"{there.url_by_address}{COUCH}/notes", "auth": auth}
    ask(here, "PUT", f"{COUCH}/_replicator")
    for name, source, target in (("pull", remote, "notes"), ("push", "notes", remote)):
        definition = {"source": source, "target": target, "continuous": True}
        ask(here, "PUT", f"{COUCH}/_replicator/{name}", definition)
    return password


@pytest.mark.timeout(300)
def test_stored_replications_go_on_after_kills(servers: Servers, tmp_path: Path) -> None:
    with secret_service(tmp_path / "keyring") as found:
        keyring = {name: found[name] for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")}
        options: dict[str, dict[str, Any]] = {
            "a": {"env": {**keyring, "PYTHON_KEYRING_BACKEND": None}},
            "b": {},
        }
        running = {name: servers(tmp_path / name, **options[name]) for name in "ab"}
        for server in running.values():
            ask(server, "POST", "/api/v1/apps", {"id": "crash", "title": "Crash"})
            ask(server, "PUT", "/api/v1/apps/crash/collections", DEFINITIONS)
        password = store_replications(running["a"], running["b"])
        writers = {name: Writers(name, seed) for seed, name in enumerate(running)}
        chance = random.Random(5)
        for victims in VICTIMS:
            asyncio.run(until_killed(running, victims, writers, chance.uniform(0.2, 1.0)))
            for name in victims:
                running[name] = servers(tmp_path / name, port=running[name].port, **options[name])
        a, b = running.values()
        wait_until(lambda: trees(a) == trees(b), what="both the same", seconds=90)
        for server in (a, b):
            wait_until(partial(is_settled, server), what="the latest standing", seconds=60)
        wait_until(lambda: trees(a) == trees(b), what="both the same when all is settled", seconds=60)
        check(a, b, writers)
        for name, server in running.items():
            assert server.stop() == 0, server.output()
            assert "Traceback" not in server.output(), server.output()[-5000:]
            home = tmp_path / name
            for file in home.rglob("*.db"):
                with closing(sqlite3.connect(file)) as connection:
                    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            files = [file for file in home.rglob("*") if file.is_file()]
            assert not [file for file in files if password.encode() in file.read_bytes()]


def check(a: RunningServer, b: RunningServer, writers: dict[str, Writers]) -> None:
    """No acknowledged revision is missing on either side, and the latest of all stands on both."""
    assert notes(a) == notes(b)
    promised: dict[str, dict[str, int]] = {}
    for writer in writers.values():
        assert sum(map(len, writer.promised.values())) > 20
        for ident, revisions in writer.promised.items():
            promised.setdefault(ident, {}).update(revisions)
    told = {ident: list(revisions) for ident, revisions in promised.items()}
    for server in (a, b):
        assert ask(server, "POST", f"{COUCH}/notes/_revs_diff", told) == {}
    for ident, document in notes(a).items():
        moments = list(promised.get(ident, {}).values())
        doubtful = {at for writer in writers.values() for at in writer.doubtful.get(ident, {}).values()}
        latest = max(moments, default=-1)
        assert document["at"] == latest or (document["at"] > latest and document["at"] in doubtful), ident
