"""Pages without access say so, ask, wait and go on by themselves; a session is closed; nobody frames them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from tests.e2e.pages.trust.conftest import Desk
from tests.support.oauth import Pkce

PENDING = "status of 400"
"""OAuth's answer while nobody decided is a 400 (RFC 8628, 3.5), which the browser notes."""


def forget(desk: Desk) -> None:
    desk.watched.errors[:] = [error for error in desk.watched.errors if PENDING not in error]


async def gated(desk: Desk, url: str) -> Page:
    page = await desk.watched.context.new_page()
    await page.goto(url)
    await expect(page.locator("#gate h1")).to_have_text("This page has no access yet")
    await expect(page.locator("#app")).to_be_hidden()
    return page


async def test_an_apps_page_asks_and_goes_on_by_itself(desk: Desk) -> None:
    page = await gated(desk, desk.server.origin("inventory"))
    await expect(page.locator("#gate")).to_contain_text("localsrv open inventory")
    await page.get_by_role("button", name="Ask for access").click()
    code = await page.locator(".gate-code .code-shown").inner_text()
    await expect(page.locator("#gate")).to_contain_text(f"localsrv approve {code}")
    (request,) = desk.waiting()
    assert (request["code"], request["app"]) == (code, "inventory")
    assert request["origin"] == desk.server.origin("inventory")

    await page.reload()  # the same request goes on waiting
    await expect(page.locator(".gate-code .code-shown")).to_have_text(code)
    assert [r["code"] for r in desk.waiting()] == [code]

    first = await desk.room("requests")  # decided there, beside it
    await first.locator(".decision").get_by_role("button", name="Allow", exact=True).click()
    await expect(page.locator("#rows tr")).to_have_count(77)
    (grant,) = (g for g in desk.get("grants")["grants"] if g["app"] == "inventory")
    assert (grant["kind"], grant["scopes"]) == ("page", ["*:read", "*:write"])
    forget(desk)


async def test_a_refused_page_says_so_and_may_stop_waiting(desk: Desk) -> None:
    page = await gated(desk, desk.server.url)
    await page.get_by_role("button", name="Ask for access").click()
    code = await page.locator(".gate-code .code-shown").inner_text()
    await page.get_by_role("button", name="Stop waiting").click()
    await page.get_by_role("button", name="Ask for access").click()
    await expect(page.locator(".gate-code .code-shown")).to_have_text(code)
    assert desk.server.request("POST", f"/api/v1/requests/{code}/refuse").status == 200
    await expect(page.get_by_role("status")).to_contain_text("This was refused")
    await expect(page.get_by_role("button", name="Ask for access")).to_be_visible()
    forget(desk)


async def test_a_window_that_is_let_in_takes_the_others_along(desk: Desk) -> None:
    """`localsrv open` in the same browser: the page that waited goes on, as does that of a request."""
    asked = desk.ask("Notes", app="inventory")
    first = await gated(desk, desk.server.url)
    deciding = await desk.watched.context.new_page()
    await deciding.goto(asked["verification_uri_complete"])
    await expect(deciding.locator("main")).to_contain_text(f"localsrv approve {asked['user_code']}")
    await desk.room("requests")
    await expect(first.locator("#room h2")).to_have_text("Overview")
    await deciding.get_by_role("button", name="Allow", exact=True).click()
    await expect(deciding.get_by_role("heading", name="“Notes” is let in")).to_be_visible()
    assert desk.poll(asked).status == 200


@pytest.fixture
async def back() -> AsyncIterator[str]:
    """The address of a program that waits for the answer of a redirect, and shows what came."""

    async def answer(request: web.Request) -> web.Response:
        text = f"<link rel=icon href=data:,><p>{request.query['state']} {len(request.query['code'])}"
        return web.Response(text=text, content_type="text/html")

    site = web.Application()
    site.router.add_get("/callback", answer)
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
    await runner.cleanup()


async def test_a_redirect_is_answered_though_its_page_was_loaded_anew(desk: Desk, back: str) -> None:
    """The browser that waits is let in, which loads the page anew while an earlier question is still open."""

    query = {
        "response_type": "code",
        "client_id": "Drawing board",
        "redirect_uri": back,
        "scope": "products:read",
        "app": "inventory",
        "state": "of-the-board",
        "code_challenge": Pkce.make().challenge,
        "code_challenge_method": "S256",
    }
    page = await desk.watched.context.new_page()
    await page.goto(f"{desk.server.url}/oauth/authorize?{urlencode(query)}")
    await expect(page.locator("main")).to_contain_text("“Drawing board” asks for access")
    await expect(page.locator("main")).to_contain_text(
        "The answer goes to a program or page on this computer"
    )
    assert "ticket" not in page.url
    async with page.expect_request(
        lambda r: r.url.endswith("/ticket") and '"wait":25' in (r.post_data or "")
    ):
        await page.reload()
    await desk.room("requests")
    await page.get_by_role("button", name="Allow", exact=True).click()
    await expect(page.get_by_text("of-the-board 43")).to_be_visible()


@pytest.mark.parametrize("app", [None, "inventory"])
async def test_closing_the_session_ends_it(desk: Desk, app: str | None) -> None:
    page = await desk.watched.open(desk.server, app)
    if app:
        await expect(page.locator("#rows tr")).to_have_count(77)
        await page.locator("#sync").click()
    else:
        await expect(page.locator("#room h2")).to_have_text("Overview")
    token = await page.evaluate("localStorage.getItem('localsrv.token')")
    assert desk.server.request("GET", "/api/v1/session", token=token).status == 200
    async with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        await page.get_by_role("button", name="Close session").first.click()
    await expect(page.locator("#gate h1")).to_have_text("The session is closed")
    await expect(page.locator("#app")).to_be_hidden()
    assert await page.evaluate("localStorage.getItem('localsrv.token')") is None
    assert desk.get("grants")["grants"] == []
    desk.watched.errors[:] = [e for e in desk.watched.errors if "status of 401" not in e]


@pytest.mark.parametrize("path", ["/", "/pair/", "/pair/?user_code=BCDF-GHJK"])
async def test_nobody_frames_a_page_that_decides(desk: Desk, path: str) -> None:
    """No page can lay another over it: the browser shows nothing of it in a frame."""
    await desk.room("requests")
    answer = desk.server.request("GET", path, token=None)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    page = await desk.watched.context.new_page()
    await page.goto("data:text/html,<title>elsewhere</title>")
    await page.evaluate(
        """(url) => new Promise((resolve) => {
          const frame = document.createElement("iframe");
          frame.addEventListener("load", resolve);
          frame.src = url;
          document.documentElement.append(frame);
        })""",
        f"{desk.server.url}{path}",
    )
    framed = page.frames[1]
    assert await framed.locator("#pair, #app").count() == 0
    refused = re.compile("frame-ancestors|X-Frame-Options|chrome-error", re.IGNORECASE)
    desk.watched.errors[:] = [error for error in desk.watched.errors if not refused.search(error)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_spills_at_any_size(desk: Desk, scheme: str) -> None:
    asked = desk.ask("A program with a rather long name, as programs have", "*:read sync", app="inventory")
    page = await desk.room("requests")
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    rooms = ("requests", "grants", "secrets", "integrations", "audit", "nowhere")
    places = [f"/#/~{room}" for room in rooms]
    places += ["/pair/", f"/pair/?user_code={asked['user_code']}", "/pair/?user_code=BCDF-BCDF"]
    for place in places:
        await page.goto(f"{desk.server.url}{place}")
        await expect(page.locator("#room h2, #room .nothing, #pair h1, #pair h3").first).to_be_visible()
        for width in (360, 390, 720, 1024, 1280, 1920):
            await page.set_viewport_size({"width": width, "height": 760})
            for part in ("html", "main:not([hidden])"):
                spilled = await page.evaluate(
                    f"(e => e.scrollWidth - e.clientWidth)(document.querySelector('{part}'))"
                )
                assert spilled <= 0, (place, width, part)
