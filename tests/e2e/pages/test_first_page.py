"""The first page in a real Chromium on a real server: looking around, importing, connecting a program."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from localsrv.client import Client
from tests.support.commands import NODE_MODULES
from tests.support.pages import Watched, windows
from tests.support.server import RunningServer

DROP = """([name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: files, bubbles: true, cancelable: true}));
}"""
"""Drops a file on the page, as the desktop does it."""


async def opened(watched: Watched, server: RunningServer) -> Page:
    page = await watched.open(server, None)
    await expect(page.locator("#room h2")).to_have_text("Overview")
    assert "code" not in page.url
    return page


def entry(page: Page, name: str) -> Any:
    return page.locator("#rail a.rail-entry").filter(has_text=re.compile(rf"^{name}[\d,]*$"))


# ── looking around ─────────────────────────────────────────────────────────────────────────────────────────


async def test_status_apps_and_counts(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await expect(page.locator("#room")).to_contain_text(shop.url)
        await expect(page.locator("#room")).to_contain_text(str(shop.home / "data"))
        await expect(entry(page, "products").locator(".rail-count")).to_have_text("77")
        await expect(entry(page, "order_details").locator(".rail-count")).to_have_text("2,155")
        inventory = page.get_by_role("row").filter(has_text="inventory")
        await expect(inventory).to_contain_text("3,264")
        await inventory.get_by_role("link", name="Inventory").click()
        await expect(page.locator("#room h2")).to_have_text("Inventory")
        await expect(page.get_by_role("row").filter(has_text="order_details")).to_contain_text(
            "OrderID, ProductID"
        )


async def test_an_app_is_opened_and_let_in(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        async with watched.context.expect_page() as waiting:
            await (
                page.get_by_role("row")
                .filter(has_text="inventory")
                .get_by_role("button", name="Open")
                .click()
            )
        inventory = await waiting.value
        await expect(inventory.locator("#rows tr")).to_have_count(77)
        assert inventory.url.startswith(shop.origin("inventory"))


async def test_browsing_a_collection(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await entry(page, "order_details").click()
        rows = page.locator(".grid tbody tr")
        await expect(rows).to_have_count(50)
        await expect(page.locator(".pager")).to_contain_text("1\u201350 of 2,155")
        await expect(page.get_by_role("columnheader", name="UnitPrice")).to_contain_text("decimal")
        await expect(page.get_by_role("columnheader", name="OrderID")).to_contain_text("integer, key")
        await page.get_by_role("button", name="Next page").click()
        await expect(page.locator(".pager")).to_contain_text("51\u2013100 of 2,155")
        await page.get_by_role("columnheader", name="Quantity").get_by_role("button").click()
        await page.get_by_role("columnheader", name="Quantity").get_by_role("button").click()
        await expect(rows.first.locator("td").nth(3)).to_have_text("130")
        await expect(page.get_by_role("columnheader", name="Quantity")).to_have_attribute(
            "aria-sort", "descending"
        )


async def test_searching_and_filtering(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await entry(page, "customers").click()
        await page.get_by_label("Search").fill("cafe")
        await expect(page.locator(".grid tbody tr")).to_have_count(0)
        await page.get_by_label("Search").fill("mex ana")
        await expect(page.locator(".grid tbody tr")).to_have_count(0)
        await page.get_by_label("Search").fill("ana truj")
        await expect(page.locator(".grid tbody tr")).to_have_count(1)
        await expect(page.locator(".grid tbody tr")).to_contain_text("ANATR")
        await page.get_by_label("Search").fill("")
        await expect(page.locator(".grid tbody tr")).to_have_count(50)

        for field, comparison, value, left in (
            ("Country", "is", "France", 11),
            ("City", "contains", "ar", 3),
            ("Fax", "is empty", None, 0),
        ):
            await page.locator(".filter summary").click()
            await page.get_by_label("Field").select_option(field)
            await page.get_by_label("Comparison").select_option(label=comparison)
            if value is not None:
                await page.get_by_label("Value").fill(value)
            await page.get_by_role("button", name="Add", exact=True).click()
            await expect(page.locator(".grid tbody tr")).to_have_count(left)
        await page.get_by_role("button", name="Remove the filter: Fax is empty").click()
        await expect(page.locator("#room .room-head")).to_contain_text("3 of 93 rows")
        await page.reload()
        await expect(page.locator(".grid tbody tr")).to_have_count(3)


async def test_a_row_in_full(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await entry(page, "categories").click()
        await page.get_by_role("button", name="3", exact=True).click()
        drawer = page.locator("#drawer")
        await expect(drawer).to_contain_text("Desserts, candies, and sweet breads")
        await expect(drawer).to_contain_text(re.compile(r"_rev1-[0-9a-f]{32}"))
        await expect(drawer.get_by_role("img", name="picture.jpg")).to_have_js_property("naturalWidth", 175)
        shown = json.loads(await drawer.locator(".drawer-json pre").inner_text())
        assert shown == {
            "CategoryID": 3,
            "CategoryName": "Confections",
            "Description": "Desserts, candies, and sweet breads",
        }
        await page.keyboard.press("Escape")
        await expect(drawer).to_be_hidden()
        await expect(page.locator(":focus")).to_have_text("3")


async def test_rows_follow_changes(shop: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await entry(page, "suppliers").click()
        await expect(page.locator(".grid tbody tr")).to_have_count(29)
        added = {"SupplierID": 30, "CompanyName": "Late & <b>Sons</b>"}
        assert shop.request("POST", "/apps/inventory/rest/v1/suppliers", added).status == 201
        await expect(page.locator(".grid tbody tr").last).to_contain_text("Late & <b>Sons</b>")


# ── importing ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_dropped_csv_file_becomes_an_app(server: RunningServer, browser: Browser) -> None:
    text = "plant,height,since\nFern,0.30,2024-05-01\nIvy,12.5,2019-11-30\nMoss,0.01,\n"
    async with windows(browser) as watched:
        page = await opened(watched, server)
        await page.evaluate(DROP, ["My Garden.csv", text])
        await expect(page.locator("#room h2")).to_have_text("My Garden.csv")
        await expect(page.locator(".mapped")).to_contain_text("3 rows")
        await expect(page.locator(".mapped li").filter(has_text="height")).to_contain_text("decimal")
        await expect(page.locator(".mapped li").filter(has_text="since")).to_contain_text("date")
        await expect(page.get_by_label("Its id")).to_have_value("my-garden")
        assert server.request("GET", "/api/v1/apps/my-garden").status == 404, "the preview stores nothing"

        await page.get_by_role("button", name="Import 3 rows").click()
        await expect(page.locator("#room .room-head")).to_contain_text("3 rows new")
        await expect(entry(page, "my_garden").locator(".rail-count")).to_have_text("3")
        stored = server.request(
            "GET", "/apps/my-garden/rest/v1/my_garden?select=plant,since&order=plant"
        ).json()
        assert stored == [
            {"plant": "Fern", "since": "2024-05-01"},
            {"plant": "Ivy", "since": "2019-11-30"},
            {"plant": "Moss", "since": None},
        ]

        await page.get_by_role("link", name="Browse it").click()
        await expect(page.locator(".grid tbody tr")).to_have_count(3)


async def test_a_chosen_database_goes_into_an_app_twice(
    server: RunningServer, browser: Browser, chinook: Path
) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, server)
        for made, same in (("15,607 rows new", "0 as they were"), ("0 rows new", "15,607 as they were")):
            await page.locator("#file").set_input_files(chinook)
            track = page.locator(".mapped").filter(has=page.get_by_role("heading", name=re.compile("^track")))
            await expect(track).to_contain_text("3,503 rows")
            await expect(track.locator("li").filter(has_text="AlbumId")).to_contain_text("→ album")
            if made.startswith("0"):
                await page.get_by_label("Into").select_option("chinook")
            await page.get_by_role("button", name="Import 15,607 rows").click()
            head = page.locator("#room .room-head")
            await expect(head).to_contain_text(made, timeout=60_000)
            await expect(head).to_contain_text(same)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("broken.json", '[{"a": 1}, {"a": ', "JSON"),
        ("broken.db", "SQLite format 3\0 and then nothing of the kind", "SQLite"),
    ],
)
async def test_a_file_that_cannot_be_read_is_told(
    server: RunningServer, browser: Browser, name: str, content: str, says: str
) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, server)
        await page.evaluate(DROP, [name, content])
        await expect(page.locator(".error-text")).to_contain_text(says)
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#room h2")).to_have_text("Overview")
        apps = server.request("GET", "/api/v1/apps").json()["apps"]
        assert [app["id"] for app in apps] == ["default"]


# ── connecting a program ───────────────────────────────────────────────────────────────────────────────────


async def run(*command: str, cwd: Path) -> str:
    """The output of a program that must succeed."""
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def run_snippet(language: str, snippet: str, folder: Path) -> str:
    """Runs what a person would paste, as it is, and returns what it printed."""
    if language == "Python":
        (folder / "snippet.py").write_text(snippet, "utf-8")
        return await run(sys.executable, "snippet.py", cwd=folder)
    if language == "curl":
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        return await run("sh", "-c", snippet, cwd=folder)
    node = shutil.which("node")
    if node is None or not NODE_MODULES.is_dir():
        pytest.skip("Node.js and the packages of tests/node are not installed")
    (folder / "node_modules").symlink_to(NODE_MODULES)
    # Node 20 has no WebSocket, and supabase-js wants one even where it is not used.
    (folder / "socket.mjs").write_text('import ws from "ws";\nglobalThis.WebSocket ??= ws;\n', "utf-8")
    (folder / "snippet.mjs").write_text(snippet, "utf-8")
    return await run(node, "--import", "./socket.mjs", "snippet.mjs", cwd=folder)


@pytest.mark.parametrize("language", ["supabase-js", "Python", "curl"])
async def test_a_snippet_works_as_pasted(
    shop: RunningServer, client: Client, browser: Browser, tmp_path: Path, language: str
) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await entry(page, "products").click()
        await page.get_by_role("link", name="Connect").click()
        await page.get_by_text(language, exact=True).click()
        await expect(page.locator("mark.missing")).to_have_text("lsk_YOUR_KEY")
        await page.get_by_role("button", name="Make a key").click()
        await expect(page.locator(".key-line")).to_contain_text("Key made")
        snippet = await page.locator(".snippet code").inner_text()

    printed = await run_snippet(language, snippet, tmp_path)
    assert "Chai" in printed
    assert "Uncle Bob's Organic Dried Pears" in printed

    (made,) = (key for key in client.keys() if key["name"].startswith("products"))  # noqa: SIM118 - a method
    assert (made["app"], made["scopes"], made["origin"]) == ("inventory", ["products:read"], None)
    token = re.search(r"lsk_[\w-]{43}", snippet)
    assert token is not None
    others = "/apps/inventory/rest/v1/customers"
    assert shop.request("GET", others, token=token.group()).status == 403


async def test_a_key_may_write_and_be_bound_to_an_origin(
    shop: RunningServer, client: Client, browser: Browser
) -> None:
    async with windows(browser) as watched:
        page = await opened(watched, shop)
        await page.goto(f"{shop.url}/#/inventory/movements/connect")
        await page.get_by_text("Read and write", exact=True).click()
        await page.get_by_label("For a web page").fill("not an address")
        await page.get_by_role("button", name="Make a key").click()
        await expect(page.locator(".key-line .error-text")).to_be_visible()
        watched.errors.clear()  # the browser's own note of the refused request

        await page.get_by_label("For a web page").fill("http://localhost:5173/")
        await page.get_by_role("button", name="Make a key").click()
        await expect(page.locator(".key-line")).to_contain_text("Key made")
        await expect(page.locator(".key-line")).to_contain_text("for the page at http://localhost:5173")
        token = re.search(r"lsk_[\w-]{43}", await page.locator(".snippet code").inner_text())
        assert token is not None
        await page.get_by_label("For a web page").fill("")  # that key is for no other
        await expect(page.locator(".key-line")).to_contain_text("to a program")
        await expect(page.locator(".snippet code")).not_to_contain_text(token.group())
    path = "/apps/inventory/rest/v1/movements?limit=1"
    for origin, status in (("http://localhost:5173", 200), ("http://localhost:5174", 403)):
        asked = shop.request("GET", path, token=token.group(), headers={"Origin": origin})
        assert asked.status == status, origin
    held = client.keys()
    (made,) = (key for key in held if key["name"].startswith("movements"))
    assert made["scopes"] == ["movements:read", "movements:write"]
    assert made["origin"] == "http://localhost:5173"


# ── being let in, and sizes ────────────────────────────────────────────────────────────────────────────────


async def test_without_a_token_the_page_says_what_to_do(server: RunningServer, browser: Browser) -> None:
    async with windows(browser) as watched:
        page = await watched.context.new_page()
        await page.goto(server.url)
        await expect(page.locator("#gate")).to_contain_text("localsrv open")
        await expect(page.locator("#app")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_spills_at_any_size(shop: RunningServer, browser: Browser, scheme: str) -> None:
    places = ("", "inventory", "inventory/orders", "inventory/orders/connect", "import", "gone")
    async with windows(browser, color_scheme=scheme) as watched:
        page = await opened(watched, shop)
        for place in places:
            await page.goto(f"{shop.url}/#/{place}")
            await expect(page.locator("#room > *").first).to_be_visible()
            for width in (360, 720, 1024, 1280, 1920):
                await page.set_viewport_size({"width": width, "height": 760})
                for part in ("html", "#room"):
                    spilled = await page.evaluate(
                        f"(e => e.scrollWidth - e.clientWidth)(document.querySelector('{part}'))"
                    )
                    assert spilled <= 0, (place, width, part)
