"""Pages as a person uses them: opened by a one-time code, watched for errors and requests to elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, Page

from tests.support.server import RunningServer


@dataclass
class Watched:
    """A browser context and what went wrong in its pages. `quiet` says that nothing did."""

    context: BrowserContext
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        page.on("request", lambda request: self._note(request.url))
        page.on("websocket", lambda socket: self._note(socket.url))

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        name = parts.hostname or ""
        if parts.scheme not in ("blob", "data", "about") and name.rpartition(".")[2] not in (
            "localhost",
            "1",
        ):
            self.elsewhere.append(url)

    async def open(self, server: RunningServer, app: str | None, path: str = "") -> Page:
        """A new window on the page of an app, or on the first page, let in as `localsrv open` does it."""
        made = server.request("POST", "/api/v1/codes", {"app": app})
        assert made.status == 201, made.body
        base, _, code = made.json()["url"].partition("/#")
        page = await self.context.new_page()
        await page.goto(f"{base}/{path}#{code}")
        return page


@contextlib.asynccontextmanager
async def windows(browser: Browser, **options: Any) -> AsyncIterator[Watched]:
    """A context whose windows must stay without errors and without requests to other computers."""
    options = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"} | options
    context = await browser.new_context(**options)
    watched = Watched(context)
    context.on("page", watched.watch)
    yield watched
    await context.close()
    assert watched.errors == []
    assert watched.elsewhere == []
