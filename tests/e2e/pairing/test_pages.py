"""Pages ask for access in a real Chromium: an app's own, the first one, and one of another origin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.pairing.conftest import VENDOR, Site, as_js
from tests.support.pages import Watched, windows
from tests.support.server import RunningServer

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page


@pytest.fixture
async def windows_of(browser: Browser) -> AsyncIterator[Watched]:
    async with windows(browser) as watched:
        yield watched


async def click(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def requests(server: RunningServer) -> list[Any]:
    found: list[Any] = server.request("GET", "/api/v1/requests").json()["requests"]
    return found


async def test_the_first_page_lets_itself_in(server: RunningServer, windows_of: Watched) -> None:
    page = await windows_of.context.new_page()
    await page.goto(server.url)
    await page.get_by_role("heading", name="This page has no access yet").wait_for()
    await click(page, "Ask for access")
    code = await page.locator(".gate-code .code-shown").inner_text()
    (request,) = await requests(server)
    assert (request["code"], request["origin"], request["scopes"]) == (code, server.url, ["admin"])
    assert server.request("POST", f"/api/v1/requests/{code}/approve").status == 200
    await page.get_by_role("heading", name="Overview").wait_for()
    (grant,) = server.request("GET", "/api/v1/grants").json()["grants"]
    assert (grant["kind"], grant["app"], grant["origin"]) == ("page", "*", server.url)

    # the session is kept, and closed
    told = await page.evaluate(
        """async () => {
          const { closeSession } = await import("/kit/session.js");
          localStorage.setItem("localsrv.kept", "0");
          const asked = new Promise((resolve) => {
            const before = window.fetch;
            window.fetch = async (path, options) => {
              const answer = await before(path, options);
              if (path === "/api/v1/session") resolve([options.method, answer.status]);
              return answer;
            };
          });
          document.dispatchEvent(new Event("visibilitychange"));
          const kept = await asked;
          await closeSession();
          return [...kept, localStorage.getItem("localsrv.token")];
        }"""
    )
    assert told == ["POST", 200, None]
    assert server.request("GET", "/api/v1/grants").json()["grants"] == []
    await page.reload()
    await page.get_by_role("heading", name="This page has no access yet").wait_for()
    # the address of `localsrv open`, put into this very window
    await page.goto(server.request("POST", "/api/v1/codes", {"app": None}).json()["url"])
    await page.get_by_role("heading", name="Overview").wait_for()


async def test_the_page_where_the_person_decides(shop: RunningServer, windows_of: Watched) -> None:
    """By the address that a program shows, or by typing its code."""
    await (await windows_of.open(shop, None)).get_by_role("heading", name="Overview").wait_for()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    asked = shop.request(
        "POST", "/oauth/device_authorization", "client_id=A+clock&scope=items:read", headers=form, token=None
    ).json()
    window = await windows_of.context.new_page()
    await window.goto(asked["verification_uri_complete"])
    await window.get_by_text("any program on this computer can call itself so").wait_for()
    assert await window.get_by_text(asked["user_code"]).is_visible()
    apps = await window.get_by_label("In the app").locator("option").all_inner_texts()
    assert apps == ["Choose one", "Other", "Shop", "Default", "All apps"]
    await click(window, "Refuse")
    await window.get_by_role("heading", name="“A clock” is refused").wait_for()

    # and by typing a code, wrong and right, and by allowing less
    asked = shop.request(
        "POST",
        "/oauth/device_authorization",
        "client_id=A+clock&scope=items:read+items:write",
        headers=form,
        token=None,
    ).json()
    await window.goto(f"{shop.url}/pair/")
    await window.get_by_label("Code").fill("BCDF BCDF")
    await click(window, "Go on")
    await window.get_by_text("No request with this code waits.").wait_for()
    await window.get_by_label("Code").fill(asked["user_code"].lower())
    await click(window, "Go on")
    await window.get_by_label("In the app").select_option("shop")
    await window.get_by_label("change and delete in the collection “items”").uncheck()
    await click(window, "Allow once")
    await window.get_by_role("heading", name="“A clock” is let in").wait_for()
    poll = (
        "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=A+clock&device_code="
        + asked["device_code"]
    )
    given = shop.request("POST", "/oauth/token", poll, headers=form, token=None).json()
    assert (given["scope"], given["app"], "refresh_token" in given) == ("items:read", "shop", False)


ASKING = Path(__file__).with_name("notes.html").read_text("utf-8")


@pytest.mark.parametrize("let_in", [True, False], ids=["decided in the browser", "decided elsewhere"])
async def test_a_page_of_another_origin(
    shop: RunningServer, site: Site, windows_of: Watched, let_in: bool
) -> None:
    """RFC 7636 in the page; then supabase-js and PouchDB with what it got, from its own origin."""
    site.pages["/notes"] = ASKING.replace("$BASE", shop.url)
    if let_in:
        await (await windows_of.open(shop, None)).get_by_role("heading", name="Overview").wait_for()
    page = await windows_of.context.new_page()
    await page.goto(f"{site.origin}/notes")
    await page.get_by_role("heading", name="asks for access").wait_for()
    assert "ticket" not in page.url
    (request,) = await requests(shop)
    assert site.origin in request["answer_to"]
    if let_in:
        await click(page, "Allow")
    else:
        await page.get_by_text(f"localsrv approve {request['id']}").wait_for()
        assert shop.request("POST", f"/api/v1/requests/{request['id']}/approve").status == 200
    await page.get_by_text('"total_rows"').wait_for()
    assert await page.evaluate("JSON.parse(document.querySelector('#out').textContent)") == {
        "data": [{"name": "apple"}],
        "error": None,
        "state": True,
        "total_rows": 1,
    }
    grants = shop.request("GET", "/api/v1/grants?kind=paired").json()["grants"]
    assert [(g["origin"], g["app"]) for g in grants] == [(site.origin, "shop")]
    # PouchDB looks for a checkpoint, which there is none of yet
    windows_of.errors[:] = [error for error in windows_of.errors if "404" not in error]


async def test_a_page_of_another_origin_is_refused(
    shop: RunningServer, site: Site, windows_of: Watched
) -> None:
    site.pages["/notes"] = ASKING.replace("$BASE", shop.url)
    await (await windows_of.open(shop, None)).get_by_role("heading", name="Overview").wait_for()
    page = await windows_of.context.new_page()
    await page.goto(f"{site.origin}/notes")
    await page.get_by_role("heading", name="asks for access").wait_for()
    await click(page, "Refuse")
    await page.get_by_text("access_denied").wait_for()
    assert await requests(shop) == []


PUBLIC = """<!doctype html><meta charset="utf-8"><title>Shop</title>
<script src="/supabase.js"></script><p id="out">…</p>
<script src="/page.js" type="module"></script>"""
SCRIPT = """const read = async (url) => {
  const client = supabase.createClient(url, %(key)s);
  const read = await client.from("items").select("name");
  const write = await client.from("items").insert({ name: "x" });
  return [read.data, read.status, write.status];
};
const out = document.querySelector("#out");
out.textContent = JSON.stringify([await read(%(own)s), await read(%(by_path)s)]);
"""


async def test_a_publishable_key_in_chromium(
    shop: RunningServer, site: Site, browser: Browser, tmp_path: Path
) -> None:
    """createClient(url, key) works in the app's own page, and nowhere else."""
    body = {"name": "page", "app": "shop", "scopes": ["items:read"], "publishable": True}
    key = shop.request("POST", "/api/v1/keys", body).json()["token"]
    own, by_path = shop.origin("shop"), f"{shop.url}/apps/shop"
    script = SCRIPT % {"key": as_js(key), "own": as_js(own), "by_path": as_js(by_path)}
    folder = tmp_path / "shop"
    (folder / "ui").mkdir(parents=True)
    (folder / "app.toml").write_text(
        'id = "shop"\ntitle = "Shop"\n[collections.items.fields]\nname = "text"\n'
        f'[ui.csp]\nconnect-src = ["{shop.url}"]\n'
    )
    (folder / "ui" / "index.html").write_text(PUBLIC)
    (folder / "ui" / "page.js").write_text(script)
    (folder / "ui" / "supabase.js").write_bytes((VENDOR / "supabase.js").read_bytes())
    added = shop.request("POST", "/api/v1/apps", {"path": str(folder)})
    assert added.status == 200, added.body

    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{own}/")
    await page.get_by_text("apple").wait_for()
    told = await page.evaluate("JSON.parse(document.querySelector('#out').textContent)")
    assert told == [[[{"name": "apple"}], 200, 403]] * 2

    site.pages["/"] = PUBLIC.replace(
        '<script src="/page.js" type="module"></script>', f'<script type="module">{script}</script>'
    )
    foreign = await context.new_page()
    await foreign.goto(f"{site.origin}/")
    await foreign.get_by_text("[[null").wait_for()
    told = await foreign.evaluate("JSON.parse(document.querySelector('#out').textContent)")
    assert [answer[0] for answer in told] == [None, None]
    await context.close()

    program = shop.request("GET", "/apps/shop/rest/v1/items", token=key)
    assert program.status == 403
    (row,) = shop.request("GET", "/apps/shop/rest/v1/items").json()
    assert row["name"] == "apple"
