"""An app `shop`, an outside service, and an integration between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.leaks import secret
from tests.support.outside import Service, playing
from tests.web.conftest import Answer, WebServer

SECRET = secret()
"""No file of the test may hold it afterwards."""
API = "/api/v1/apps/shop/integrations"
FACE = "/apps/shop/integrations/v1"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with playing() as found:
        yield found


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    await web_server.make_app("shop")
    return web_server


async def set_up(server: WebServer, service: Service, name: str = "weather", **settings: Any) -> None:
    """An integration with a bearer secret and without repetitions, unless told otherwise."""
    body = {
        "base_url": service.url,
        "auth": "bearer",
        "secret": SECRET,
        "hosts": ["api.example.org"],
        **settings,
        "limits": {"retries": 0, **settings.get("limits", {})},
    }
    body = {name: value for name, value in body.items() if value is not None}
    done = await server.ask("PUT", f"{API}/{name}", json=body)
    assert done.status == 200, done.body
    assert SECRET.encode() not in done.body


async def set_up_open(server: WebServer, service: Service, name: str = "weather", **settings: Any) -> None:
    """One without a secret and without hosts that the owner named."""
    await set_up(server, service, name, **{"auth": "none", "secret": None, "hosts": [], **settings})


def refused(answer: Answer, status: int, code: str) -> None:
    """The answer is an error of ours, marked as such."""
    told = (answer.status, answer.json["code"], answer.headers["Integration-Error"])
    assert told == (status, code, code), answer.body
    assert SECRET.encode() not in answer.body
