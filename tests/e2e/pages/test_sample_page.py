"""Inventory's page in a real Chromium on a real server: what a shopkeeper does with it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from localsrv.client import Client
from tests.support.inventory import opened, row, searches, stock
from tests.support.pages import Watched, windows
from tests.support.server import RunningServer

SOON = 1000
"""Milliseconds within which a second window must follow."""


# ── looking ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_product_is_there_with_its_pictures(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await expect(page.locator("#rows tr")).to_have_count(77)
        await expect(page.locator("#list-summary")).to_contain_text("3,119 units")
        await expect(row(page, "Chai")).to_contain_text("10 boxes x 20 bags")
        await expect(row(page, "Chai").locator(".row-stock")).to_have_text("39")
        pictures = page.locator(".rail-categories img")
        await expect(pictures).to_have_count(8)
        for picture in await pictures.all():
            await expect(picture).to_have_js_property("naturalWidth", 175)
        await expect(page.locator("#changed")).to_have_text(re.compile("^Changed "))
        assert "#code" not in page.url


async def test_at_a_port_of_its_own(shop: RunningServer, browser: Browser) -> None:
    """All of it works there, also the feed; and what changed last need not be a movement."""
    given = shop.request("PUT", "/api/v1/apps/inventory/port", {})
    assert given.status == 200, given.body
    old = {"at": "2020-01-01T00:00:00Z"}
    assert shop.request("PATCH", "/apps/inventory/rest/v1/movements", old).status == 204
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        assert page.url.startswith(f"http://localhost:{given.json()['port']}/")
        await expect(page.locator("#rows tr")).to_have_count(77)
        picture = page.locator(".rail-categories img").first
        await expect(picture).to_have_js_property("naturalWidth", 175)
        await expect(page.locator("#changed")).to_have_text(re.compile("^Changed (just now|[0-9]+ second)"))
        written = {"ProductID": 2, "quantity": 5, "reason": "delivery"}
        assert shop.request("POST", "/apps/inventory/rest/v1/movements", written).status == 201
        await expect(row(page, "Chang").locator(".row-stock")).to_have_text("22", timeout=SOON)
        await page.reload()
        await expect(row(page, "Chang").locator(".row-stock")).to_have_text("22")
        # what the browser keeps for the app is the app's alone
        first = await watched.open(shop, None)
        await expect(first.locator("#room h2")).to_have_text("Overview")
        tokens = [await p.evaluate("localStorage.getItem('localsrv.token')") for p in (page, first)]
        assert None not in tokens and tokens[0] != tokens[1]


async def test_search_finds_words_that_begin_as_typed(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await searches(page)


async def test_categories_low_stock_and_sorting(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await page.get_by_role("button", name="Seafood").click()
        await expect(page.locator("#list-title")).to_have_text("Seafood")
        await expect(page.locator("#rows tr")).to_have_count(12)

        await page.get_by_role("button", name="Low stock").click()
        await expect(page.locator("#rows tr")).to_have_count(18)
        await expect(page.locator("#rows .row-name").first).to_have_text("Gorgonzola Telino")
        await expect(row(page, "Gorgonzola Telino").locator(".badge")).to_have_text("Out")
        await expect(row(page, "Chang").locator(".badge")).to_have_text("Low")

        await page.get_by_role("button", name="Discontinued").click()
        await expect(page.locator("#rows tr")).to_have_count(8)

        await page.get_by_role("button", name="All products").click()
        await page.get_by_role("columnheader", name="Price").get_by_role("button").click()
        await expect(page.locator("#rows .row-name").first).to_have_text("Côte de Blaye")
        await expect(page.get_by_role("columnheader", name="Price")).to_have_attribute(
            "aria-sort", "descending"
        )


async def test_the_address_holds_what_is_shown(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await page.get_by_role("button", name="Low stock").click()
        await page.get_by_role("button", name="Dairy Products").click()
        await row(page, "Queso Cabrales").click()
        await expect(page.locator("#panel h2")).to_have_text("Queso Cabrales")
        await page.reload()
        await expect(page.locator("#panel h2")).to_have_text("Queso Cabrales")
        await expect(page.locator("#rows tr")).to_have_count(3)
        await page.go_back()
        await page.go_back()
        await expect(page.locator("#rows tr")).to_have_count(18)
        await expect(page.locator("#panel")).to_contain_text("To reorder")


async def test_a_product_in_full(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop, "?product=2")
        panel = page.locator("#panel")
        await expect(panel.locator("h2")).to_have_text("Chang")
        await expect(panel).to_contain_text("19.00 each · reorder at 25 · 40 on order")
        await expect(panel.locator(".history tbody tr")).to_have_count(1)
        await expect(panel.locator(".history tbody")).to_contain_text("Opening+1717")
        await expect(panel.locator(".demand")).to_have_attribute("aria-label", re.compile("1,057 in all"))
        await expect(panel).to_contain_text("Charlotte Cooper, Purchasing Manager")


# ── booking ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_booking_shows_in_every_window(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched, windows(browser) as elsewhere:
        here = await opened(watched, shop, "?product=2")
        there = await opened(elsewhere, shop, "?product=2")
        overview = await opened(elsewhere, shop)
        await expect(row(there, "Chang").locator(".row-stock")).to_have_text("17")
        await expect(there.locator(".history tbody tr")).to_have_count(1)

        await here.get_by_label("Quantity").fill("12")
        await here.get_by_label("Note").fill("two crates")
        await here.get_by_role("button", name="Book in 12").click()
        await expect(row(there, "Chang").locator(".row-stock")).to_have_text("29", timeout=SOON)
        await expect(there.locator(".history tbody tr").first).to_contain_text(
            "Deliverytwo crates+1229", timeout=SOON
        )
        await expect(overview.locator("#panel .history tr").first).to_contain_text("Chang", timeout=SOON)
        await expect(there.locator("#changed")).to_have_text("Changed just now")
        await expect(there.locator(".rail-count.badge")).to_have_text("17")
        await expect(here.locator(".toast")).to_contain_text("Chang: 12 in")
        await expect(here.get_by_label("Note")).to_have_value("")
        assert stock(shop, 2) == 29

        await here.get_by_role("button", name="Undo").click()
        await expect(row(there, "Chang").locator(".row-stock")).to_have_text("17", timeout=SOON)
        await expect(here.locator(".history tbody tr")).to_have_count(3)
        await expect(here.locator(".history tbody tr").first).to_contain_text("undoes delivery")
        assert stock(shop, 2) == 17


async def test_out_and_count(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop, "?product=1")
        form = page.get_by_role("form", name="Book a movement")
        await form.get_by_text("Out", exact=True).click()
        await form.get_by_label("Quantity").fill("4")
        await form.get_by_label("Reason").select_option("damaged")
        await form.get_by_role("button", name="Book out 4").click()
        await expect(page.locator(".panel-stock")).to_have_text("35")
        assert stock(shop, 1) == 35

        await form.get_by_text("Count", exact=True).click()
        await form.get_by_label("Counted").fill("31")
        await expect(form).to_contain_text("35 → 31")
        await form.get_by_role("button", name="Set the count").click()
        await expect(page.locator(".panel-stock")).to_have_text("31")
        await expect(page.locator(".history tbody tr").first).to_contain_text("Count\u2212431")
        assert stock(shop, 1) == 31


ENTERED = [
    ("0", "Enter a whole number", "Book out"),
    ("1.5", "Enter a whole number", "Book out"),
    ("-3", "Enter a whole number", "Book out"),
    ("9999999999", "Enter a whole number", "Book out"),
    ("30", "at or below the reorder level of 10", "Book out 30"),
    ("50", "more than there is", "Book out 50 anyway"),
]
"""What is entered to book out of 39, what the form says, and its button."""


async def test_the_form_says_what_will_be(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop, "?product=1")
        form = page.get_by_role("form", name="Book a movement")
        submit = form.locator("button[type=submit]")
        await form.get_by_text("Out", exact=True).click()
        for quantity, says, button in ENTERED:
            await form.get_by_label("Quantity").fill(quantity)
            await expect(form.locator("#outcome")).to_contain_text(says)
            await expect(submit).to_have_text(button)
            await expect(submit).to_be_enabled(enabled=button != "Book out")
        assert stock(shop, 1) == 39


MISTAKES = [
    ("Price", "dear"),
    ("Price", "1.23456"),
    ("Price", ""),
    ("Reorder at", "-1"),
    ("Reorder at", "2.5"),
]
"""A field of the form that edits a product, and what is refused there."""


async def test_a_product_is_edited(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched, windows(browser) as elsewhere:
        here = await opened(watched, shop, "?product=2")
        there = await opened(elsewhere, shop, "?product=2")
        await here.keyboard.press("e")
        form = here.get_by_role("form", name="Edit the product")
        await expect(here.locator(":focus")).to_have_value("19")
        for label, text in MISTAKES:
            field = form.get_by_label(label)
            right = await field.input_value()
            await field.fill(text)
            await form.get_by_role("button", name="Save").click()
            await expect(form.locator("#edit-outcome")).to_contain_text(f"{label}: enter a")
            await field.fill(right)
        # what is not in the form's hands: another program changes another field meanwhile
        rest = "/apps/inventory/rest/v1/products?ProductID=eq.2"
        assert shop.request("PATCH", rest, {"ReorderLevel": 10}).status == 204
        await form.get_by_label("Price").fill("19,50")
        await form.get_by_label("Pack").fill("24 cans")
        await form.get_by_role("button", name="Save").click()
        await expect(form).to_have_count(0)
        await expect(here.locator(":focus")).to_have_text("Edit")
        for page in (here, there):
            await expect(page.locator(".panel-facts")).to_contain_text("19.50 each · reorder at 10")
            await expect(page.locator(".panel-subtitle")).to_have_text("Beverages · 24 cans")
        (product,) = shop.request("GET", rest).json()
        assert (product["UnitPrice"], product["ReorderLevel"]) == (19.5, 10)


async def test_all_by_keyboard(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await page.keyboard.press("/")
        await page.keyboard.type("cha")
        await expect(page.locator("#rows tr")).to_have_count(3)
        await page.keyboard.press("ArrowDown")
        await expect(page.locator(":focus")).to_have_text("Chai")
        await page.keyboard.press("ArrowDown")
        await expect(page.locator("#panel h2")).to_have_text("Chang")
        await page.keyboard.press("-")
        await expect(page.locator(":focus")).to_have_attribute("id", "quantity")
        await page.keyboard.type("5")
        await page.keyboard.press("Enter")
        await expect(page.locator(".panel-stock")).to_have_text("12")
        assert stock(shop, 2) == 12
        await page.keyboard.press("Escape")
        await expect(page.locator("#panel")).to_contain_text("Latest movements")
        await expect(page.locator(":focus")).to_have_text("Chang")
        await page.keyboard.press("l")
        await expect(page.locator("#list-title")).to_contain_text("Low stock")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)


# ── changes from elsewhere, and the lack of them ───────────────────────────────────────────────────────────


async def test_other_programs_changes_arrive(shop: RunningServer, browser: Browser) -> None:
    rest = "/apps/inventory/rest/v1"
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        added = {
            "ProductID": 78,
            "ProductName": "Zwieback",
            "CategoryID": 5,
            "UnitPrice": 3.5,
            "ReorderLevel": 2,
        }
        assert shop.request("POST", f"{rest}/products", added).status == 201
        await expect(row(page, "Zwieback").locator(".badge")).to_have_text("Out")
        moved = {"ProductID": 78, "quantity": 9, "reason": "delivery"}
        assert shop.request("POST", f"{rest}/movements", moved).status == 201
        await expect(row(page, "Zwieback").locator(".row-stock")).to_have_text("9")
        assert shop.request("PATCH", f"{rest}/products?ProductID=eq.78", {"UnitPrice": 4}).status == 204
        await expect(row(page, "Zwieback").locator(".col-price")).to_have_text("4.00")
        assert shop.request("DELETE", f"{rest}/movements?ProductID=eq.78").status == 204
        assert shop.request("DELETE", f"{rest}/products?ProductID=eq.78").status == 204
        await expect(row(page, "Zwieback")).to_have_count(0)
        await expect(page.locator("#rows tr")).to_have_count(77)


async def test_hostile_names_are_text(shop: RunningServer, browser: Browser) -> None:
    name = "<img src=x onerror=alert(1)>"
    added = {"ProductID": 99, "ProductName": name, "CategoryID": 5, "UnitPrice": 1}
    assert shop.request("POST", "/apps/inventory/rest/v1/products", added).status == 201
    async with windows(browser) as watched:
        page = await opened(watched, shop, "?product=99")
        await expect(page.locator("#panel h2")).to_have_text(name)
        await expect(page.locator("#panel h2 img")).to_have_count(0)


async def test_without_a_token_the_page_says_what_to_do(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await watched.context.new_page()
        await page.goto(shop.origin("inventory"))
        await expect(page.locator("#gate")).to_contain_text("localsrv open inventory")
        await expect(page.locator("#app")).to_be_hidden()


async def test_a_revoked_token_ends_the_session(
    shop: RunningServer, client: Client, browser: Browser
) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        (grant,) = client.grants(kind="page", app="inventory")
        client.revoke_grant(grant["id"])
        await expect(page.locator("#gate")).to_contain_text("This page is no longer let in")
        await page.reload()
        await expect(page.locator("#gate")).to_contain_text("localsrv open inventory")


async def test_a_restarted_server_is_found_again(shop: RunningServer, browser: Browser, servers: Any) -> None:
    context = await browser.new_context()
    page = await opened(Watched(context), shop)
    shop.stop()
    await expect(page.locator("#live")).to_have_text("Reconnecting")
    again = servers(shop.home, port=shop.port)
    moved = {"ProductID": 1, "quantity": -9, "reason": "sale"}
    assert again.request("POST", "/apps/inventory/rest/v1/movements", moved).status == 201
    await expect(page.locator("#live")).to_have_text("Live", timeout=15_000)
    await expect(row(page, "Chai").locator(".row-stock")).to_have_text("30")
    await context.close()


# ── sizes ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_spills_at_any_size(shop: RunningServer, browser: Browser, scheme: str) -> None:
    async with windows(browser, color_scheme=scheme) as watched:
        page = await opened(watched, shop)
        for path in ("", "?product=64", "?view=low&q=ch"):
            await page.goto(f"{shop.origin('inventory')}/{path}")
            await expect(page.locator("#app[data-ready]")).to_be_attached()
            for width in (360, 720, 1024, 1280, 1920):
                await page.set_viewport_size({"width": width, "height": 760})
                spilled = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert spilled <= 0, (path, width)


async def test_on_a_phone_the_product_covers_the_list(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser, viewport={"width": 390, "height": 800}) as watched:
        page = await opened(watched, shop)
        await row(page, "Chai").click()
        await expect(page.locator(":focus")).to_have_text("Chai")
        await expect(page.locator("#panel")).to_be_visible()
        await page.get_by_role("button", name="Close").click()
        await expect(page.locator("#panel")).to_be_hidden()
        await expect(page.locator(":focus")).to_have_class(re.compile("row-name"))


async def test_every_control_has_a_name(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop, "?product=1")
        unnamed = await page.evaluate(
            """() => [...document.querySelectorAll("#app button, #app input, #app select, #app a")]
                .filter((e) => !(e.textContent || e.ariaLabel || e.labels?.length))
                .map((e) => e.outerHTML)"""
        )
        assert unnamed == []
