"""docs/pairing.md: its files and blocks as they stand in the page, and the app that they all read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from playwright.async_api import expect

from tests.support.commands import NODE_MODULES, run
from tests.support.pages import Watched, windows
from tests.support.server import RunningServer

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "pairing.md").read_text("utf-8")
NAMES = ["Ada", "Grace", "Barbara"]
CSV = "name,born\nAda,1815\nGrace,1906\nBarbara,1928\n"


def file(name: str) -> str:
    """The block that follows the file's name in the page."""
    found = re.findall(rf"^`{re.escape(name)}`[^\n]*:\n\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"docs/pairing.md shows {name} {len(found)} times"
    return str(found[0])


def blocks(heading: str, language: str) -> list[str]:
    """A section's blocks of a language, in order, those that are files among them."""
    section = TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def write(folder: Path, server: RunningServer, texts: Mapping[str, str]) -> None:
    """Writes files (name → text) as the page has them, but for the port."""
    for name, text in texts.items():
        (folder / name).write_text(at(server, text), "utf-8")


def at(server: RunningServer, text: str) -> str:
    """With the address of the test's server."""
    return text.replace("http://localhost:4680", server.url)


@pytest.fixture
def people(server: RunningServer, tmp_path: Path) -> RunningServer:
    """A server on which the README's first commands were run."""
    (tmp_path / "people.csv").write_text(CSV, "utf-8")
    done = run(server.home, "import", str(tmp_path / "people.csv"), "--app", "people")
    assert done.code == 0, done.err
    return server


def grants(server: RunningServer, kind: str = "paired") -> list[Any]:
    found: list[Any] = server.request("GET", f"/api/v1/grants?kind={kind}").json()["grants"]
    return found


def end_grants(server: RunningServer) -> None:
    """What the person does who has changed their mind."""
    for grant in grants(server):
        assert run(server.home, "grants", "revoke", grant["id"]).code == 0


async def request_of(server: RunningServer) -> Any:
    """The one request that waits for the person, once it is there."""
    state = server.request("GET", "/api/v1/requests").json()
    while not state["requests"]:
        address = f"/api/v1/requests?version={state['version']}&wait=20"
        state = (await asyncio.to_thread(server.request, "GET", address)).json()
    (request,) = state["requests"]
    return request


async def by_command(server: RunningServer, *more: str, what: str = "approve") -> Any:
    """The person decides in a terminal. Returns the request."""
    request = await request_of(server)
    name = request["code"] or request["id"]
    done = await asyncio.to_thread(run, server.home, what, name, *more)
    assert done.code == 0, done.err
    return request


async def by_click(page: Page, button: str = "Allow") -> None:
    """The person decides on our page, which is open in `page`."""
    found = page.get_by_role("button", name=re.compile(rf"^{button}$"))
    await expect(found).to_be_enabled()
    await found.click()


@dataclass
class Site:
    """A folder that somebody else serves, at an origin of its own."""

    folder: Path
    origin: str = ""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path / "site")
    made.folder.mkdir()

    async def serve(request: web.Request) -> web.StreamResponse:
        if request.path == "/favicon.ico":
            return web.Response(status=204)
        path = made.folder / (request.path[1:] or "index.html")
        if not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path)

    application = web.Application()
    application.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.origin = f"http://localhost:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def watched(browser: Browser) -> AsyncIterator[Watched]:
    """Nothing may be wrong but what browsers note of answers that were no success: each «not yet» is one."""
    async with windows(browser) as opened:
        yield opened
        for page in opened.context.pages:
            await page.close()  # nothing is noted after this
        opened.errors[:] = [e for e in opened.errors if not e.startswith("Failed to load resource: ")]


async def let_in(watched: Watched, server: RunningServer) -> None:
    """This browser is the person's, who has opened the first page before."""
    page = await watched.open(server, None)
    await expect(page.locator("#room h2")).to_have_text("Overview")


def libraries(folder: Path) -> None:
    """The browser builds of supabase-js and PouchDB, as npm has them."""
    built = {
        "supabase.js": "@supabase/supabase-js/dist/umd/supabase.js",
        "pouchdb.js": "pouchdb/dist/pouchdb.min.js",
    }
    for name, path in built.items():
        if not (NODE_MODULES / path).exists():
            pytest.skip("the packages of tests/node are not installed")
        (folder / name).write_bytes((NODE_MODULES / path).read_bytes())
