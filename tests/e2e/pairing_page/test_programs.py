"""The programs of docs/pairing.md: curl's lines in a shell, and people.py with both of its ways."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e.pairing_page.conftest import (
    NAMES,
    at,
    blocks,
    by_click,
    by_command,
    end_grants,
    file,
    grants,
    let_in,
    libraries,
    write,
)
from tests.support.commands import run
from tests.support.pages import Watched
from tests.support.server import RunningServer
from tests.support.waiting import wait_until

FOR_POSIX = pytest.mark.skipif(
    sys.platform == "win32", reason="not on Windows: the lines are for a POSIX shell"
)


async def shell(server: RunningServer, folder: Path, script: str, **variables: str) -> str:
    """What a POSIX shell printed, in which `localsrv` is the program under test."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started = await asyncio.create_subprocess_exec(
        *("sh", "-euc", at(server, script)),
        cwd=folder,
        env=os.environ | {"LOCALSRV_HOME": str(server.home), "PATH": programs} | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(started.communicate(), 60)
    assert started.returncode == 0, err.decode()
    return out.decode()


@FOR_POSIX
async def test_curl(people: RunningServer, tmp_path: Path) -> None:
    (script,) = blocks("curl", "sh")
    assert script.count("\n") <= 8, "it says six commands"
    printed = await shell(people, tmp_path, script)
    assert "“curl” may, in people:" in printed
    assert [row["name"] for row in json.loads(printed.splitlines()[-1])] == NAMES
    (grant,) = grants(people)
    assert (grant["program"], grant["scopes"]) == ("curl", ["people:read"])


@FOR_POSIX
async def test_basic_with_the_grants_id(people: RunningServer, tmp_path: Path) -> None:
    *asking, _ = blocks("curl", "sh")[0].split("curl -s")
    (basic,) = blocks("CouchDB clients and fixed passwords", "sh")
    names = "".join(f'{name}=$(echo "$given" | part {name})\n' for name in ("grant_id", "access_token"))
    script = "curl -s".join(asking) + names + basic
    printed = await shell(people, tmp_path, script)
    assert json.loads(printed[printed.index('{"total_rows"') :])["total_rows"] == 3


@FOR_POSIX
async def test_a_publishable_key(people: RunningServer, tmp_path: Path, watched: Watched) -> None:
    """The command as it stands, and the page's lines with the key that it printed, in the app's own page."""
    heading = "An app's own page"
    (command,), (lines,) = blocks(heading, "sh"), blocks(heading, "js")
    key = (await shell(people, tmp_path, command)).strip()
    ui = tmp_path / "people" / "ui"
    ui.mkdir(parents=True)
    (ui.parent / "app.toml").write_text('id = "people"\ntitle = "People"\n')
    (ui / "index.html").write_text(
        '<!doctype html><title>People</title><p id="names"></p><script src="supabase.js"></script>'
        '<script type="module" src="page.js"></script>'
    )
    shown = 'document.querySelector("#names").textContent = data.map(({ name }) => name).join(" ");'
    (ui / "page.js").write_text(lines.replace("lsp_…", key) + shown)
    libraries(ui)
    assert run(people.home, "app", "add", str(ui.parent)).code == 0
    page = await watched.context.new_page()
    await page.goto(people.origin("people"))
    await expect(page.locator("#names")).to_have_text(" ".join(NAMES))


# ── people.py ──────────────────────────────────────────────────────────────────────────────────────────────


class Program:
    """people.py as it stands in the page, with a home of its own and no browser that it could start."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.home = folder / "somebody"
        self.home.mkdir()
        write(folder, server, {"people.py": file("people.py")})
        self._script = folder / "people.py"

    @property
    def kept(self) -> Path:
        return self.home / ".people-grant"

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        nothing = {"BROWSER": f"{sys.executable} -c pass %s"}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, str(self._script), *arguments),
            env=os.environ | nothing | {"HOME": str(self.home), "USERPROFILE": str(self.home)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str) -> tuple[int | None, list[str], str]:
        """(exit code, what it printed, line by line, what it said besides)."""
        return await ended(await self.start(*arguments))

    def change(self, **values: Any) -> None:
        """Edits what it keeps."""
        with closing(sqlite3.connect(self.kept)) as kept:
            (text,) = kept.execute("SELECT json FROM given").fetchone()
            kept.execute("UPDATE given SET json = ?", [json.dumps(json.loads(text) | values)])
            kept.commit()


@pytest.fixture
def program(people: RunningServer, tmp_path: Path) -> Program:
    return Program(people, tmp_path)


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, list[str], str]:
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode().split(), err.decode()


async def said(process: asyncio.subprocess.Process) -> str:
    """The next line that it tells the person."""
    assert process.stderr is not None
    return (await asyncio.wait_for(process.stderr.readline(), 30)).decode()


@pytest.mark.parametrize("decide", ["by click", "by command"])
async def test_with_the_browser(
    people: RunningServer, program: Program, watched: Watched, decide: str
) -> None:
    if decide == "by click":
        await let_in(watched, people)
    process = await program.start()
    address = (await said(process)).removeprefix("Decide in your browser: ").strip()
    page = await watched.context.new_page()
    await page.goto(address)
    if decide == "by click":
        await by_click(page)
    else:
        await by_command(people)
    await expect(page.locator("body")).to_have_text("You can close this window.")
    assert await ended(process) == (0, NAMES, "")
    if sys.platform != "win32":
        assert stat.S_IMODE(program.kept.stat().st_mode) == 0o600

    assert await program.run() == (0, NAMES, ""), "again without asking"
    program.change(until=0)
    assert await program.run() == (0, NAMES, ""), "renewed"
    assert len(grants(people)) == 1


async def test_with_a_code(people: RunningServer, program: Program) -> None:
    process = await program.start("--code")
    request = await by_command(people)
    assert request["code"] in await said(process)
    assert f"localsrv approve {request['code']}" in await said(process)
    assert await ended(process) == (0, NAMES, "")

    # the person ends it: the program finds out, and asks again
    end_grants(people)
    process = await program.start("--code")
    await by_command(people, "--once")
    assert (await ended(process))[:2] == (0, NAMES)
    program.change(until=0)  # an hour later
    process = await program.start("--code")
    await by_command(people, what="refuse")
    code, names, told = await ended(process)
    assert (code, names) == (1, [])
    assert told.endswith("people.py: The owner of this computer refused.\n")


async def test_refused_in_the_browser(people: RunningServer, program: Program, watched: Watched) -> None:
    process = await program.start()
    address = (await said(process)).removeprefix("Decide in your browser: ").strip()
    page = await watched.context.new_page()
    await page.goto(address)
    await by_command(people, what="refuse")
    await expect(page.locator("body")).to_have_text("You can close this window.")
    assert await ended(process) == (1, [], "people.py: The owner refused.\n")


async def test_runs_at_once_renew_one_after_the_other(people: RunningServer, program: Program) -> None:
    process = await program.start("--code")
    await by_command(people)
    assert (await ended(process))[0] == 0
    program.change(until=0)
    with closing(sqlite3.connect(program.kept, isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        started = [await program.start() for _ in range(4)]
        if sys.platform == "linux":  # all of them are there before the first one may go on
            await asyncio.to_thread(
                wait_until, lambda: all(_holds(one.pid, program.kept) for one in started), what="four runs"
            )
        held.execute("ROLLBACK")
    assert await asyncio.gather(*(ended(one) for one in started)) == [(0, NAMES, "")] * 4
    entries = people.request("GET", "/api/v1/audit?event=token-refreshed").json()["entries"]
    assert sum(entry["count"] for entry in entries) == 1, "the others found what the first one got"
    assert len(grants(people)) == 1


def _holds(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    return any(os.path.realpath(held) == str(path) for held in Path(f"/proc/{pid}/fd").iterdir())
