"""What the tests of the rooms about trust share: the first page let in, and clients that ask."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.oauth import DEVICE_GRANT
from tests.support.pages import Watched, windows
from tests.support.server import Response, RunningServer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Desk:
    """A server with the sample app, a browser, and what programs and pages ask of it."""

    server: RunningServer
    watched: Watched

    async def room(self, name: str) -> Page:
        """A room of the first page, in a window that was let in."""
        page = await self.watched.open(self.server, None)
        await expect(page.locator("#room h2")).to_have_text("Overview")
        await page.goto(f"{self.server.url}/#/~{name}")
        await expect(page.locator("#room h2")).to_have_text(name.capitalize())
        return page

    def ask(self, name: str = "Notes", scope: str = "products:read", **more: Any) -> Any:
        """A device request that waits. `origin` makes it a page's."""
        origin = more.pop("origin", None)
        headers = FORM if origin is None else {**FORM, "Origin": origin, "Sec-Fetch-Site": "cross-site"}
        body = urlencode({"client_id": name, "scope": scope, **more})
        answer = self.server.request("POST", "/oauth/device_authorization", body, headers=headers, token=None)
        assert answer.status == 200, answer.body
        return answer.json() | {"name": name}

    def poll(self, asked: Any) -> Response:
        """What the client gets for its code now."""
        form = {"grant_type": DEVICE_GRANT, "device_code": asked["device_code"], "client_id": asked["name"]}
        return self.server.request("POST", "/oauth/token", urlencode(form), headers=FORM, token=None)

    def get(self, path: str) -> Any:
        answer = self.server.request("GET", f"/api/v1/{path}")
        assert answer.status == 200, answer.body
        return answer.json()

    def waiting(self) -> list[Any]:
        found: list[Any] = self.get("requests")["requests"]
        return found

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.get("audit")["entries"]]

    @contextlib.asynccontextmanager
    async def noted(self, page: Page, status: int) -> AsyncIterator[None]:
        """Waits for the browser's own note about an answer that has to be refused, and forgets it."""
        note = f"status of {status} "
        async with page.expect_console_message(lambda message: note in message.text):
            yield
        self.watched.errors[:] = [error for error in self.watched.errors if note not in error]


@pytest.fixture
async def desk(shop: RunningServer, browser: Browser) -> AsyncIterator[Desk]:
    async with windows(browser) as watched:
        yield Desk(shop, watched)
