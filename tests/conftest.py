"""Fixtures that every test may use, and the rule that CI skips nothing for want of a dependency."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.disks import small_disk
from tests.support.leaks import forget, leaks
from tests.support.server import RunningServer, start_server

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

# A skip that says so is about the system, not about something that could have been installed.
ALLOWED_SKIPS = ("only on ", "not on ")


# ── skips ──────────────────────────────────────────────────────────────────────────────────────────────────


def _skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ")


def _refuse_skip(report: Any) -> None:
    """In CI a skip for a missing dependency is a failure: otherwise a green run may have tested nothing."""
    if not IN_CI or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = _skip_reason(report)
    if not reason.startswith(ALLOWED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where every dependency must be installed: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    report = yield
    _refuse_skip(report)
    return report


# ── secrets ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def no_secret_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that left a token or a secret in the clear where none may be (`tests.support.leaks`)."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    forget()
    yield
    if folder is not None:
        assert list(leaks(folder)) == []


# ── places ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that LOCALSRV_HOME names for this process and the ones it starts."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("LOCALSRV_HOME", str(folder))
    return folder


@pytest.fixture
def free_port() -> int:
    """A port that nothing listened on a moment ago, on either loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function that mounts an empty disk of so many megabytes until the test ends, or skips."""
    with contextlib.ExitStack() as mounted:
        yield lambda megabytes: mounted.enter_context(small_disk(tmp_path / "disk", megabytes))


@pytest.fixture(scope="session")
def northwind() -> Path:
    """The Northwind database that the sample app ships. Copy it before you write to it."""
    return ROOT / "localsrv" / "sample" / "inventory" / "data" / "northwind.db"


@pytest.fixture(scope="session")
def chinook() -> Path:
    """The Chinook database. Copy it before you write to it."""
    return ROOT / "tests" / "data" / "chinook.db"


# ── servers ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """A function like `start_server` whose servers are ended after the test (those killed by it included)."""
    started: list[RunningServer] = []

    def start(home: Path | None = None, *arguments: str, **options: Any) -> RunningServer:
        running = start_server(home or tmp_path / f"home-{len(started)}", *arguments, **options)
        started.append(running)
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.kill()


@pytest.fixture
def server(home: Path) -> Iterator[RunningServer]:
    """A running server with an empty home; the test fails if it does not end cleanly.

    A test may stop or kill it itself: then nothing more is asserted about its end.
    """
    running = start_server(home)
    yield running
    if running.process.poll() is None:
        assert running.stop() == 0, running.output()
        assert "Traceback" not in running.output()


# ── the browser ────────────────────────────────────────────────────────────────────────────────────────────

# Chromium must not try to reach its maker's hosts: each try costs time and fills the log.
CHROMIUM_ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


def chromium() -> str:
    """Where Chromium is, or skip."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("Chromium is not installed")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium driven by Playwright's asynchronous API.

    One per test: Playwright's synchronous API, or a browser that outlives its event loop, would break
    the asynchronous tests that follow.
    """
    from playwright.async_api import async_playwright

    arguments = list(CHROMIUM_ARGUMENTS)
    if sys.platform == "linux" and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield launched
        await launched.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page in a context of its own; the test fails on an uncaught error in its scripts."""
    errors: list[str] = []
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    opened = await context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    await context.close()
    assert errors == []
