"""Fixtures of the tests of bad input: one server for a whole module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.refusals import API, COLLECTIONS, REST, everything
from tests.support.server import RunningServer, start_server


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a small body limit, an app and a few documents. It must live through everything here."""
    home = tmp_path_factory.mktemp("bad-input") / "home"
    server = start_server(home, env={"LOCALSRV_MAX_BODY_MB": "1", "LOCALSRV_QUERY_TIMEOUT_S": "1"})
    made = server.request("POST", "/api/v1/apps", {"id": "shop", "title": "Shop"})
    assert made.status == 201, made.body
    defined = server.request("PUT", f"{API}/collections", COLLECTIONS)
    assert defined.status == 201, defined.body
    rows = [{"id": n, "name": f"thing {n}", "code": f"c{n}"} for n in range(1, 4)]
    assert server.request("POST", f"{REST}/items", rows).status == 201
    assert server.request("POST", f"{REST}/notes", {"id": "n", "Abc": 1}).status == 201
    assert server.request("POST", f"{REST}/lines", {"id": "l", "item": 1}).status == 201
    yield server
    assert server.process.poll() is None, "the server ended"
    assert server.stop() == 0, server.output()
    written = "".join(f.read_text("utf-8") for f in (server.home / "logs").iterdir()) + server.output()
    assert "Traceback" not in written and server.token not in written
    unforeseen = [line for line in written.splitlines() if '"level": "error"' in line]
    assert unforeseen == [], "a request failed in a way that nobody foresaw"


@pytest.fixture(scope="module")
def before(shop: RunningServer) -> dict[str, Any]:
    """What `shop` held at first."""
    return everything(shop)
