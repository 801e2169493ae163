"""Kill servers that sync, at any moment: what the sync face acknowledged is there, and everything agrees.

Two servers keep a database in step, both ways and from now on; clients write to both in every way that the
face knows; one or both are killed, and start again with nothing repaired in between.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.server import RunningServer
from tests.support.waiting import wait_until

KILLS = 6

Servers = Callable[..., RunningServer]
Row = dict[str, Any]

COUCH = "/apps/crash/couch"
DOCS = COUCH + "/docs"
ALL = 1_000_000
LARGE = 100_000
"""Bytes: more than what is kept inside the database's file."""
BATCH = 20
WORDS = ("apple", "pear", "plum", "fig")
VIEW = "_design/views/_view/by_n"
DESIGN = {"views": {"by_n": {"map": "function (doc) { emit(doc.n, doc.word) }", "reduce": "_count"}}}
FIELDS = {"n": "integer", "word": "text"}
DEFINITIONS = {
    "docs": {"fields": FIELDS, "indexes": ["n"], "full_text": ["word"]},
    "merged": {"fields": FIELDS, "conflicts": "merge"},
}


def ask(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    answer = server.request(method, path, body)
    assert answer.status < 300, (path, answer.status, answer.body)
    return answer.json()


def define(server: RunningServer) -> None:
    ask(server, "POST", "/api/v1/apps", {"id": "crash", "title": "Crash"})
    ask(server, "PUT", "/api/v1/apps/crash/collections", DEFINITIONS)
    ask(server, "PUT", DOCS + "/_design/views", DESIGN)
    ask(server, "POST", DOCS + "/_index", {"index": {"fields": ["word"]}, "name": "word"})


def keep_in_step(here: RunningServer, there: RunningServer) -> None:
    """Replications both ways, asked for again after each start: there is no keyring to store them with."""
    auth = {"basic": {"username": "owner", "password": there.token}}
    remote = {"url": there.url_by_address + DOCS, "auth": auth}
    for source, target in ((remote, "docs"), ("docs", remote)):
        ask(here, "POST", COUCH + "/_replicate", {"source": source, "target": target, "continuous": True})


def stop_syncing(here: RunningServer) -> None:
    """So that nothing moves while it is looked at."""
    for job in ask(here, "GET", COUCH + "/_scheduler/jobs")["jobs"]:
        ask(here, "POST", COUCH + "/_replicate", {"_local_id": job["id"], "cancel": True})


class Load:
    """What clients do to one server until it goes away, and what they were told.

    Each document belongs to one client, which waits for each answer. `files` in a document names the
    attachments that belong to it with their MD5, so that every revision tells whether it is whole.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.chance = random.Random(seed)
        self.current: dict[str, str] = {}
        """The newest acknowledged revision of live documents."""
        self.promised: dict[str, dict[str, Row]] = {}
        """Acknowledged revisions, and what each says."""
        self.uncertain: set[str] = set()
        """Documents with a write that was not answered."""
        self.acknowledged = 0
        self.kinds: dict[str, int] = {}

    def clients(self, session: aiohttp.ClientSession, base: str) -> list[Awaitable[None]]:
        """Three of the most of them, one of those that cost more."""
        mixed = (self.put, self.inline, self.multipart, self.standalone, self.delete)
        some = [self._forever(session, base, n, mixed) for n in range(3)]
        some += [self._forever(session, base, n, (self.bulk, self.grafted)) for n in range(3, 5)]
        return [*some, self._forever(session, base, 5, (self.merge, self.index, self.view))]

    async def _forever(self, session: aiohttp.ClientSession, base: str, n: int, kinds: Any) -> None:
        while True:
            ident = f"{self.name}-{n}-{self.chance.randrange(30)}"
            if ident in self.uncertain:
                ident += f"-{self.acknowledged}"
            kind = self.chance.choice(kinds)
            try:
                await kind(Client(session, base), ident)
            except (aiohttp.ClientError, ConnectionError):
                return
            self.acknowledged += 1
            self.kinds[kind.__name__] = self.kinds.get(kind.__name__, 0) + 1

    def _row(self, ident: str, **files: bytes) -> Row:
        row = {"_id": ident, "n": self.chance.randrange(100), "word": self.chance.choice(WORDS)}
        return row | {"salt": self.chance.randrange(10**9), "files": {k: _md5(v) for k, v in files.items()}}

    def _edit(self, ident: str, row: Row) -> Row:
        """The row as an edit of what is there."""
        return row | ({"_rev": self.current[ident]} if ident in self.current else {})

    def _promise(self, ident: str, rev: str, row: Row | None) -> None:
        self.uncertain.discard(ident)
        if row is None:
            self.current.pop(ident)
            row = {"_id": ident, "_deleted": True}
        else:
            self.current[ident] = rev
        self.promised.setdefault(ident, {})[rev] = row

    # ── what they do ───────────────────────────────────────────────────────────────────────────────────────

    async def put(self, to: Client, ident: str) -> None:
        row = self._row(ident)
        self.uncertain.add(ident)
        done = await to.ask("PUT", f"/docs/{ident}", json=self._edit(ident, row))
        self._promise(ident, done["rev"], row)

    async def inline(self, to: Client, ident: str) -> None:
        data = self.chance.randbytes(3000)
        row, files = self._row(ident, small=data), {"small": {"data": base64.b64encode(data).decode()}}
        self.uncertain.add(ident)
        done = await to.ask("PUT", f"/docs/{ident}", json={**self._edit(ident, row), "_attachments": files})
        self._promise(ident, done["rev"], row)

    async def multipart(self, to: Client, ident: str) -> None:
        data = self.chance.randbytes(LARGE)
        row, files = self._row(ident, large=data), {"large": {"follows": True, "length": LARGE}}
        text = json.dumps({**self._edit(ident, row), "_attachments": files}).encode()
        head = b"--xyz\r\nContent-Type: application/json\r\n\r\n"
        body = head + text + b"\r\n--xyz\r\n\r\n" + data + b"\r\n--xyz--"
        self.uncertain.add(ident)
        headers = {"Content-Type": 'multipart/related; boundary="xyz"'}
        done = await to.ask("PUT", f"/docs/{ident}", data=body, headers=headers)
        self._promise(ident, done["rev"], row)

    async def standalone(self, to: Client, ident: str) -> None:
        """Another attachment to a document of its own, whose `files` cannot know of it."""
        ident += "-loose"
        data = self.chance.randbytes(self.chance.choice((100, LARGE)))
        rev = f"?rev={self.current[ident]}" if ident in self.current else ""
        self.uncertain.add(ident)
        done = await to.ask("PUT", f"/docs/{ident}/loose{rev}", data=data)
        self._promise(ident, done["rev"], {"_id": ident, "loose": _md5(data)})

    async def delete(self, to: Client, ident: str) -> None:
        if ident not in self.current:
            return await self.put(to, ident)
        self.uncertain.add(ident)
        done = await to.ask("DELETE", f"/docs/{ident}?rev={self.current[ident]}")
        self._promise(ident, done["rev"], None)
        return None

    async def bulk(self, to: Client, ident: str) -> None:
        idents = [f"{ident}-{n}" for n in range(BATCH)]
        rows = [self._row(i) for i in idents if i not in self.uncertain]
        self.uncertain.update(row["_id"] for row in rows)
        done = await to.ask(
            "POST", "/docs/_bulk_docs", json={"docs": [self._edit(r["_id"], r) for r in rows]}
        )
        for row, told in zip(rows, done, strict=True):
            assert "ok" in told, told
            self._promise(row["_id"], told["rev"], row)

    async def grafted(self, to: Client, ident: str) -> None:
        """Revisions made elsewhere, which conflict."""
        rows = [self._row(f"{ident}-graft-{n}") for n in range(3) for _ in range(2)]
        docs = []
        for row in rows:
            row["_revisions"] = {"start": 2, "ids": [_md5(str(row["salt"]).encode()), _md5(ident.encode())]}
            docs.append(row)
        await to.ask("POST", "/docs/_bulk_docs", json={"docs": docs, "new_edits": False})
        for row in rows:
            rev = f"2-{row.pop('_revisions')['ids'][0]}"
            self.promised.setdefault(row["_id"], {})[rev] = row

    async def merge(self, to: Client, ident: str) -> None:
        """Two edits of one revision, of different fields, where conflicts are merged."""
        ident += f"-{self.chance.randrange(10**9)}"
        base = {"_id": ident, "n": 0, "word": "fig"}
        rev = (await to.ask("PUT", f"/merged/{ident}", json=base))["rev"]
        path = rev.partition("-")[2]
        docs = [
            {**base, **change, "_revisions": {"start": 2, "ids": [_md5(f"{ident}{change}".encode()), path]}}
            for change in ({"n": 1}, {"word": "apple"})
        ]
        await to.ask("POST", "/merged/_bulk_docs", json={"docs": docs, "new_edits": False})

    async def index(self, to: Client, ident: str) -> None:
        name = f"made{self.chance.randrange(4)}"
        body = {"index": {"fields": [self.chance.choice(("salt", "n", "word"))]}, "name": name, "ddoc": name}
        await to.ask("POST", "/docs/_index", json=body)

    async def view(self, to: Client, ident: str) -> None:
        await to.ask("GET", f"/docs/{VIEW}")


class Client:
    """One client's way to one server."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session, self._base = session, base

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        async with self._session.request(method, self._base + COUCH + path, **options) as answer:
            assert answer.status < 300, (method, path, answer.status, await answer.text())
            return await answer.json(content_type=None)


def _md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


async def run(
    victims: set[str], servers: dict[str, RunningServer], loads: dict[str, Load], after: float
) -> None:
    """All clients, until `victims` are killed; those of the other server stop then, too."""
    async with aiohttp.ClientSession() as session_a, aiohttp.ClientSession() as session_b:
        tasks = []
        for session, (name, server) in zip((session_a, session_b), servers.items(), strict=True):
            session.headers["Authorization"] = f"Bearer {server.token}"
            tasks += [asyncio.ensure_future(c) for c in loads[name].clients(session, server.url_by_address)]
        await asyncio.sleep(after)  # the moment of the crash, chosen by the caller
        for name in victims:
            servers[name].kill()
        await session_a.close()
        await session_b.close()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            # The clients of a server that lives are stopped by closing their session.
            assert result is None or "closed" in str(result).lower(), repr(result)


# ── afterwards ─────────────────────────────────────────────────────────────────────────────────────────────


def check(server: RunningServer, load: Load, *, is_other: bool = False) -> None:
    """Every promise, and that everything which is made of the documents agrees with them.

    The other server learns of older revisions without what they said.
    """
    told = {ident: list(revs) for ident, revs in load.promised.items()}
    assert ask(server, "POST", DOCS + "/_revs_diff", told) == {}, "acknowledged revisions are lost"
    if not is_other:
        kept_promises(server, load)
    rows = ask(server, "GET", DOCS + "/_all_docs?include_docs=true&attachments=true")["rows"]
    docs = {row["id"]: row["doc"] for row in rows if not row["id"].startswith("_")}
    for doc in docs.values():
        assert is_whole(doc), doc["_id"]
    agree(server, docs, len(rows))
    for ident in load.uncertain:
        load.current.pop(ident, None)
        if ident in docs:
            load.current[ident] = docs[ident]["_rev"]
    load.uncertain.clear()


def kept_promises(server: RunningServer, load: Load) -> None:
    """The newest acknowledged revision of each document says what it was given, and has its attachment."""
    wanted = [
        (ident, rev, row) for ident, revs in load.promised.items() for rev, row in list(revs.items())[-2:]
    ]
    body = {"docs": [{"id": ident, "rev": rev} for ident, rev, _ in wanted]}
    found = ask(server, "POST", DOCS + "/_bulk_get?attachments=true", body)["results"]
    for (ident, rev, row), result in zip(wanted, found, strict=True):
        doc = result["docs"][0]["ok"]
        assert (doc["_id"], doc["_rev"]) == (ident, rev)
        loose = row.get("loose")
        for name, value in row.items():
            if name != "loose":
                assert doc[name] == value, (ident, rev, name)
        assert is_whole(doc)
        if loose is not None:
            assert _md5(base64.b64decode(doc["_attachments"]["loose"]["data"])) == loose


def is_whole(doc: Row) -> bool:
    """Whether a document has the attachments that it says it has, and those have their bytes."""
    found = {k: base64.b64decode(v["data"]) for k, v in doc.get("_attachments", {}).items()}
    for name, data in found.items():
        member = doc["_attachments"][name]
        assert member["digest"] == "md5-" + base64.b64encode(hashlib.md5(data).digest()).decode()
    if "loose" in found or "files" not in doc:
        return True
    return bool(doc["files"] == {name: _md5(data) for name, data in found.items()})


def agree(server: RunningServer, docs: dict[str, Row], total: int) -> None:
    """The counts, the feed, Mango, the columns, the full-text index and the view say the same."""
    assert ask(server, "GET", DOCS)["doc_count"] == total
    feed = ask(server, "GET", f"{DOCS}/_changes?limit={ALL}")["results"]
    assert len({change["id"] for change in feed}) == len(feed)
    live = {c["id"]: c["changes"][0]["rev"] for c in feed if not c.get("deleted")}
    assert {i: rev for i, rev in live.items() if i[0] != "_"} == {i: d["_rev"] for i, d in docs.items()}
    for word in WORDS:
        expected = {(d["_id"], d["_rev"]) for d in docs.values() if d.get("word") == word}
        query = {"selector": {"word": word}, "fields": ["_id", "_rev"], "limit": ALL}
        assert ask(server, "POST", DOCS + "/_explain", query)["index"]["type"] == "json"
        found = ask(server, "POST", DOCS + "/_find", query)["docs"]
        assert {(d["_id"], d["_rev"]) for d in found} == expected
        for condition in (f"word=eq.{word}", f"word=wfts.{word}"):
            rows = ask(server, "GET", f"/apps/crash/rest/v1/docs?select=id,_rev&{condition}")
            assert {(r["id"], r["_rev"]) for r in rows} == expected, condition
    rows = ask(server, "GET", f"{DOCS}/{VIEW}?reduce=false")["rows"]
    seen = sorted((r["id"], r["key"] or 0, r["value"] or "") for r in rows)
    assert seen == sorted((d["_id"], d.get("n", 0), d.get("word", "")) for d in docs.values())
    assert ask(server, "GET", f"{DOCS}/{VIEW}")["rows"][0]["value"] == len(rows)


def trees(server: RunningServer, name: str) -> dict[str, list[str]]:
    path = f"{COUCH}/{name}/_changes?style=all_docs&limit={ALL}"
    return {row["id"]: [c["rev"] for c in row["changes"]] for row in ask(server, "GET", path)["results"]}


def settled(server: RunningServer) -> bool:
    """Whether every pair of edits in `merged` became one document of both."""
    rows = ask(server, "GET", f"{COUCH}/merged/_all_docs?include_docs=true&conflicts=true")["rows"]
    docs = [row["doc"] for row in rows]
    assert all(
        "_conflicts" in d or d["_rev"][:2] in ("1-", "2-") or (d["n"], d["word"]) == (1, "apple")
        for d in docs
    )
    return not any("_conflicts" in doc for doc in docs)


@pytest.mark.timeout(600)
def test_kills_while_two_servers_sync(servers: Servers, tmp_path: Path) -> None:
    running = {name: servers(tmp_path / name) for name in "ab"}
    for server in running.values():
        define(server)
    keep_in_step(running["a"], running["b"])
    loads = {name: Load(name, seed) for seed, name in enumerate(running)}
    chance = random.Random(3)
    for number in range(KILLS):
        victims = {("a",), ("b",), ("a", "b")}
        chosen = set(sorted(victims)[number % 3])
        asyncio.run(run(chosen, running, loads, chance.uniform(0.1, 1.2)))
        for name in chosen:
            running[name] = servers(tmp_path / name, port=running[name].port)
        stop_syncing(running["a"])
        for name, server in running.items():
            check(server, loads[name])
        keep_in_step(running["a"], running["b"])
    assert all(load.acknowledged > KILLS * 5 for load in loads.values())
    a, b = running.values()
    wait_until(lambda: trees(a, "docs") == trees(b, "docs"), what="both the same", seconds=60)
    stop_syncing(a)
    for server in running.values():
        wait_until(partial(settled, server), what="conflicts merged", seconds=30)
    for name, server in running.items():
        load = loads[name]
        check(server, load)
        check(b if server is a else a, load, is_other=True)
        assert "Traceback" not in server.output(), server.output()[-5000:]
    for name, server in running.items():
        server.stop()
        for file in (tmp_path / name).glob("data/apps/crash/*.db"):
            with closing(sqlite3.connect(file)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
