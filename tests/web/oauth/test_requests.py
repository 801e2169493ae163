"""The list of who waits, as it changes: for tray and command line by waiting, for pages by a WebSocket."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from localsrv.services.pairing import Pairing
from tests.web.oauth.conftest import Desk

PATH = "/api/v1/requests"


async def next_list(socket: aiohttp.ClientWebSocketResponse) -> list[str]:
    """The names that wait, once the list is another."""
    told: Any = await asyncio.wait_for(socket.receive_json(), 5)
    return [request["name"] for request in told["requests"]]


async def test_a_page_follows_the_list(desk: Desk) -> None:
    url = desk.server.url + PATH
    async with desk.server.session.ws_connect(url, headers=desk.server.headers(token=None)) as socket:
        await socket.send_json({"token": desk.server.owner})
        assert await next_list(socket) == []
        first = await desk.device("First")
        assert await next_list(socket) == ["First"]
        await desk.device("Second")
        assert await next_list(socket) == ["First", "Second"]
        await desk.decide(first["user_code"], "refuse")
        assert await next_list(socket) == ["Second"]
        desk.clock.now += 601
        assert await desk.requests() == []
        assert await next_list(socket) == []


async def test_a_request_ends_by_itself(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks and nobody decides: who follows the list is told all the same."""
    monkeypatch.setattr("localsrv.services.waiting.LIFETIME_S", 0.3)
    desk.clock.now = time.monotonic()
    pairing = desk.server.services.extra[Pairing]
    pairing._waiting.clock = time.monotonic
    url = desk.server.url + PATH
    async with desk.server.session.ws_connect(url, headers=desk.server.headers()) as socket:
        assert await next_list(socket) == []
        await desk.device("Slow")
        assert await next_list(socket) == ["Slow"]
        assert await next_list(socket) == []


async def test_waiting_for_another_list(desk: Desk) -> None:
    version = (await desk.server.ask("GET", PATH)).json["version"]
    waiting = asyncio.ensure_future(desk.server.ask("GET", f"{PATH}?version={version}&wait=30"))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    await desk.device("First")
    answer = await asyncio.wait_for(waiting, 5)
    assert [request["name"] for request in answer.json["requests"]] == ["First"]
    assert answer.json["version"] != version
    at_once = await desk.server.ask("GET", f"{PATH}?version={version}&wait=30")
    assert at_once.json == answer.json
    begun = time.monotonic()
    same = await desk.server.ask("GET", f"{PATH}?version={answer.json['version']}&wait=1")
    assert (same.json == answer.json, time.monotonic() - begun > 0.9) == (True, True)


@pytest.mark.parametrize("query", ["version=x&wait=1", "version=-1&wait=1", "version=1&wait=1e3", "wait=²"])
async def test_what_is_no_number(desk: Desk, query: str) -> None:
    assert (await desk.server.ask("GET", f"{PATH}?{query}")).status == 400


NOT_LET_IN: list[tuple[str, Any, str]] = [
    ("no token", {"hello": 1}, "unauthenticated"),
    ("an unknown token", {"token": "lsk_" + "A" * 43}, "bad-token"),
    ("a key of one app", {"token": "app"}, "wrong-app"),
    ("a key without admin", {"token": "all"}, "scope-missing"),
]


@pytest.mark.parametrize(("name", "first", "code"), NOT_LET_IN, ids=[row[0] for row in NOT_LET_IN])
async def test_who_may_not_follow(desk: Desk, name: str, first: Any, code: str) -> None:
    keys = {
        "app": await desk.server.key("shop", "admin"),
        "all": await desk.server.key("*", "*:read", "*:write", "sync"),
    }
    first = {k: keys.get(v, v) for k, v in first.items()}
    await desk.device("Secret name")
    url = desk.server.url + PATH
    async with desk.server.session.ws_connect(url, headers=desk.server.headers(token=None)) as socket:
        await socket.send_json(first)
        told = await asyncio.wait_for(socket.receive_json(), 5)
        assert (told["type"], told["code"]) == ("error", code)
        closed = await asyncio.wait_for(socket.receive(), 5)
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 4401)


async def test_who_waits_does_not_hold_the_server(desk: Desk) -> None:
    begun = await desk.authorize()
    body = {"ticket": begun.headers["Location"].partition("=")[2], "wait": 60}
    version = (await desk.server.ask("GET", PATH)).json["version"]
    waiting = [
        asyncio.ensure_future(desk.server.ask("POST", "/api/v1/ticket", token=None, json=body)),
        asyncio.ensure_future(desk.server.ask("GET", f"{PATH}?version={version}&wait=60")),
    ]
    await asyncio.wait(waiting, timeout=0.2)
    assert not any(task.done() for task in waiting)
    await desk.server.leave()
    answers = await asyncio.gather(*waiting)
    assert [answer.status for answer in answers] == [200, 200]
