"""The Electron app of docs/pairing.md: its files as they stand, in Node.js, with `electron/` for Electron."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e.pairing_page.conftest import (
    NAMES,
    by_click,
    by_command,
    end_grants,
    file,
    grants,
    let_in,
    write,
)
from tests.support.pages import Watched
from tests.support.server import RunningServer

STAND_IN = Path(__file__).with_name("electron")


class App:
    """The app, installed in a folder of its own."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self._node = shutil.which("node")
        if self._node is None:
            pytest.skip("Node.js is not installed")
        self._folder = folder / "app"
        shutil.copytree(STAND_IN, self._folder / "node_modules" / "electron")
        (self._folder / "package.json").write_text('{"type": "module"}')
        names = ("main.mjs", "preload.cjs", "localsrv.js")
        write(self._folder, server, {name: file(name) for name in names})
        self._seal = secrets.token_hex(32)
        self.kept = self._folder / "localsrv-grant"

    async def start(self) -> asyncio.subprocess.Process:
        assert self._node is not None
        return await asyncio.create_subprocess_exec(
            *(self._node, "main.mjs"),
            cwd=self._folder,
            env=os.environ | {"USER_DATA": str(self._folder), "SEAL_KEY": self._seal},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


async def told(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    try:
        return json.loads(line)
    except ValueError:
        raise AssertionError(line + await process.stdout.read()) from None


@pytest.fixture
def app(people: RunningServer, tmp_path: Path) -> App:
    return App(people, tmp_path)


async def test_it_pairs_and_keeps(people: RunningServer, app: App, watched: Watched) -> None:
    await let_in(watched, people)
    process = await app.start()
    page = await watched.context.new_page()
    await page.goto((await told(process))["open"])
    await by_click(page)
    await expect(page.locator("body")).to_have_text("You can close this window.")
    assert await told(process) == {"names": NAMES}
    assert await asyncio.wait_for(process.wait(), 20) == 0, "nothing keeps it from ending"
    assert b"lsa_" not in app.kept.read_bytes() and b"access_token" not in app.kept.read_bytes()

    again = await app.start()
    assert await told(again) == {"names": NAMES}
    await again.wait()
    assert len(grants(people)) == 1


async def test_ended_and_refused(people: RunningServer, app: App, watched: Watched) -> None:
    process = await app.start()
    page = await watched.context.new_page()
    await page.goto((await told(process))["open"])
    await by_command(people)
    assert await told(process) == {"names": NAMES}
    await process.wait()
    end_grants(people)
    process = await app.start()
    assert await told(process) == {"error": "Access to localsrv was ended."}
    await process.wait()
    process = await app.start()  # and asks again
    await page.goto((await told(process))["open"])
    await by_command(people, what="refuse")
    assert await told(process) == {"error": "The owner refused."}
    await process.wait()
