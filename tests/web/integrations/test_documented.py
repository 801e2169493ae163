"""docs/integrations.md: its examples work as they stand, in a page of the app, in Chromium."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from aiohttp import web

from localsrv.cli.integrations import integration
from localsrv.model.integrations import LIMITS, PARAMETERS, Limits
from tests.support.outside import Service
from tests.web.conftest import WebServer
from tests.web.integrations.conftest import SECRET

if TYPE_CHECKING:
    from playwright.async_api import Page

TEXT = (Path(__file__).parents[3] / "docs" / "integrations.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


async def answer(request: web.Request) -> web.StreamResponse:
    if request.path == "/v1/chat":
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in ("It ", "rains."):
            await response.write(f"data: {word}\n\n".encode())
        return response
    is_known = request.headers.get("X-Api-Key") == SECRET
    told = {"degrees": 21, "place": request.path.rpartition("/")[2]}
    return web.json_response({**told, "units": request.query.get("units")}, status=200 if is_known else 401)


@pytest.fixture
async def shop(web_server: WebServer, service: Service, tmp_path: Path) -> WebServer:
    """The app with the manifest of the page, set up as the owner would."""
    folder = tmp_path / "shop"
    (folder / "ui").mkdir(parents=True)
    (folder / "ui" / "index.html").write_text("<!doctype html><title>Shop</title>")
    (manifest,) = blocks("toml")
    more = '[integrations.model]\nwhy = "Writes"\nauth = "bearer"\nmethods = ["POST"]\n'
    (folder / "app.toml").write_text(f'id = "shop"\n{manifest}{more}')
    made = await web_server.ask("POST", "/api/v1/apps", json={"path": str(folder)})
    assert made.status == 201, made.body
    for name in ("weather", "model"):
        body = {"base_url": f"{service.url}/v1", "secret": SECRET, "hosts": ["api.example.org"]}
        done = await web_server.ask("PUT", f"/api/v1/apps/shop/integrations/{name}", json=body)
        assert done.status == 200, done.body
    for path in ("/v1/now/Berlin", "/v1/chat"):
        service.answer(path, answer)
    return web_server


async def opened(shop: WebServer, page: Page) -> str:
    """The token of a page that the owner opened, as a page gets it."""
    made = await shop.ask("POST", "/api/v1/codes", json={"app": "shop"})
    await page.goto(shop.origin("shop") + "/")
    token = await page.evaluate(
        """async (code) => (await (await fetch("/api/v1/exchange", {
             method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ code }),
           })).json()).token""",
        made.json["code"],
    )
    assert isinstance(token, str)
    return token


async def run(page: Page, token: str, block: str, call: str) -> Any:
    return await page.evaluate(
        f"async () => {{ const token = {json.dumps(token)}; {block}\nreturn {call}; }}"
    )


async def test_the_examples_run_in_a_page(shop: WebServer, service: Service, page: Page) -> None:
    weather, model, cache = blocks("js")
    token = await opened(shop, page)
    told = await run(page, token, weather, 'await weather("Berlin")')
    assert told == {"degrees": 21, "place": "Berlin", "units": "metric"}
    assert SECRET not in await page.content()
    refused = await run(page, token, weather, 'await weather("../admin").catch((error) => error.message)')
    assert "climbs" in refused or "does not allow" in refused
    said = (
        "await (async () => { const all = []; for await (const l of lines('?')) all.push(l); return all; })()"
    )
    assert await run(page, token, model, said) == ["It ", "rains."]
    assert json.loads(service.last[3]) == {"prompt": "?", "stream": True}
    twice = 'await Promise.all([await cached("k", 60, () => ({ a: 1 })), await cached("k", 60, () => 2)])'
    assert await run(page, token, cache, twice) == [{"a": 1}, {"a": 1}]
    assert await run(page, token, cache, '[await count("n"), await count("n")]') == [1, 2]


def test_every_command_line_is_understood() -> None:
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", "").splitlines()]
    assert len(lines) == 6
    for line in lines:
        words = shlex.split(line.partition("<")[0])
        assert words[:2] == ["localsrv", "integration"]
        command = integration.commands[words[2]]
        command.make_context(words[2], words[3:], parent=click.Context(integration))


def test_every_kind_and_limit_is_told() -> None:
    for kind, parameters in PARAMETERS.items():
        (row,) = re.findall(rf"^\| `{kind}` \|.*$", TEXT, re.MULTILINE)
        assert all(f"`{name}`" in row for name in parameters) or "the same" in row
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", TEXT, re.MULTILINE))
    assert {name: float(value) for name, value in told.items()} == {
        name: float(getattr(Limits(), name)) for name in LIMITS
    }


def test_every_error_of_an_integration_is_told() -> None:
    package = Path(__file__).parents[3] / "localsrv"
    files = [
        *(package / "services" / "integrations").glob("*.py"),
        *(package / "outbound" / name for name in ("services.py", "token_endpoint.py")),
        *(package / "model" / name for name in ("redirects.py", "integration_paths.py")),
    ]
    pattern = re.compile(r'code ?= ?"(integration-[a-z-]+|bad-path)"')
    codes = {code for file in files for code in pattern.findall(file.read_text("utf-8"))}
    assert len(codes) >= 14
    assert [code for code in sorted(codes) if f"`{code}`" not in TEXT] == []
