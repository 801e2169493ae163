"""The rooms of grants, secrets, integrations and the audit log, and what their actions do on the server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from localsrv.model.scope_words import in_words
from localsrv.services.audit import EVENTS
from tests.e2e.pages.trust.conftest import Desk
from tests.support.pages import windows
from tests.support.server import RunningServer

UI = Path(__file__).parents[4] / "localsrv" / "web" / "ui"


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


# ── grants ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_is_made_shown_once_used_and_ended(desk: Desk) -> None:
    page = await desk.room("grants")
    await expect(page.locator(".entry")).to_have_count(1)
    await expect(page.locator(".entry")).to_contain_text("This page")
    await press(page, "Make a key")
    window = page.get_by_role("dialog")
    await window.get_by_label("Name").fill("Price list")
    await window.get_by_role("button", name="Make the key").click()
    await expect(window).to_contain_text("Tick at least one thing")
    await window.get_by_label("read the collection “products”").check()
    await window.get_by_label("Bound to a web page").fill("http://localhost:5173/")
    await window.get_by_role("button", name="Make the key").click()
    token = await window.locator(".token").inner_text()
    await window.get_by_role("button", name="Done").click()
    entry = page.locator(".entry").filter(has_text="Price list")
    await expect(entry).to_contain_text("read the collection “products”")
    await expect(entry).to_contain_text("Only from http://localhost:5173")
    await expect(entry).not_to_contain_text(token[:12])
    path = "/apps/inventory/rest/v1/products?limit=1"
    mine = {"Origin": "http://localhost:5173"}
    assert desk.server.request("GET", path, token=token, headers=mine).status == 200

    await entry.get_by_role("button", name="End the access of Price list").click()
    await press(page, "Keep it")
    assert desk.server.request("GET", path, token=token, headers=mine).status == 200
    await entry.get_by_role("button", name="End the access of Price list").click()
    await press(page, "End it")
    await expect(page.locator(".entry")).to_have_count(1)
    assert desk.server.request("GET", path, token=token, headers=mine).status in (401, 403)


async def test_a_publishable_key_is_for_named_collections_and_shown_again(desk: Desk) -> None:
    page = await desk.room("grants")
    await desk.watched.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await press(page, "Make a key")
    window = page.get_by_role("dialog")
    await window.get_by_label("Name").fill("Shop window")
    await window.get_by_label("Publishable").check()
    await expect(window.get_by_label("read all collections")).to_have_count(0)
    await expect(window.get_by_label("Bound to a web page")).to_be_hidden()
    await window.get_by_label("read the collection “products”").check()
    await window.get_by_role("button", name="Make the key").click()
    await window.get_by_role("button", name="Done").click()
    await page.get_by_text("Keys", exact=True).click()
    await expect(page.locator(".entry")).to_have_count(1)
    await press(page, "Copy the key Shop window")
    await expect(page.locator(".toast")).to_contain_text("Key copied")
    (key,) = desk.get("keys")["keys"]
    assert key["token"].startswith("lsp_")
    assert await page.evaluate("navigator.clipboard.readText()") == key["token"]


async def test_ending_the_pages_own_access_closes_it(desk: Desk) -> None:
    page = await desk.room("grants")
    await page.get_by_role("button", name="End the access of").click()
    await expect(page.get_by_role("dialog")).to_contain_text("the page that you are looking at")
    await press(page, "End it")
    await expect(page.locator("#gate h1")).to_have_text("This page is no longer let in")
    assert desk.get("grants")["grants"] == []


# ── secrets ────────────────────────────────────────────────────────────────────────────────────────────────

SECRET = "sk-of-a-page-4711\nin two lines"


async def test_the_sealed_file_is_made_locked_and_unlocked(
    servers: Callable[..., RunningServer], tmp_path: Path, browser: Browser
) -> None:
    home = tmp_path / "home"
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text('vault = "sealed_file"\n')
    server = servers(home)
    async with windows(browser) as watched:
        desk = Desk(server, watched)
        page = await desk.room("secrets")
        await expect(page.locator(".vault")).to_contain_text("A sealed file, which is not made yet")
        await page.get_by_label("A passphrase for the sealed file").fill("correct horse battery")
        await page.get_by_label("Again").fill("another horse battery")
        await press(page, "Make it")
        await expect(page.locator(".vault")).to_contain_text("The two are not the same.")
        await page.get_by_label("Again").fill("correct horse battery")
        await press(page, "Make it")
        await expect(page.locator(".vault")).to_contain_text("A sealed file, unlocked.")

        await press(page, "Set a secret")
        window = page.get_by_role("dialog")
        await window.get_by_label("Name").fill("openai")
        await window.get_by_label("Secret", exact=True).fill(SECRET)
        await window.get_by_role("button", name="Keep it").click()
        await expect(page.locator(".entry.secret")).to_contain_text("openai")
        assert [s["name"] for s in desk.get("secrets")["secrets"]] == ["openai"]
        assert "4711" not in await page.content()

        await press(page, "Lock")
        await expect(page.locator(".vault")).to_contain_text("Locked")
        assert desk.get("vault")["state"] == "locked"
        await page.get_by_label("Passphrase").fill("wrong")
        async with desk.noted(page, 403):
            await press(page, "Unlock")
        await expect(page.locator(".vault .error-text")).not_to_be_empty()
        await page.get_by_label("Passphrase").fill("correct horse battery")
        await press(page, "Unlock")
        await expect(page.locator(".vault")).to_contain_text("A sealed file, unlocked.")
        await press(page, "Remove openai")
        await press(page, "Remove it")
        await expect(page.locator("#room")).to_contain_text("None yet.")
        assert desk.get("secrets")["secrets"] == []
    assert server.stop() == 0


async def test_without_a_keyring_it_says_so(desk: Desk) -> None:
    """The tests' server has `fail.Keyring`: nothing is kept, and no place is taken silently."""
    page = await desk.room("secrets")
    await press(page, "Set a secret")
    window = page.get_by_role("dialog")
    await window.get_by_label("Name").fill("openai")
    await window.get_by_label("Secret", exact=True).fill("x")
    async with desk.noted(page, 503):
        await window.get_by_role("button", name="Keep it").click()
    await expect(window.locator(".error-text")).to_contain_text("keyring")
    assert desk.get("secrets")["secrets"] == []


# ── integrations ───────────────────────────────────────────────────────────────────────────────────────────

ASKING = """id = "shop"
title = "Shop"
[integrations.weather]
title = "Weather <b>service</b>"
why = "Shows the weather at the shop"
base_url = "https://api.weather.example/v1"
auth = "none"
"""


async def test_an_integration_is_asked_for_set_up_tested_and_removed(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.toml").write_text(ASKING)
    added = desk.server.request("POST", "/api/v1/apps", {"path": str(folder)})
    assert added.status in (200, 201), added.body
    page = await desk.room("integrations")
    entry = page.locator(".entry")
    await expect(entry).to_contain_text("Weather <b>service</b>")
    await expect(entry).to_contain_text("Not set up")
    await expect(entry).to_contain_text("Shows the weather at the shop")
    await press(page, "Set up: Weather <b>service</b>")
    window = page.get_by_role("dialog")
    port = desk.server.port + 1 if desk.server.port < 65535 else 1
    await window.get_by_label("Where it is").fill(f"http://127.0.0.1:{port}")
    await window.get_by_text("What may be called").click()
    await window.get_by_label("Hosts nearby").fill(f"127.0.0.1:{port}")
    await window.get_by_label("POST").check()
    await window.get_by_role("button", name="Keep it").click()
    await expect(entry).to_contain_text("Ready")
    (stored,) = desk.get("apps/shop/integrations")["integrations"]
    settings = stored["settings"]
    assert (settings["base_url"], settings["methods"]) == (f"http://127.0.0.1:{port}", ["GET", "POST"])
    assert settings["hosts"] == [f"127.0.0.1:{port}"]

    for _ in range(5):  # each failure counts, until it is left alone for a while
        await press(page, "Test: Weather <b>service</b>")
        await expect(entry.locator(".test-told.bad")).to_be_visible()
        if await entry.get_by_text("Paused", exact=True).count():
            break
    await expect(entry).to_contain_text("Last failure")
    assert desk.get("apps/shop/integrations")["integrations"][0]["health"]["last_error"]
    await press(page, "Remove: Weather <b>service</b>")
    await press(page, "Remove it")
    await expect(entry).to_contain_text("Not set up")
    assert desk.get("apps/shop/integrations")["integrations"][0]["settings"] is None
    assert "integration-set" in desk.events()


# ── the audit log ──────────────────────────────────────────────────────────────────────────────────────────


async def test_the_log_is_shown_filtered_and_exported(desk: Desk) -> None:
    for n in range(60):
        desk.server.request(
            "POST", "/api/v1/keys", {"name": f"key {n}", "app": "inventory", "scopes": ["sync"]}
        )
    page = await desk.room("audit")
    rows = page.locator(".log tbody tr")
    await expect(rows).to_have_count(50)
    await press(page, "Older")
    await expect(rows.nth(55)).to_be_visible()
    await page.get_by_label("Show").select_option(label="Signed in")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("page localhost")
    async with page.expect_download() as waiting:
        await press(page, "Export")
    saved = await (await waiting.value).path()
    entries: list[Any] = [json.loads(line) for line in saved.read_text("utf-8").splitlines()]
    assert [entry["event"] for entry in entries] == ["sign-in"]
    await page.get_by_label("Show").select_option(label="Token used twice")
    await expect(page.locator("#room")).to_contain_text("This has not happened yet.")
    await page.go_back()
    await expect(rows).to_have_count(1)


def test_every_event_has_its_words() -> None:
    text = (UI / "trust" / "events.js").read_text("utf-8")
    known = re.findall(r'^  "([a-z-]+)": \[', text, re.MULTILINE)
    assert known == sorted(known, key=list(EVENTS).index)
    assert set(known) == set(EVENTS)


# ── the server goes away ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("room", ["grants", "audit"])
async def test_a_server_that_is_away_is_told_and_tried_again(desk: Desk, room: str) -> None:
    page = await desk.room("requests")
    await expect(page.locator(".live")).to_have_text("Live")
    await page.route("**/api/v1/**", lambda route: route.abort())
    await page.goto(f"{desk.server.url}/#/~{room}")
    await expect(page.locator("#room .error-text")).to_have_text("The server does not answer.")
    await page.unroute("**/api/v1/**")
    await press(page, "Try again")
    await expect(page.locator(".entry, .log").first).to_be_visible()
    desk.watched.errors[:] = [e for e in desk.watched.errors if "ERR_FAILED" not in e]


async def test_scopes_are_said_as_the_server_says_them(desk: Desk) -> None:
    """One by one they are worded in the page, several together by the server: the words are the same."""
    scopes = [
        "admin",
        "sync",
        "cache:use",
        "secrets:use",
        "items:read",
        "items:write",
        "*:read",
        "*:write",
        "files:*:read",
        "files:notes:write",
        "functions:*",
        "functions:total",
        "integrations:*:use",
        "integrations:weather:use",
    ]
    page = await desk.room("audit")
    told = await page.evaluate(
        """async (scopes) => {
          const { inWords } = await import("/trust/scopes.js");
          return scopes.map((scope) => inWords(scope).replaceAll("\u2019", "'"));
        }""",
        scopes,
    )
    assert told == [in_words([scope])[0] for scope in scopes]
