"""/integrations/v1: calls to an outside service, with a secret that no client sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.support.outside import Service, playing
from tests.web.conftest import Answer, WebServer

SECRET = "sesame-open-7e1f"
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
    """An integration with a bearer secret unless told otherwise."""
    body = {
        "base_url": service.url,
        "auth": "bearer",
        "secret": SECRET,
        "hosts": ["api.example.org"],
        "limits": {"retries": 0},
        **settings,
    }
    body = {name: value for name, value in body.items() if value is not None}
    done = await server.ask("PUT", f"{API}/{name}", json=body)
    assert done.status == 200, done.body
    assert SECRET.encode() not in done.body


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"], answer.headers["Integration-Error"]) == (status, code, code)


async def test_a_call_goes_out_with_the_secret_and_comes_back(shop: WebServer, service: Service) -> None:
    await set_up(shop, service, base_url=f"{service.url}/v1")
    answer = await shop.ask("GET", f"{FACE}/weather/now/berlin?units=c&x=%20y")
    assert (answer.status, answer.body) == (200, b"hello")
    method, path, headers, body = service.last
    assert (method, path, body) == ("GET", "/v1/now/berlin?units=c&x=%20y", b"")
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["Host"] == f"api.example.org:{service.port}"
