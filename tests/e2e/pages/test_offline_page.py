"""Inventory's offline mode in a real Chromium: a server that is really stopped, and everybody who goes on.

Nothing here waits for a time to pass: the page says in which state it is, and what must become equal is
looked at until it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from localsrv import sample
from localsrv.client import Client
from tests.support.commands import NODE_MODULES
from tests.support.inventory import Leaves, leaves, opened, row, searches, stock
from tests.support.pages import Watched
from tests.support.server import RunningServer

HERE = Path(__file__).parent
IN_SYNC = "Online · in sync"
SOON = 15_000
"""Milliseconds within which a page must have found the server again."""
CHANG = "2"

Servers = Callable[..., RunningServer]


@contextlib.asynccontextmanager
async def device(browser: Browser, **options: Any) -> AsyncIterator[BrowserContext]:
    """A browser of its own. Its scripts must not fail; to the console a server that is away is an error."""
    errors: list[str] = []
    options = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"} | options
    context = await browser.new_context(**options)
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    await context.close()
    assert errors == []


async def with_copy(context: BrowserContext, shop: RunningServer, path: str = "") -> Page:
    """A window whose offline mode was switched on."""
    page = await opened(Watched(context), shop, path)
    await page.locator("#sync").click()
    await page.get_by_role("switch", name="Available offline").check()
    await expect(page.locator("#live")).to_have_text(IN_SYNC, timeout=30_000)
    # The page's own files are kept after its start.
    await eventually(lambda: kept_files(page), lambda found: "/vendor/pouchdb.js" in found)
    return page


async def kept_files(page: Page) -> list[str]:
    return await page.evaluate(
        """async () => {
            const names = await caches.keys();
            const files = names.length ? await (await caches.open(names[0])).keys() : [];
            return files.map(({ url }) => new URL(url).pathname);
        }"""
    )


async def eventually(look: Callable[[], Any], is_so: Callable[[Any], Any], *, seconds: float = 30) -> Any:
    """Looks until it is so; says what was seen last when it never is."""
    deadline = time.monotonic() + seconds
    while not is_so(seen := await look()):
        assert time.monotonic() < deadline, f"still {str(seen)[:3000]}"
    return seen


async def book(page: Page, kind: str, quantity: int) -> None:
    form = page.get_by_role("form", name="Book a movement")
    await form.get_by_text(kind, exact=True).click()
    await form.get_by_label("Quantity").fill(str(quantity))
    await form.get_by_role("button", name=f"Book {kind.lower()} {quantity}").click()
    await expect(page.locator(".toast")).to_contain_text(f"{quantity} {kind.lower()}")


async def edit(page: Page, **fields: str) -> None:
    await page.get_by_role("button", name="Edit").click()
    form = page.get_by_role("form", name="Edit the product")
    for label, value in fields.items():
        await form.get_by_label(label.replace("_", " ")).fill(value)
    await form.get_by_role("button", name="Save").click()
    await expect(form).to_have_count(0)


async def away(page: Page, changes: int = 0) -> None:
    """Waits until the page has noticed that the server is away, and counts what was changed since."""
    says = (
        f"Offline · {changes} change{'s' if changes > 1 else ''} waiting" if changes else "Offline · synced"
    )
    await expect(page.locator("#live")).to_contain_text(says)


async def leaves_of(page: Page, collection: str) -> Leaves:
    return await page.evaluate(
        """async (name) => {
            const { results } = await new PouchDB(`inventory-${name}`).changes({ style: "all_docs" });
            const revs = (changes) => changes.map(({ rev }) => rev).sort();
            return Object.fromEntries(results.map(({ id, changes }) => [id, revs(changes)]));
        }""",
        collection,
    )


# ── a copy ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_everything_is_there_without_the_server(shop: RunningServer, browser: Browser) -> None:
    """Also after the page was loaded anew: its files are kept, with pictures and what customers ordered."""
    async with device(browser) as context:
        page = await with_copy(context, shop, "?product=2")
        shop.stop()
        await away(page)
        await page.reload()
        await expect(page.locator("#app[data-ready]")).to_be_attached()
        await expect(page.locator("#panel h2")).to_have_text("Chang")
        await expect(page.locator(".demand")).to_have_attribute("aria-label", re.compile("1,057 in all"))
        await expect(page.locator("#panel")).to_contain_text("Charlotte Cooper, Purchasing Manager")
        await expect(page.locator("#list-summary")).to_contain_text("3,119 units")
        pictures = page.locator(".rail-categories img")
        await expect(pictures).to_have_count(8)
        for picture in await pictures.all():
            await expect(picture).to_have_js_property("naturalWidth", 175)
        await page.get_by_role("button", name="Close").click()
        await searches(page)
        # another window of the same browser opens too
        second = await context.new_page()
        await second.goto(f"{shop.origin('inventory')}/?view=low")
        await expect(second.locator("#rows tr")).to_have_count(18)
        await expect(second.locator("#live")).to_contain_text("Offline")


async def test_a_copy_that_was_cut_off_goes_on(shop: RunningServer, browser: Browser) -> None:
    async with device(browser) as context:
        page = await opened(Watched(context), shop)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await context.route("**/couch/orders/_changes*", lambda route: route.abort())
        await page.locator("#sync").click()
        await page.get_by_role("switch", name="Available offline").check()
        await expect(page.locator(".toast")).to_contain_text("The copy could not be made")
        await expect(page.locator("#live")).to_have_text("Live")
        await page.reload()
        await expect(page.locator("#live")).to_have_text("Live")
        await context.unroute("**/couch/orders/_changes*")
        asked.clear()
        await page.locator("#sync").click()
        await page.get_by_role("switch", name="Available offline").check()
        await expect(page.locator("#live")).to_have_text(IN_SYNC, timeout=30_000)
        assert not any("/couch/suppliers/_bulk_get" in url for url in asked), "fetched a second time"
        await expect(page.locator("#list-summary")).to_contain_text("3,119 units")


async def test_without_the_server_there_is_nothing_to_copy(shop: RunningServer, browser: Browser) -> None:
    async with device(browser) as context:
        page = await opened(Watched(context), shop)
        shop.stop()
        await expect(page.locator("#live")).to_have_text("Reconnecting")
        await page.locator("#sync").click()
        await expect(page.get_by_role("switch", name="Available offline")).to_be_disabled()


async def test_at_a_port_of_its_own(shop: RunningServer, browser: Browser) -> None:
    """Where names below `localhost` are not found: another origin, the same copy, sync and worker."""
    given = shop.request("PUT", "/api/v1/apps/inventory/port", {})
    assert given.status == 200, given.body
    async with device(browser) as context:
        page = await with_copy(context, shop, "?product=2")
        assert page.url.startswith(f"http://localhost:{given.json()['port']}/")
        await book(page, "In", 3)
        await expect(page.locator("#live")).to_have_text(IN_SYNC)
        assert stock(shop, 2) == 20
        shop.stop()
        await away(page)
        await page.reload()
        await expect(page.locator(".panel-stock")).to_have_text("20")


async def test_a_copy_that_cannot_be_opened(shop: RunningServer, browser: Browser) -> None:
    async with device(browser) as context:
        page = await with_copy(context, shop)
        await page.add_init_script("indexedDB.open = () => { throw new Error('no room'); };")
        await page.reload()
        await expect(page.locator(".toast")).to_contain_text("The copy in this browser cannot be opened")
        await expect(page.locator("#live")).to_have_text("Live")
        await expect(page.locator("#rows tr")).to_have_count(77)


async def test_windows_of_one_browser_share_the_copy(shop: RunningServer, browser: Browser) -> None:
    async with device(browser) as context:
        here = await with_copy(context, shop, "?product=2")
        there = await context.new_page()
        await there.goto(f"{shop.origin('inventory')}/?product=2")
        await expect(there.locator("#live")).to_have_text(IN_SYNC)
        shop.stop()
        await away(here)
        await book(here, "Out", 4)
        await expect(here.locator(".toast")).to_contain_text("Chang: 4 out, not sent yet")
        await expect(row(there, "Chang").locator(".row-stock")).to_have_text("13")
        await expect(there.locator(".history tbody tr").first).to_contain_text("Sale\u2212413")
        for page in (here, there):
            await away(page, 1)


async def test_more_windows_than_a_browser_has_connections(shop: RunningServer, browser: Browser) -> None:
    """Browsers allow six connections to a server: here none is held for the sake of a database."""
    async with device(browser) as context, device(browser) as elsewhere:
        first = await with_copy(context, shop)
        for _ in range(7):
            page = await context.new_page()
            await page.goto(f"{shop.origin('inventory')}/?product=2")
            await expect(page.locator("#live")).to_have_text(IN_SYNC)
        await book(page, "In", 12)
        online = await opened(Watched(elsewhere), shop)
        for window in (first, online):
            await expect(row(window, "Chang").locator(".row-stock")).to_have_text("29")
        await expect(page.locator("#live")).to_have_text(IN_SYNC)
        assert stock(shop, 2) == 29


async def test_a_person_chooses_to_work_offline(shop: RunningServer, browser: Browser) -> None:
    async with device(browser) as context:
        page = await with_copy(context, shop, "?product=2")
        second = await context.new_page()
        await second.goto(shop.origin("inventory"))
        await expect(second.locator("#live")).to_have_text(IN_SYNC)
        await page.locator("#sync").click()
        await page.get_by_role("button", name="Work offline").click()
        await away(page)
        await away(second)
        await page.keyboard.press("Escape")
        await book(page, "In", 3)
        await edit(page, Reorder_at="30")
        await away(page, 2)
        await page.reload()
        await away(page, 2)
        assert stock(shop, 2) == 17
        await page.locator("#sync").click()
        panel = page.locator("#sync-panel")
        await expect(panel).to_contain_text("You chose to work offline.")
        await expect(panel.locator("li")).to_have_text([re.compile("Changedited"), "ChangDelivery +3"])
        await panel.get_by_role("button", name="Go online").click()
        for window in (page, second):
            await expect(window.locator("#live")).to_have_text(IN_SYNC)
        assert stock(shop, 2) == 20
        (product,) = shop.request("GET", "/apps/inventory/rest/v1/products?ProductID=eq.2").json()
        assert (product["ReorderLevel"], product["UnitPrice"]) == (30, 19)


async def test_the_copy_is_given_up_and_nothing_lost_unasked(shop: RunningServer, browser: Browser) -> None:
    async with device(browser) as context:
        page = await with_copy(context, shop, "?product=2")
        second = await context.new_page()
        await second.goto(shop.origin("inventory"))
        await page.locator("#sync").click()
        await page.get_by_role("button", name="Work offline").click()
        await page.keyboard.press("Escape")
        await book(page, "In", 3)
        await away(page, 1)

        available = page.get_by_role("switch", name="Available offline")
        await page.locator("#sync").click()
        await available.click()
        await expect(page.get_by_role("dialog")).to_contain_text("1 change would be lost")
        await page.get_by_role("button", name="Keep it").click()
        await page.locator("#sync").click()
        await expect(available).to_be_checked()
        await page.get_by_role("button", name="Go online").click()
        await expect(page.locator("#live")).to_have_text(IN_SYNC)
        await available.click()
        for window in (page, second):
            await expect(window.locator("#live")).to_have_text("Live")
        assert stock(shop, 2) == 20
        left = """async () => [
            (await indexedDB.databases()).length, (await caches.keys()).length,
            (await navigator.serviceWorker.getRegistrations()).length, typeof PouchDB
        ]"""
        assert await page.evaluate(left) == [0, 0, 0, "undefined"]


async def test_an_update_of_the_app_is_picked_up(
    shop: RunningServer, client: Client, browser: Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "newer"
    shutil.copytree(sample.folder(), folder)
    page_file = folder / "ui" / "index.html"
    page_file.write_text(page_file.read_text("utf-8").replace("<span>Inventory<", "<span>Newer<"), "utf-8")
    async with device(browser) as context:
        page = await with_copy(context, shop)
        client.add_app(str(folder))
        await page.reload()
        await expect(page.locator(".brand")).to_have_text("Newer")
        kept = "caches.match('/').then((found) => found.text())"
        await eventually(lambda: page.evaluate(kept), lambda text: "<span>Newer<" in text)
        shop.stop()
        await away(page)
        await page.reload()
        await expect(page.locator(".brand")).to_have_text("Newer")


async def test_a_revoked_token_ends_it_and_what_waits_stays(
    shop: RunningServer, client: Client, browser: Browser
) -> None:
    async with device(browser) as context:
        page = await with_copy(context, shop, "?product=2")
        await page.locator("#sync").click()
        await page.get_by_role("button", name="Work offline").click()
        await page.keyboard.press("Escape")
        await book(page, "In", 3)
        (grant,) = client.grants(kind="page", app="inventory")
        client.revoke_grant(grant["id"])
        await page.locator("#sync").click()
        await page.get_by_role("button", name="Go online").click()
        await expect(page.locator("#gate")).to_contain_text("This page is no longer let in")
        assert stock(shop, 2) == 17
        again = await Watched(context).open(shop, sample.APP_ID)
        await expect(again.locator("#live")).to_have_text(IN_SYNC)
        assert stock(shop, 2) == 20


# ── several places ─────────────────────────────────────────────────────────────────────────────────────────


class NodeDevice:
    """A PouchDB in Node; see device.mjs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, url: str, user: str, password: str) -> AsyncIterator[NodeDevice]:
        node = shutil.which("node")
        if node is None or not (NODE_MODULES / "pouchdb").is_dir():
            pytest.skip("Node.js and the packages of tests/node are not installed")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            node, str(HERE / "device.mjs"), url, user, password, stdin=pipe, stdout=pipe, limit=2**24
        )
        yield cls(process)
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0

    async def do(self, command: str, **more: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, **more}).encode() + b"\n")
        return json.loads(await asyncio.wait_for(self._process.stdout.readline(), 30))

    async def leaves(self, collection: str) -> Leaves:
        return dict(await self.do("leaves", db=collection))


def keep_in_step(other: RunningServer, url: str, user: str, password: str) -> None:
    """A second localsrv replicates the shop's databases with the first, in both directions, from now on."""
    made = other.request("POST", "/api/v1/apps", {"id": "inventory", "title": "Inventory"})
    assert made.status == 201, made.body
    for name in ("products", "movements"):
        far = {"url": f"{url}/{name}", "auth": {"basic": {"username": user, "password": password}}}
        for ends in ({"source": far, "target": name, "create_target": True}, {"source": name, "target": far}):
            begun = other.request("POST", "/apps/inventory/couch/_replicate", {"continuous": True, **ends})
            assert begun.status == 202, begun.body


async def test_five_places_go_on_alone_and_converge(
    shop: RunningServer, browser: Browser, servers: Servers
) -> None:
    """Two browsers, a PouchDB in Node, a second localsrv, and the server that was away."""
    made = shop.request("POST", "/api/v1/keys", {"name": "device", "app": "inventory", "scopes": ["sync"]})
    url, user, password = f"{shop.url}/apps/inventory/couch", "device", str(made.json()["token"])
    other = servers()
    keep_in_step(other, url, user, password)
    async with (
        device(browser) as one,
        device(browser) as two,
        NodeDevice.started(url, user, password) as node,
    ):
        pages = [await with_copy(context, shop, "?product=2") for context in (one, two)]
        await node.do("sync")

        async def places(server: RunningServer) -> list[Leaves]:
            found: list[Leaves] = []
            for name in ("products", "movements"):
                found += [leaves(server, name), leaves(other, name), await node.leaves(name)]
                found += [await leaves_of(page, name) for page in pages]
            return found

        def all_equal(found: list[Leaves]) -> bool:
            half = len(found) // 2
            return all(one == found[0] for one in found[:half]) and all(
                one == found[half] for one in found[half:]
            )

        await eventually(lambda: places(shop), all_equal)

        # The server is gone as in a power cut, and each place sells, buys and edits.
        shop.kill()
        for page in pages:
            await away(page)
        await book(pages[0], "In", 5)
        await edit(pages[0], Reorder_at="30")
        await away(pages[0], 2)
        await pages[0].reload()
        await away(pages[0], 2)
        await book(pages[1], "Out", 3)
        await edit(pages[1], Reorder_at="40", Price="19.50")
        await away(pages[1], 2)
        moved = {"ProductID": 2, "reason": "delivery", "at": "2026-03-01T12:00:00Z"}
        await node.do("put", db="movements", doc={"_id": "from-node", "quantity": 2, **moved})
        await node.do("put", db="products", doc={"_id": CHANG, "QuantityPerUnit": "24 cans"})
        bought = other.request("PUT", "/apps/inventory/couch/movements/from-other", {"quantity": 1, **moved})
        assert bought.status == 201, bought.body
        chang = other.request("GET", f"/apps/inventory/couch/products/{CHANG}").json()
        changed = other.request("PUT", f"/apps/inventory/couch/products/{CHANG}", {**chang, "UnitPrice": 20})
        assert changed.status == 201, changed.body

        # It comes back, and everything is everywhere.
        again = servers(shop.home, port=shop.port)
        await eventually(
            lambda: places(again), lambda found: all_equal(found) and len(found[0][CHANG]) == 4, seconds=60
        )
        assert stock(again, 2) == 17 + 5 - 3 + 2 + 1
        for page in pages:
            await expect(page.locator("#live")).to_have_text("Online · 1 to decide", timeout=SOON)
            await expect(row(page, "Chang").locator(".row-stock")).to_have_text("22")
            await expect(row(page, "Chang")).to_contain_text("4 versions")
        versions = [
            again.request("GET", f"/apps/inventory/couch/products/{CHANG}?rev={rev}").json()
            for rev in leaves(again, "products")[CHANG]
        ]
        assert {(v["ReorderLevel"], v["UnitPrice"], v["QuantityPerUnit"]) for v in versions} == {
            (30, 19, "24 - 12 oz bottles"),
            (40, 19.5, "24 - 12 oz bottles"),
            (25, 19, "24 cans"),
            (25, 20, "24 - 12 oz bottles"),
        }

        # A person decides in one place what the product is, and so it is in all of them.
        form = pages[0].get_by_role("form", name="Changed in 4 places")
        for field, value in (("Reorder at", "40"), ("Price", "20.00"), ("Pack", "24 cans")):
            await form.get_by_role("group", name=field).get_by_role("radio", name=value).check()
        await form.get_by_role("button", name="Keep these").click()
        await expect(form).to_have_count(0)
        await expect(pages[1].get_by_role("form", name="Changed in 4 places")).to_have_count(0)
        await expect(pages[1].locator(".panel-facts")).to_contain_text("20.00 each · reorder at 40")
        await expect(pages[1].locator("#live")).to_have_text(IN_SYNC)
        await eventually(lambda: places(again), all_equal)
        for server in (again, other):
            found = server.request("GET", f"/apps/inventory/couch/products/{CHANG}?conflicts=true").json()
            assert "_conflicts" not in found
            assert (found["ReorderLevel"], found["UnitPrice"], found["QuantityPerUnit"]) == (
                40,
                20,
                "24 cans",
            )


# ── sizes ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_spills_at_any_size(shop: RunningServer, browser: Browser, scheme: str) -> None:
    async with device(browser, color_scheme=scheme) as context:
        page = await with_copy(context, shop, "?product=64")
        shop.stop()
        await book(page, "In", 7)
        await page.get_by_role("button", name="Edit").click()
        await away(page, 1)
        await page.locator("#sync").click()
        for width in (360, 720, 1024, 1280, 1920):
            await page.set_viewport_size({"width": width, "height": 760})
            spilled = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert spilled <= 0, width
            box = await page.locator("#sync-panel").bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
        unnamed = await page.evaluate(
            """() => [...document.querySelectorAll("#app button, #app input, #app select, #app a")]
                .filter((e) => !(e.textContent || e.ariaLabel || e.labels?.length))
                .map((e) => e.outerHTML)"""
        )
        assert unnamed == []
