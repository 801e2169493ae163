"""The room of requests, and the page of one: live, decided with care, and deaf to hostile names."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.pages.trust.conftest import Desk

HOSTILE = {
    "markup": "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>",
    "long": "Administrator" * 15,
    "right to left": "מלאי של החנות — localsrv",
}


def card(page: Page, name: str) -> Locator:
    return page.locator(".decision").filter(has=page.locator(".given", has_text=name))


async def test_a_request_comes_and_goes_by_itself(desk: Desk) -> None:
    page = await desk.room("requests")
    await expect(page.get_by_role("heading", name="Nobody asks for access")).to_be_visible()
    await expect(page.locator(".rail-badge")).to_have_count(0)
    asked = desk.ask("Notes", "products:read products:write", app="inventory")
    await expect(card(page, "Notes")).to_contain_text(asked["user_code"])
    await expect(card(page, "Notes")).to_contain_text("Name not proven")
    await expect(card(page, "Notes")).to_contain_text("change and delete in the collection “products”")
    await expect(page.locator("#rail .rail-badge")).to_have_text("1 waiting")
    await expect(page).to_have_title("(1) Requests \u2013 localsrv")
    assert desk.server.request("POST", f"/api/v1/requests/{asked['user_code']}/refuse").status == 200
    await expect(page.get_by_role("heading", name="Nobody asks for access")).to_be_visible()
    await expect(page.locator("#rail .rail-badge")).to_have_count(0)


async def test_elsewhere_a_message_and_the_badge_lead_to_it(desk: Desk) -> None:
    page = await desk.room("grants")
    desk.ask("Notes")
    await expect(page.locator("#waiting")).to_have_text("1 request")
    await page.locator(".toast").get_by_role("button", name="Look").click()
    await expect(card(page, "Notes")).to_be_visible()


async def test_allowing_less_in_a_chosen_app(desk: Desk) -> None:
    asked = desk.ask("Notes", "products:read products:write")
    page = await desk.room("requests")
    found = card(page, "Notes")
    await expect(found).to_contain_text("Choose the app that it may use.")
    await expect(found.get_by_role("button", name="Allow", exact=True)).to_be_disabled()
    await found.get_by_label("In the app").select_option("inventory")
    await found.get_by_label("change and delete in the collection “products”").uncheck()
    await found.get_by_label("For how long").select_option(label="30 days")
    await found.get_by_role("button", name="Allow", exact=True).click()
    await expect(page.locator(".toast")).to_contain_text("Allowed: Notes")
    given = desk.poll(asked).json()
    assert (given["scope"], given["app"]) == ("products:read", "inventory")
    assert "refresh_token" in given
    (grant,) = desk.get("grants?kind=paired")["grants"]
    assert grant["expires_at"] is not None
    path = "/apps/inventory/rest/v1/products?limit=1"
    assert desk.server.request("GET", path, token=given["access_token"]).status == 200


async def test_allowing_once_and_refusing_twice(desk: Desk) -> None:
    page = await desk.room("requests")
    once = desk.ask("Notes", app="inventory")
    await card(page, "Notes").get_by_role("button", name="Allow once").click()
    await expect(page.locator(".toast")).to_contain_text("for an hour")
    assert "refresh_token" not in desk.poll(once).json()
    for told in ("Refused: Pest", "not heard for an hour"):
        refused = desk.ask("Pest", app="inventory")
        await card(page, "Pest").get_by_role("button", name="Refuse").click()
        await expect(page.locator(".toast")).to_contain_text(told)
        assert desk.poll(refused).json()["error"] == "access_denied"
    assert desk.waiting() == []


async def test_who_asks_is_told_apart_from_what_is_proven(desk: Desk) -> None:
    desk.ask("localsrv", "*:read", app="inventory", origin="https://notes.example")
    desk.ask("Clipper", "*:read", app="inventory", origin="chrome-extension://abcdefghijklmnop")
    desk.ask("Inventory", "*:read", app="inventory", origin=desk.server.origin("inventory"))
    page = await desk.room("requests")
    for name, what, address in (
        ("localsrv", "A web page", "https://notes.example"),
        ("Clipper", "A browser extension", "chrome-extension://abcdefghijklmnop"),
        ("Inventory", "The own page of Inventory", desk.server.origin("inventory")),
    ):
        await expect(card(page, name).locator(".identity")).to_contain_text(what)
        await expect(card(page, name).locator(".identity")).to_contain_text(address)
        await expect(card(page, name)).to_contain_text("Address proven")


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_name_is_only_text(desk: Desk, kind: str) -> None:
    name = HOSTILE[kind]
    asked = desk.ask(name, "admin", app="*")
    page = await desk.room("requests")
    await expect(card(page, name[:40]).locator(".given")).to_have_text(name)
    assert await page.locator(".decision img, .decision script").count() == 0
    for width in (360, 390, 1280):
        await page.set_viewport_size({"width": width, "height": 844})
        for part in ("html", "#room"):
            wide = await page.evaluate(
                f"(e => e.scrollWidth - e.clientWidth)(document.querySelector('{part}'))"
            )
            assert wide <= 0, (width, part)
    await card(page, name[:40]).get_by_role("button", name="Allow", exact=True).click()
    await expect(page.locator(".decision")).to_have_count(0)
    assert desk.poll(asked).status == 200
    for room in ("grants", "audit"):
        await page.goto(f"{desk.server.url}/#/~{room}")
        await expect(page.locator("#room bdi", has_text=name[:40]).first).to_be_visible()
    assert "owned" not in await page.title()


# ── a click that was meant for something else ──────────────────────────────────────────────────────────────


async def test_a_decision_waits_until_it_was_seen(desk: Desk) -> None:
    """A button is deaf when it appears or moves, and for the second half of a double click."""
    page = await desk.room("requests")
    first, second = desk.ask("First", app="inventory"), desk.ask("Second", app="inventory")
    allow = card(page, "Second").get_by_role("button", name="Allow", exact=True)
    await allow.click(trial=True)  # waits until it may be pressed
    assert desk.server.request("POST", f"/api/v1/requests/{first['user_code']}/refuse").status == 200
    await expect(page.locator(".decision")).to_have_count(1)
    pressed = await allow.evaluate(
        "b => { const was = b.getAttribute('aria-disabled'); b.click(); return was; }"
    )
    assert pressed == "true", "what stood above is gone, and this took its place"
    assert [r["name"] for r in desk.waiting()] == ["Second"]
    await allow.click(trial=True)
    await allow.dispatch_event("click", {"detail": 2})
    assert [r["name"] for r in desk.waiting()] == ["Second"]
    await allow.click()
    assert desk.poll(second).status == 200


async def test_what_was_begun_stays_when_another_asks(desk: Desk) -> None:
    page = await desk.room("requests")
    desk.ask("First", "products:read products:write")
    await card(page, "First").get_by_label("In the app").select_option("inventory")
    await card(page, "First").get_by_label("read the collection").uncheck()
    desk.ask("Second")
    await expect(card(page, "Second")).to_be_visible()
    await expect(card(page, "First").get_by_label("In the app")).to_have_value("inventory")
    await expect(card(page, "First").get_by_label("read the collection")).not_to_be_checked()


async def test_decided_in_two_places_one_wins(desk: Desk) -> None:
    """The window of a person who was slower says what happened, and nothing changes."""
    asked = desk.ask("Notes", app="inventory")
    page = await desk.room("requests")
    refuse = card(page, "Notes").get_by_role("button", name="Refuse")
    await refuse.click(trial=True)
    answers: list[Any] = []

    async def late(route: Any) -> None:
        path = f"/api/v1/requests/{asked['user_code']}/approve"
        answers.append(desk.server.request("POST", path).status)
        await route.continue_()

    await page.route(re.compile("/refuse$"), late)
    async with desk.noted(page, 409):
        await refuse.click()
    await expect(page.get_by_role("heading", name="Nobody asks for access")).to_be_visible()
    assert answers == [200]
    assert desk.poll(asked).status == 200


async def test_by_keyboard_alone(desk: Desk) -> None:
    asked = desk.ask("Notes", app="inventory")
    page = await desk.room("requests")
    once = card(page, "Notes").get_by_role("button", name="Allow once")
    await once.click(trial=True)
    await card(page, "Notes").get_by_label("For how long").focus()
    for _ in range(3):
        await page.keyboard.press("Tab")
    await expect(once).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".decision")).to_have_count(0)
    assert desk.poll(asked).status == 200
