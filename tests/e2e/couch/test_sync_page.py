"""docs/sync.md: its page in a real Chromium, its command blocks, its example of settling a conflict."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.e2e.couch.conftest import Couch, make_app, make_key, run_node
from tests.support.commands import NODE_MODULES
from tests.support.secret_service import secret_service
from tests.support.server import RunningServer
from tests.support.waiting import wait_until

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sync.md"
POUCHDB = NODE_MODULES / "pouchdb" / "dist" / "pouchdb.min.js"

Servers = Callable[..., RunningServer]


def _section(heading: str) -> str:
    text = PAGE.read_text("utf-8")
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def _blocks(heading: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", _section(heading), re.MULTILINE | re.DOTALL)


# ── the page with PouchDB ──────────────────────────────────────────────────────────────────────────────────


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and where a plain web server serves it: what `python3 -m http.server` does."""
    folder = tmp_path / "site"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield folder, f"http://localhost:{serving.server_address[1]}"
        serving.shutdown()
        thread.join()


async def test_the_page_works_offline_and_catches_up(
    servers: Servers, site: tuple[Path, str], page: Page, tmp_path: Path
) -> None:
    """Copied as it stands. The server is really stopped, the page reloaded meanwhile."""
    if not POUCHDB.exists():
        pytest.skip("pouchdb is not installed")
    home = tmp_path / "home"
    server = servers(home)
    make_app(server, "notes")
    folder, origin = site
    key = make_key(server, "my-page", "notes", "sync", origin=origin)
    (html,) = _blocks("A page with PouchDB", "html")
    html = html.replace("THE-KEY", key).replace("localhost:4680", f"localhost:{server.port}")
    (folder / "index.html").write_text(html, "utf-8")
    shutil.copy(POUCHDB, folder)

    await page.goto(origin)
    await expect(page.locator("#state")).to_have_text("in sync")
    await _add(page, "milk")
    _wait_for_notes(server, "milk")
    port = server.port
    assert server.stop() == 0

    await expect(page.locator("#state")).to_have_text("waiting for the server")
    await _add(page, "bread")
    await page.reload()
    await expect(page.locator("li")).to_have_text(["milk", "bread"])
    await expect(page.locator("#state")).to_have_text("waiting for the server")
    await _add(page, "jam")
    server = servers(home, port=port)
    _wait_for_notes(server, "milk", "bread", "jam")
    there = f"/apps/notes/couch/notes/{_id_of(server, 'jam')}"
    document = server.request("GET", there).json()
    assert server.request("PUT", there, {**document, "text": "butter"}).status == 201
    await expect(page.locator("li")).to_have_text(["milk", "bread", "butter"])
    await expect(page.locator("#state")).to_have_text("in sync")


async def _add(page: Page, text: str) -> None:
    await page.get_by_placeholder("A note").fill(text)
    await page.get_by_role("button", name="Add").click()
    await expect(page.locator("li").filter(has_text=text)).to_have_count(1)


def _notes(server: RunningServer) -> dict[str, str]:
    """Text → id of the notes on the server."""
    found = server.request("GET", "/apps/notes/couch/notes/_all_docs?include_docs=true").json()
    return {row["doc"]["text"]: row["id"] for row in found["rows"]}


def _id_of(server: RunningServer, text: str) -> str:
    return _notes(server)[text]


def _wait_for_notes(server: RunningServer, *texts: str) -> None:
    wait_until(lambda: set(_notes(server)) == set(texts), what=f"the notes {texts} on the server")


# ── the commands ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: the keyring of the test is gnome-keyring")
def test_two_localsrv_on_one_machine(servers: Servers, tmp_path: Path) -> None:
    """The blocks of «Keys» and «Two localsrv on one machine», in one shell."""
    with secret_service(tmp_path / "keyring") as found:
        keyring = {
            **{name: found[name] for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")},
            "PYTHON_KEYRING_BACKEND": None,
        }
        here, there = servers(tmp_path / "first", env=keyring), servers(tmp_path / "second")
        serve, sync = _blocks("Two localsrv on one machine", "sh")
        assert serve == "localsrv serve --home ~/second --port 4690\n"
        (keys,) = _blocks("Keys", "sh")
        script = f"set -eu\n{keys}\n{sync}"
        script = script.replace("localhost:4680", f"localhost:{here.port}")
        script = script.replace("localhost:4690", f"localhost:{there.port}").replace(
            "~/second", str(there.home)
        )
        done = subprocess.run(
            ["sh", "-c", script],
            env=os.environ
            | {"LOCALSRV_HOME": str(here.home)}
            | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "notes-pull" in done.stdout and "notes-push" in done.stdout
        assert "crashing" not in done.stdout

        base = {here: "/apps/notes/couch/notes", there: "/apps/default/couch/notes"}
        assert here.request("PUT", f"{base[here]}/a", {"from": "here"}).status == 201
        assert there.request("PUT", f"{base[there]}/b", {"from": "there"}).status == 201
        for server, one in ((here, "b"), (there, "a")):
            wait_until(
                lambda server=server, one=one: server.request("GET", f"{base[server]}/{one}").status == 200,
                what=f"{one} on the other side",
            )
        written = "".join(f.read_text("utf-8") for f in (here.home / "logs").iterdir())
        assert "lsk_" not in written
        # The keyring is the servers' until they end.
        assert here.stop() == 0, here.output()


def test_the_ports_of_both_ends_of_a_tunnel_must_be_the_same(running: RunningServer) -> None:
    asked = running.request("GET", "/apps/x/couch/", host="localhost:4")
    assert asked.status == 421, asked.body


# ── conflicts ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_example_settles_a_conflict(running: RunningServer, tmp_path: Path) -> None:
    make_app(running, "conflicts")
    (block,) = _blocks("Conflicts", "js")
    base = "/apps/conflicts/couch/lists"
    assert running.request("PUT", base).status == 201
    sides = [
        {"_id": "list", "_rev": f"2-{rev}", "_revisions": {"start": 2, "ids": [rev, "a"]}, "items": items}
        for rev, items in (("b", ["milk", "bread"]), ("c", ["milk", "jam"]))
    ]
    sent = running.request("POST", f"{base}/_bulk_docs", {"docs": sides, "new_edits": False})
    assert sent.status == 201, sent.body
    run_node("settling", Couch(running, "conflicts", "owner", running.token), BLOCK=block, DATABASE="lists")
    found = running.request("GET", f"{base}/list?conflicts=true").json()
    assert found["items"] == ["milk", "jam", "bread"] and "_conflicts" not in found
