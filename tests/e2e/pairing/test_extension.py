"""A browser extension in Chromium pairs by the device flow, and reads with its own grant."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import CHROMIUM_ARGUMENTS, chromium
from tests.support.server import RunningServer

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

SCRIPT = """
self.pair = async us => {
  const asked = await fetch(us + '/oauth/device_authorization', {method: 'POST', body: new URLSearchParams({
    client_id: 'Clipper', scope: 'notes:read', app: 'default'})})
  return asked.json()
}
self.poll = async (us, device_code) => {
  const answer = await fetch(us + '/oauth/token', {method: 'POST', body: new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code', client_id: 'Clipper', device_code})})
  return [answer.status, await answer.json()]
}
self.renew = async (us, refresh_token) => {
  const answer = await fetch(us + '/oauth/token', {method: 'POST',
    body: new URLSearchParams({grant_type: 'refresh_token', refresh_token})})
  return [answer.status, await answer.json()]
}
self.notes = (us, token) => fetch(us + '/apps/default/rest/v1/notes', {headers: {apikey: token}})
  .then(async answer => [answer.status, await answer.json()], error => [0, error.name])
self.note = (us, token) => fetch(us + '/apps/default/rest/v1/notes', {method: 'POST',
    headers: {apikey: token, 'content-type': 'application/json'}, body: '{"text": "evil"}'})
  .then(async answer => [answer.status, await answer.json()], error => [0, error.name])
self.socket = (us, token) => new Promise(done => {
  const socket = new WebSocket(us.replace('http', 'ws') + '/api/v1/apps/default/changes?collections=notes')
  socket.onopen = () => socket.send(JSON.stringify({token}))
  socket.onmessage = event => { done(JSON.parse(event.data).type); socket.close() }
  socket.onerror = () => done('refused')
})
"""


def extension(folder: Path, name: str, **manifest: Any) -> Path:
    """An unpacked extension of a page and a background script, which do the same."""
    folder.mkdir()
    told = {
        "manifest_version": 3,
        "name": name,
        "version": "1",
        "background": {"service_worker": "script.js"},
        **manifest,
    }
    (folder / "manifest.json").write_text(json.dumps(told))
    (folder / "script.js").write_text(SCRIPT)
    (folder / "page.html").write_text("<!doctype html><meta charset=utf-8><script src=script.js></script>")
    return folder


@pytest.fixture
async def extended(tmp_path: Path) -> AsyncIterator[BrowserContext]:
    """Chromium with three extensions: one that pairs, another one, and one that was let into localhost."""
    from playwright.async_api import async_playwright

    folders = [
        extension(tmp_path / "clipper", "Clipper"),
        extension(tmp_path / "other", "Other"),
        extension(tmp_path / "mighty", "Mighty", host_permissions=["http://localhost/*"]),
    ]
    paths = ",".join(str(folder) for folder in folders)
    arguments = [*CHROMIUM_ARGUMENTS, f"--disable-extensions-except={paths}", f"--load-extension={paths}"]
    if sys.platform == "linux" and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=chromium(),
            args=arguments,
            ignore_default_args=["--disable-extensions"],
        )
        yield context
        await context.close()


async def pages(context: BrowserContext) -> dict[str, Page]:
    """A page of each extension, by the extension's name."""
    while len(context.service_workers) < 3:
        await context.wait_for_event("serviceworker")
    found = {}
    for worker in context.service_workers:
        name = await worker.evaluate("chrome.runtime.getManifest().name")
        found[name] = await context.new_page()
        await found[name].goto(worker.url.replace("script.js", "page.html"))
    return found


async def test_an_extension_pairs_and_no_other_uses_its_grant(
    server: RunningServer, extended: BrowserContext
) -> None:
    assert server.request("PUT", "/apps/default/couch/notes").status == 201
    put = server.request("PUT", "/apps/default/couch/notes/a", {"text": "hello"})
    assert put.status == 201
    us = server.url
    opened = await pages(extended)
    clipper, other, mighty = opened["Clipper"], opened["Other"], opened["Mighty"]
    origin = clipper.url.removesuffix("/page.html")
    assert origin.startswith("chrome-extension://")

    device = await clipper.evaluate("us => pair(us)", us)
    (request,) = server.request("GET", "/api/v1/requests").json()["requests"]
    assert (request["code"], request["origin"]) == (device["user_code"], origin)
    waiting = await clipper.evaluate("([us, code]) => poll(us, code)", [us, device["device_code"]])
    assert (waiting[0], waiting[1]["error"]) == (400, "authorization_pending")
    assert server.request("POST", f"/api/v1/requests/{request['code']}/approve").status == 200
    status, tokens = await clipper.evaluate("([us, code]) => poll(us, code)", [us, device["device_code"]])
    assert (status, tokens["scope"]) == (200, "notes:read")
    status, tokens = await clipper.evaluate("([us, t]) => renew(us, t)", [us, tokens["refresh_token"]])
    assert status == 200

    mine = [us, tokens["access_token"]]
    status, rows = await clipper.evaluate("([us, t]) => notes(us, t)", mine)
    assert (status, [row["text"] for row in rows]) == (200, ["hello"])
    assert (await clipper.evaluate("([us, t]) => note(us, t)", mine))[0] == 403
    assert await clipper.evaluate("([us, t]) => socket(us, t)", mine) == "ready"
    (worker,) = [w for w in extended.service_workers if w.url.startswith(origin)]
    assert (await worker.evaluate("([us, t]) => notes(us, t)", mine))[0] == 200

    # Another extension has the token, and may not even see the answer; it cannot open a socket either.
    assert await other.evaluate("([us, t]) => notes(us, t)", mine) == [0, "TypeError"]
    assert await other.evaluate("([us, t]) => note(us, t)", mine) == [0, "TypeError"]
    assert await other.evaluate("([us, t]) => socket(us, t)", mine) == "refused"
    # One that the person lets into localhost asks without CORS, and changes nothing with another's token.
    assert (await mighty.evaluate("([us, t]) => note(us, t)", mine))[0] == 403
    assert await mighty.evaluate("([us, t]) => socket(us, t)", mine) == "refused"
    stored = server.request("GET", "/apps/default/couch/notes/_all_docs?include_docs=true").json()
    assert [row["doc"]["text"] for row in stored["rows"] if "text" in row["doc"]] == ["hello"]

    (grant,) = server.request("GET", "/api/v1/grants").json()["grants"]
    assert (grant["origin"], grant["program"], grant["kind"]) == (origin, "Clipper", "paired")
    assert server.request("DELETE", f"/api/v1/grants/{grant['id']}").status == 200
    assert await clipper.evaluate("([us, t]) => notes(us, t)", mine) == [0, "TypeError"]
