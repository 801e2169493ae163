"""The web page of docs/pairing.md in Chromium, from another origin, in every way it can be decided."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.pairing_page.conftest import (
    NAMES,
    Site,
    at,
    blocks,
    by_click,
    by_command,
    end_grants,
    file,
    grants,
    let_in,
    libraries,
    request_of,
    write,
)
from tests.support.pages import Watched
from tests.support.server import RunningServer

EXPIRE = """() => {
  const kept = JSON.parse(localStorage.getItem("localsrv"));
  localStorage.setItem("localsrv", JSON.stringify({ ...kept, until: Date.now() + 1000 }));
}"""
"""As if nearly an hour had passed."""
WITH_CODE = "      await access.askWithCode("


def by_browser() -> str:
    """The page with the block that the text says to put in place of `askWithCode(…)`."""
    html, (instead, *_) = file("index.html"), blocks("A web page", "js")
    begins = html.index(WITH_CODE)
    ends = html.index("      });\n", begins) + len("      });\n")
    return html[:begins] + instead + html[ends:]


async def shows_names(page: Page) -> None:
    await expect(page.locator("#names li")).to_have_text(NAMES)


async def test_with_a_code_and_the_command_line(people: RunningServer, site: Site, watched: Watched) -> None:
    write(site.folder, people, {"index.html": file("index.html"), "localsrv.js": file("localsrv.js")})
    page = await watched.context.new_page()
    await page.goto(site.origin)
    request = await by_command(people)
    await expect(page.locator("#state")).to_contain_text("Let in.")
    await shows_names(page)
    assert (request["name"], request["origin"]) == ("People page", site.origin)
    (grant,) = grants(people)
    assert (grant["origin"], grant["app"], grant["scopes"]) == (site.origin, "people", ["people:read"])

    await page.reload()  # it goes on with what it kept
    await shows_names(page)
    await page.evaluate(EXPIRE)
    before = await page.evaluate("localStorage.getItem('localsrv')")
    await page.reload()  # and renews it
    await shows_names(page)
    assert json.loads(before)["refresh_token"] not in await page.evaluate("localStorage.getItem('localsrv')")

    pages = [page, *[await watched.context.new_page() for _ in range(3)]]
    for _ in range(3):  # and windows that renew at once do not end it
        await page.evaluate(EXPIRE)
        await asyncio.gather(*(one.goto(site.origin) for one in pages))
        for one in pages:
            await shows_names(one)
    assert [found["id"] for found in grants(people)] == [grant["id"]]


async def test_with_a_code_and_a_click(people: RunningServer, site: Site, watched: Watched) -> None:
    await let_in(watched, people)
    write(site.folder, people, {"index.html": file("index.html"), "localsrv.js": file("localsrv.js")})
    page = await watched.context.new_page()
    await page.goto(site.origin)
    async with watched.context.expect_page() as opening:
        await page.get_by_role("link", name="decide").click()
    deciding = await opening.value
    code = (await request_of(people))["code"]
    await expect(deciding.locator("body")).to_contain_text(code)
    await expect(page.locator("#state")).to_contain_text(code)
    await by_click(deciding)
    await shows_names(page)


async def test_refused(people: RunningServer, site: Site, watched: Watched) -> None:
    write(site.folder, people, {"index.html": file("index.html"), "localsrv.js": file("localsrv.js")})
    page = await watched.context.new_page()
    await page.goto(site.origin)
    await by_command(people, what="refuse")
    await expect(page.locator("#state")).to_have_text("The owner of this computer refused.")
    assert grants(people) == []


@pytest.mark.parametrize("decide", ["by click", "by command"])
async def test_by_the_browser(people: RunningServer, site: Site, watched: Watched, decide: str) -> None:
    write(site.folder, people, {"index.html": by_browser(), "localsrv.js": file("localsrv.js")})
    if decide == "by click":
        await let_in(watched, people)
    page = await watched.context.new_page()
    await page.goto(site.origin)
    await page.wait_for_url(f"{people.url}/pair/**")
    if decide == "by click":
        await by_click(page)
    else:
        await by_command(people)
    await shows_names(page)
    assert page.url == f"{site.origin}/", "the code has left the address"


LIBRARIES = """<!doctype html><meta charset="utf-8"><title>Libraries</title>
<script src="supabase.js"></script><script src="pouchdb.js"></script>
<script type="module">
  import { Access } from "./localsrv.js";
  const keep = { kept: null, load() { return this.kept; }, save(value) { this.kept = value; } };
  window.access = new Access({ name: "Libraries", app: "people", scope: "people:read", keep });
  await access.askWithCode(() => {});
  %s
  window.found = [data.map(({ name }) => name), (await here.allDocs()).total_rows];
</script>"""


async def test_supabase_and_pouchdb(people: RunningServer, site: Site, watched: Watched) -> None:
    libraries(site.folder)
    (_, libs) = blocks("A web page", "js")
    write(site.folder, people, {"index.html": LIBRARIES % libs, "localsrv.js": file("localsrv.js")})
    page = await watched.context.new_page()
    await page.goto(site.origin)
    await by_command(people)
    await page.wait_for_function("window.found")
    assert await page.evaluate("found") == [["Grace", "Barbara"], 3]

    end_grants(people)
    rows = at(people, "http://localhost:4680/apps/people/rest/v1/people")
    told: Any = await page.evaluate(
        """async (rows) => [
          await access.fetch(rows).then((answer) => answer.status, (error) => error.message),
          await access.token(),
        ]""",
        rows,
    )
    assert told == ["Access to localsrv was ended.", None]
    watched.errors.clear()  # the browser's own note of that


PUSH = """async (url) => {
  const keep = { kept: null, load() { return this.kept; }, save(value) { this.kept = value; } };
  const about = { name: "Writer", app: "people", scope: "people:read people:write", keep };
  const writer = new access.constructor(about);
  await writer.askWithCode(() => {});
  const here = new PouchDB("written");
  await here.put({ _id: "radia", name: "Radia", born: 1951 });
  const { push, pull } = await here.sync(new PouchDB(url, { fetch: writer.fetch }));
  await writer.end();
  return [push.docs_written, pull.docs_written, await writer.token()];
}"""


async def test_pouchdb_pushes_and_gives_its_access_back(
    people: RunningServer, site: Site, watched: Watched
) -> None:
    """With no more than reading and writing of that collection."""
    libraries(site.folder)
    html = LIBRARIES % "const [data, here] = [[], new PouchDB('none')];"
    write(site.folder, people, {"index.html": html, "localsrv.js": file("localsrv.js")})
    page = await watched.context.new_page()
    await page.goto(site.origin)
    await by_command(people)
    await page.wait_for_function("window.found")
    url = at(people, "http://localhost:4680/apps/people/couch/people")
    told, _ = await asyncio.gather(page.evaluate(PUSH, url), by_command(people))
    assert told == [1, 3, None]
    stored = people.request("GET", "/apps/people/rest/v1/people?name=eq.Radia").json()
    assert [row["born"] for row in stored] == [1951]
    assert [grant["program"] for grant in grants(people)] == ["Libraries"]
