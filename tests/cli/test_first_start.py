"""The sample app: asked for on a terminal, added when told, never added twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localsrv.base import server_file
from localsrv.base.paths import Paths
from tests.support.commands import ROOT, environment, run
from tests.support.server import RunningServer
from tests.support.waiting import wait_until


def products(home: Path) -> int:
    return int(run(home, "query", "inventory", "SELECT count(*) AS n FROM products", "--json").json()[0]["n"])


def test_the_sample_is_added_to_a_running_server(server: RunningServer) -> None:
    first = run(server.home, "serve", "--sample", "yes")
    assert first.code == 0
    assert f"Inventory: http://inventory.localhost:{server.port}/#code=" in first.out
    assert products(server.home) == 77
    assert run(server.home, "serve", "--sample", "yes").code == 0
    assert products(server.home) == 77
    again = run(server.home, "serve", "--sample", "no")
    assert (again.code, "Inventory" in again.out) == (0, False)


@pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: pseudo-terminals of POSIX")
@pytest.mark.parametrize(("answer", "is_added"), [(b"\n", True), (b"n\n", False)])
def test_a_person_is_asked_at_the_first_start(tmp_path: Path, answer: bytes, is_added: bool) -> None:
    master, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "localsrv", "serve", "--port", "0", "--offer-sample"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        os.write(master, answer)
        said = process.stdout.readline()  # the question and, behind it, where the server is
        assert b"Add the sample app Inventory" in said
        wait_until(lambda: server_file.find(Paths.below(tmp_path)), what="server.json")
        if is_added:
            assert b"/#code=" in process.stdout.readline()
        apps = [app["id"] for app in run(tmp_path, "app", "list", "--json").json()]
        assert ("inventory" in apps) == is_added
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()
        os.close(master)
        os.close(terminal)


def test_without_a_terminal_the_sample_is_added_and_its_address_printed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "localsrv", "serve", "--port", "0", "--offer-sample"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "Adding the sample app Inventory" in process.stdout.readline()
        assert "localsrv" in process.stdout.readline()
        assert "http://inventory.localhost" in process.stdout.readline()
        assert products(tmp_path) == 77
        process.terminate()
        assert process.wait(20) == 0
