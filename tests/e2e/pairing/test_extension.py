"""A browser extension asks for access in a real Chromium, and holds it by its own origin."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.async_api import async_playwright

from tests.conftest import CHROMIUM_ARGUMENTS, chromium
from tests.support.server import RunningServer

EXTENSION = Path(__file__).with_name("extension")


async def test_an_extension(shop: RunningServer, tmp_path: Path) -> None:
    folder = tmp_path / "extension"
    shutil.copytree(EXTENSION, folder)
    arguments = [
        *(a for a in CHROMIUM_ARGUMENTS if a != "--disable-background-networking"),
        "--headless=new",
        f"--disable-extensions-except={folder}",
        f"--load-extension={folder}",
        "--disable-features=DisableLoadExtensionCommandLineSwitch",
    ]
    if sys.platform == "linux" and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=chromium(),
            args=arguments,
            headless=False,
            ignore_default_args=["--disable-extensions"],
        )
        workers = context.service_workers
        worker = workers[0] if workers else await context.wait_for_event("serviceworker", timeout=15_000)
        origin = worker.url.rsplit("/", 1)[0]
        assert origin.startswith("chrome-extension://")
        device = await worker.evaluate("base => ask(base)", shop.url)
        (request,) = shop.request("GET", "/api/v1/requests").json()["requests"]
        assert (request["name"], request["origin"]) == ("Clipper", origin)
        assert shop.request("POST", f"/api/v1/requests/{device['user_code']}/approve").status == 200
        tokens = await worker.evaluate(
            "([base, code]) => poll(base, code)", [shop.url, device["device_code"]]
        )
        used = await worker.evaluate(
            "([base, token]) => use(base, token)", [shop.url, tokens["access_token"]]
        )
        assert used == [201, 200, [{"name": "apple"}, {"name": "clip"}]]
        await context.close()
    (grant,) = shop.request("GET", "/api/v1/grants").json()["grants"]
    assert (grant["kind"], grant["origin"]) == ("paired", origin)
    stolen = shop.request(
        "GET",
        "/apps/shop/rest/v1/items",
        token=tokens["access_token"],
        headers={"Origin": "chrome-extension://" + "a" * 32},
    )
    assert stolen.status == 403
