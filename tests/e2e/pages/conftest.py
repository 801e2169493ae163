"""What the tests of pages share: the sample app on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localsrv import sample
from localsrv.base.paths import Paths
from localsrv.client import Client
from localsrv.client.starting import connect
from tests.support.server import RunningServer


@pytest.fixture
def client(server: RunningServer, home: Path) -> Iterator[Client]:
    with connect(Paths.from_environment()) as connected:
        yield connected


@pytest.fixture
def shop(server: RunningServer, client: Client) -> RunningServer:
    """A server with the sample app and its data."""
    sample.install(client)
    return server
