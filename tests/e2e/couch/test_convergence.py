"""One page, one program, two servers: each edits while apart, and all end with the same revisions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.e2e.couch.conftest import HERE, make_app, make_key
from tests.support.commands import NODE_MODULES
from tests.support.server import RunningServer
from tests.support.waiting import wait_until

POUCHDB = NODE_MODULES / "pouchdb" / "dist" / "pouchdb.min.js"
Servers = Callable[..., RunningServer]
Leaves = dict[str, list[str]]

# Every leaf of every document of `db`, live or deleted: id → revisions.
LEAVES = """async () => Object.fromEntries((await db.changes({ style: "all_docs" })).results
  .filter(({ id }) => !id.startsWith("_design/"))
  .sort((a, b) => (a.id < b.id ? -1 : 1))
  .map(({ id, changes }) => [id, changes.map(({ rev }) => rev).sort()]))"""


class Program:
    """PouchDB in Node, a database in memory, told what to do line by line."""

    def __init__(self, node: str, url: str, key: str) -> None:
        self.process = subprocess.Popen(
            [node, str(HERE / "program.mjs")],
            env=os.environ | {"COUCH_URL": url, "COUCH_USER": "program", "COUCH_PASSWORD": key},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str) -> Any:
        """What an asynchronous function with this body gives; `db` and `server` are there."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer.get("value")

    def end(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


@pytest.fixture
def hub(servers: Servers, tmp_path: Path) -> RunningServer:
    """A server with an app that serves PouchDB, and a page that does nothing by itself."""
    if not POUCHDB.exists():
        pytest.skip("pouchdb is not installed")
    folder = tmp_path / "notes"
    (folder / "ui").mkdir(parents=True)
    (folder / "app.toml").write_text('id = "notes"\ntitle = "Notes"\nversion = "1"\n')
    (folder / "ui" / "index.html").write_text('<!doctype html><script src="pouchdb.min.js"></script>')
    shutil.copy(POUCHDB, folder / "ui")
    server = servers(tmp_path / "hub")
    added = server.request("POST", "/api/v1/apps", {"path": str(folder)})
    assert added.status in (200, 201), added.body
    assert server.request("PUT", "/apps/notes/couch/notes").status == 201
    return server


@pytest.fixture
def program(hub: RunningServer) -> Iterator[Program]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    started = Program(node, f"{hub.url}/apps/notes/couch", make_key(hub, "program", "notes", "sync"))
    yield started
    started.end()


@pytest.fixture
def second(servers: Servers, tmp_path: Path, hub: RunningServer) -> RunningServer:
    """Another server, which keeps its collection in step with the hub's by itself."""
    server = servers(tmp_path / "second")
    make_app(server, "copy")
    key = make_key(hub, "second", "notes", "sync")
    there = f"http://second:{key}@localhost:{hub.port}/apps/notes/couch/notes"
    for source, target in ((there, "notes"), ("notes", there)):
        body = {"source": source, "target": target, "create_target": target == "notes", "continuous": True}
        started = server.request("POST", "/apps/copy/couch/_replicate", body)
        assert started.status in (200, 202), started.body
    return server


def leaves_of(server: RunningServer, app: str) -> Leaves:
    found = server.request("GET", f"/apps/{app}/couch/notes/_changes?style=all_docs").json()
    return {row["id"]: sorted(change["rev"] for change in row["changes"]) for row in found["results"]}


async def test_all_end_with_the_same(
    hub: RunningServer, second: RunningServer, program: Program, page: Page
) -> None:
    await page.goto(hub.origin("notes"))
    key = make_key(hub, "page", "notes", "sync", origin=hub.origin("notes"))
    start = """([key]) => {
      globalThis.db = new PouchDB("notes");
      const auth = { username: "page", password: key };
      const server = new PouchDB(location.origin + "/couch/notes", { auth });
      globalThis.sync = db.sync(server, { live: true, retry: true, back_off_function: () => 100 });
    }"""
    await page.evaluate(start, [key])
    program.run("globalThis.sync = db.sync(server, { live: true, retry: true })")
    await page.evaluate("() => db.put({ _id: 'list', items: ['milk'] })")
    program.run("await seen(db, 'list')")
    wait_until(lambda: "list" in leaves_of(second, "copy"), what="the list on the second server")

    await page.context.set_offline(True)
    await page.evaluate(
        """async () => {
          const list = await db.get("list");
          await db.put({ ...list, items: [...list.items, "bread"] });
          await db.put({ _id: "from the page", _attachments: {
            "photo.bin": { content_type: "image/png", data: new Blob([new Uint8Array(70000).fill(7)]) } } });
        }"""
    )
    program.run("await db.put({ ...(await db.get('list')), items: ['milk', 'jam'] })")
    program.run("await db.put({ _id: 'gone' }); await db.remove(await db.get('gone'))")
    base = "/apps/copy/couch/notes"
    assert second.request("PUT", f"{base}/second", {"from": "the second server"}).status == 201
    await page.context.set_offline(False)

    def settled() -> Leaves | None:
        found = leaves_of(hub, "notes")
        both = set(found) == {"list", "from the page", "gone", "second"} and len(found["list"]) == 2
        return found if both and leaves_of(second, "copy") == found else None

    expected = wait_until(settled, what="the same leaves on both servers", seconds=40)
    await page.wait_for_function(
        f"async (all) => JSON.stringify(await ({LEAVES})()) === all", arg=_text(expected)
    )
    program.run(
        f"await until(async () => JSON.stringify(await ({LEAVES})()) === {json.dumps(_text(expected))})"
    )
    winner = hub.request("GET", "/apps/notes/couch/notes/list").json()["items"]
    assert await page.evaluate("async () => (await db.get('list')).items") == winner
    assert program.run("return (await db.get('list')).items") == winner
    photo = second.request("GET", f"{base}/from%20the%20page/photo.bin")
    assert photo.body == b"\x07" * 70000
    assert program.run("return (await db.getAttachment('from the page', 'photo.bin')).length") == 70000


def _text(leaves: Leaves) -> str:
    """As JavaScript writes what `LEAVES` gives; `leaves` is in order of the feed, which differs by place."""
    return json.dumps(dict(sorted(leaves.items())), separators=(",", ":"))
