"""The real supabase-js on Northwind and Chinook, imported into a running server the way a person imports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import NODE_MODULES
from tests.support.server import RunningServer, start_server

HERE = Path(__file__).parent
PACKAGES = NODE_MODULES / "@supabase" / "supabase-js"


@pytest.fixture(scope="module")
def shops(
    tmp_path_factory: pytest.TempPathFactory, northwind: Path, chinook: Path
) -> Iterator[RunningServer]:
    """A server with both databases imported; Northwind's products are made searchable."""
    home = tmp_path_factory.mktemp("shops")
    server = start_server(home)
    for file, app in ((northwind, "northwind"), (chinook, "chinook")):
        command = [sys.executable, "-m", "localsrv", "import", str(file), "--app", app]
        environment = os.environ | {"LOCALSRV_HOME": str(home)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
    definitions = server.request("GET", "/api/v1/apps/northwind/collections").json()["collections"]
    products = next(c["definition"] for c in definitions if c["name"] == "products")
    products["full_text"] = ["ProductName"]
    changed = server.request("PUT", "/api/v1/apps/northwind/collections/products", products)
    assert changed.status == 200, changed.body
    yield server
    assert server.stop() == 0, server.output()
    assert "Traceback" not in server.output()


@pytest.mark.parametrize("suite", ["northwind", "chinook"])
def test_supabase_js(shops: RunningServer, suite: str) -> None:
    node = shutil.which("node")
    if node is None or not PACKAGES.is_dir():
        pytest.skip("Node.js and the packages of tests/node are not installed")
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", str(HERE / f"{suite}.test.mjs")],
        env=os.environ | {"LOCALSRV_URL": shops.url, "LOCALSRV_TOKEN": shops.token},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    assert "fail 0" in done.stdout
