"""A server whose sync face real clients use, and the two ways in which they sign in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import NODE_MODULES
from tests.support.server import RunningServer, start_server

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Couch:
    """An app's databases as a client names them: `url` without a slash at its end, `user`, `password`."""

    server: RunningServer
    app: str
    user: str
    password: str

    @property
    def url(self) -> str:
        return f"{self.server.url}/apps/{self.app}/couch"


def make_app(server: RunningServer, app: str) -> None:
    made = server.request("POST", "/api/v1/apps", {"id": app, "title": app.title()})
    assert made.status == 201, made.body


def make_key(server: RunningServer, name: str, app: str, *scopes: str, origin: str | None = None) -> str:
    """A key's token, as `localsrv key create` makes it."""
    body = {"name": name, "app": app, "scopes": list(scopes), **({"origin": origin} if origin else {})}
    made = server.request("POST", "/api/v1/keys", body)
    assert made.status == 201, made.body
    return str(made.json()["token"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the tests of a module; nothing that a client sends may end it or be unforeseen."""
    server = start_server(tmp_path_factory.mktemp("couch") / "home")
    yield server
    assert server.stop() == 0, server.output()
    written = "".join(f.read_text("utf-8") for f in (server.home / "logs").iterdir()) + server.output()
    assert "Traceback" not in written
    assert server.token not in written


@pytest.fixture(scope="module", params=["owner", "key"])
def couch(running: RunningServer, request: pytest.FixtureRequest) -> Couch:
    """The databases of an app of its own, as the owner and as a program with a key for sync."""
    app = f"as-{request.param}"
    make_app(running, app)
    if request.param == "owner":
        return Couch(running, app, "owner", running.token)
    return Couch(running, app, "laptop", make_key(running, "laptop", app, "sync"))


def run_node(suite: str, couch: Couch, **more: str) -> str:
    """Runs `<suite>.test.mjs` with Node's test runner to its end, and gives what it printed."""
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "pouchdb").is_dir():
        pytest.skip("Node.js and the packages of tests/node are not installed")
    signed_in = {"COUCH_URL": couch.url, "COUCH_USER": couch.user, "COUCH_PASSWORD": couch.password}
    done = subprocess.run(
        [node, "--test", "--test-force-exit", "--test-reporter=spec", str(HERE / f"{suite}.test.mjs")],
        env=os.environ | signed_in | more,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:] + couch.server.output()[-2000:]
    assert "fail 0" in done.stdout
    return done.stdout


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that may say of its script that it could not reach the server, and nothing else."""
    context = await browser.new_context()
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield await context.new_page()
    await context.close()
    # PouchDB leaves one of its requests unattended when the server goes while it asks for changes.
    assert [error for error in errors if "Failed to fetch" not in error] == []
