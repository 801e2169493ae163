"""The extension of docs/pairing.md, loaded into Chromium as it stands in the page."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright, expect

from tests.conftest import CHROMIUM_ARGUMENTS, chromium
from tests.e2e.pairing_page.conftest import (
    NAMES,
    by_click,
    by_command,
    end_grants,
    file,
    grants,
    let_in,
    request_of,
    write,
)
from tests.support.pages import Watched
from tests.support.server import RunningServer

FILES = ("manifest.json", "background.js", "popup.html", "popup.js", "localsrv.js")


@dataclass
class Extension:
    """The loaded extension, and the browser that it is in."""

    context: BrowserContext
    id: str

    @property
    def origin(self) -> str:
        return f"chrome-extension://{self.id}"

    async def popup(self) -> Page:
        """The popup, as a page of its own: no program can click on the toolbar."""
        page = await self.context.new_page()
        await page.goto(f"{self.origin}/popup.html")
        return page


@pytest.fixture
async def extension(people: RunningServer, tmp_path: Path) -> AsyncIterator[Extension]:
    folder = tmp_path / "extension"
    folder.mkdir()
    write(folder, people, {name: file(name) for name in FILES})
    arguments = [*CHROMIUM_ARGUMENTS, f"--disable-extensions-except={folder}", f"--load-extension={folder}"]
    if sys.platform == "linux" and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            "",  # a profile that is removed afterwards: extensions keep their tokens in it
            executable_path=chromium(),
            args=arguments,
            ignore_default_args=["--disable-extensions"],
        )
        workers = context.service_workers
        worker = workers[0] if workers else await context.wait_for_event("serviceworker")
        yield Extension(context, worker.url.split("/")[2])
        await context.close()


async def test_it_pairs_and_reads(people: RunningServer, extension: Extension) -> None:
    await let_in(Watched(extension.context), people)
    async with extension.context.expect_page(lambda page: "/pair/" in page.url) as opening:
        popup = await extension.popup()
    deciding = await opening.value
    request = await request_of(people)
    assert (request["name"], request["origin"]) == ("People extension", extension.origin)
    await by_click(deciding)
    await expect(popup.locator("#names")).to_have_text(", ".join(NAMES))
    (grant,) = grants(people)
    assert grant["origin"] == extension.origin

    again = await extension.popup()  # with what it kept
    await expect(again.locator("#names")).to_have_text(", ".join(NAMES))


async def test_decided_in_a_terminal_then_ended(people: RunningServer, extension: Extension) -> None:
    popup = await extension.popup()
    await by_command(people)
    await expect(popup.locator("#names")).to_have_text(", ".join(NAMES))
    end_grants(people)
    await popup.reload()
    await expect(popup.locator("#names")).to_have_text("Access to localsrv was ended.")
    await popup.reload()  # it asks again
    await by_command(people, what="refuse")
    await expect(popup.locator("#names")).to_have_text("The owner refused.")
