"""Inventory's page as tests drive it: opened, its rows, and what the server has."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page, expect

from localsrv import sample
from tests.support.pages import Watched
from tests.support.server import RunningServer

SEARCHES: list[tuple[str, list[str] | None]] = [
    ("cha", ["Chai", "Chang", "Chartreuse verte"]),
    ("CHA", ["Chai", "Chang", "Chartreuse verte"]),
    ("cote", ["Côte de Blaye"]),
    ("anton's gum", ["Chef Anton's Gumbo Mix"]),
    ("gum chef", ["Chef Anton's Gumbo Mix"]),
    ("exotic", ["Aniseed Syrup", "Chai", "Chang"]),
    ("\"&:*('", None),
    ("xyzzy", []),
]
"""What is typed, and the products that are listed; None for all of them."""


async def opened(watched: Watched, shop: RunningServer, path: str = "") -> Page:
    """A window that shows the shop as the server has it."""
    page = await watched.open(shop, sample.APP_ID, path)
    await expect(page.locator("#app[data-ready]")).to_be_attached()
    await expect(page.locator("#live")).to_have_text("Live")
    return page


def row(page: Page, name: str) -> Locator:
    """A product's row in the list."""
    return page.locator("#rows tr").filter(has=page.get_by_role("button", name=name, exact=True))


async def searches(page: Page) -> None:
    """Types each of SEARCHES and compares what is listed."""
    names = page.locator("#rows .row-name")
    for text, found in SEARCHES:
        await page.keyboard.press("/")
        await page.keyboard.type(text)
        if found is None:
            await expect(names).to_have_count(77)
        else:
            await expect(names).to_have_text(found)
            await expect(page.locator("#nothing")).to_be_visible(visible=not found)
        await page.keyboard.press("Escape")
        await expect(names).to_have_count(77)


def stock(shop: RunningServer, product: int) -> int:
    """The stock that the server has: the sum of the movements."""
    path = f"/apps/inventory/rest/v1/movements?select=quantity&ProductID=eq.{product}"
    return sum(movement["quantity"] for movement in shop.request("GET", path).json())


Leaves = dict[str, list[str]]


def leaves(server: RunningServer, collection: str) -> Leaves:
    """Every document's leaves, live and deleted, as the server's sync face tells them."""
    path = f"/apps/inventory/couch/{collection}/_changes?style=all_docs"
    changes: list[dict[str, Any]] = server.request("GET", path).json()["results"]
    return {change["id"]: sorted(one["rev"] for one in change["changes"]) for change in changes}
