"""A database of the sync face in a running application."""

from __future__ import annotations

import pytest

from tests.support.couch import Couch
from tests.web.conftest import WebServer


@pytest.fixture
async def couch(web_server: WebServer) -> Couch:
    """An empty database `db` of app `shop`."""
    await web_server.make_app("shop")
    made = Couch(web_server)
    done = await made.ask("PUT")
    assert done.status == 201, done.body
    return made
