"""Clients that ask for access and the person who decides, over real sockets, by a clock that tests set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from localsrv.services.pairing import Pairing
from tests.support.oauth import DEVICE_GRANT, Pkce
from tests.web.conftest import Answer, WebServer, web_server  # noqa: F401

ITEMS = {"fields": {"name": "text"}}


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Desk:
    """The server, its clients and its owner."""

    server: WebServer
    clock: Clock

    async def post(self, path: str, origin: str | None = None, **form: str) -> Answer:
        """A form, as a program, or as a page of an origin."""
        headers = {} if origin is None else {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        return await self.server.ask("POST", path, token=None, headers=headers, data=form)

    async def device(self, name: str = "Notes", scope: str = "items:read", **more: Any) -> Any:
        """A device request that waits."""
        origin = more.pop("origin", None)
        answer = await self.post("/oauth/device_authorization", origin, client_id=name, scope=scope, **more)
        assert answer.status == 200, answer.body
        return answer.json

    async def poll(self, device: Any, name: str = "Notes", origin: str | None = None) -> Answer:
        """The next question for its token, a moment later."""
        self.clock.now += 5
        form = {"grant_type": DEVICE_GRANT, "device_code": device["device_code"], "client_id": name}
        return await self.post("/oauth/token", origin, **form)

    async def requests(self) -> list[Any]:
        found: list[Any] = (await self.server.ask("GET", "/api/v1/requests")).json["requests"]
        return found

    async def decide(self, request: str, what: str = "approve", **body: Any) -> Answer:
        return await self.server.ask("POST", f"/api/v1/requests/{request}/{what}", json=body)

    async def paired(self, name: str = "Notes", scope: str = "items:read", **more: Any) -> Any:
        """The tokens of a program that was allowed what it asked for."""
        origin, decision = more.pop("origin", None), more.pop("decision", {})
        device = await self.device(name, scope, **{"app": "shop", **more}, origin=origin)
        approved = await self.decide(device["user_code"], **decision)
        assert approved.status == 200, approved.body
        answer = await self.poll(device, name, origin)
        assert answer.status == 200, answer.body
        return answer.json

    async def refresh(self, token: str, origin: str | None = None, **more: str) -> Answer:
        return await self.post(
            "/oauth/token", origin, grant_type="refresh_token", refresh_token=token, client_id="Notes", **more
        )

    async def authorize(self, headers: dict[str, str] | None = None, **query: str) -> Answer:
        """The browser comes with the person. Empty values leave a usual parameter out."""
        usual = {
            "response_type": "code",
            "client_id": "Notes",
            "redirect_uri": "http://127.0.0.1:7777/cb",
            "scope": "items:read",
            "app": "shop",
            "state": "st",
            "code_challenge": "c" * 43,
            "code_challenge_method": "S256",
        }
        parameters = {name: value for name, value in {**usual, **query}.items() if value}
        navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        return await self.server.ask(
            "GET",
            "/oauth/authorize?" + urlencode(parameters),
            token=None,
            headers=navigation if headers is None else headers,
        )

    async def ticket(self, location: str) -> Answer:
        """What the waiting page asks."""
        assert location.startswith("/pair/#ticket="), location
        return await self.server.ask(
            "POST", "/api/v1/ticket", token=None, json={"ticket": location.partition("=")[2]}
        )

    async def code(self, pkce: Pkce, **query: str) -> str:
        """The code of a redirect that was allowed."""
        begun = await self.authorize(code_challenge=pkce.challenge, **query)
        assert begun.status == 303, begun.body
        (request,) = await self.requests()
        assert (await self.decide(request["id"])).status == 200
        location = (await self.ticket(begun.headers["Location"])).json["redirect_to"]
        return parse_qs(urlsplit(location).query)["code"][0]

    async def redeem(self, code: str, pkce: Pkce, origin: str | None = None, **more: str) -> Answer:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": "Notes",
            "redirect_uri": "http://127.0.0.1:7777/cb",
            "code_verifier": pkce.verifier,
            **more,
        }
        return await self.post("/oauth/token", origin, **form)

    async def read(self, token: str, **headers: str) -> int:
        """The status of reading the shop's items."""
        path = "/apps/shop/rest/v1/items"
        return (await self.server.ask("GET", path, token=token, headers=headers)).status

    async def events(self, *wanted: str) -> list[tuple[str, str | None]]:
        """(event, subject or who) of the audit log, oldest first, of those that are wanted."""
        found = (await self.server.ask("GET", "/api/v1/audit?limit=500")).json["entries"]
        return [(e["event"], e["subject"] or e["who"]) for e in reversed(found) if e["event"] in wanted]


@pytest.fixture
async def desk(web_server: WebServer) -> AsyncIterator[Desk]:  # noqa: F811
    """An app `shop` with a row in `items`, and the desk around it."""
    await web_server.make_app("shop", items=ITEMS)
    await web_server.make_app("other", items=ITEMS)
    await web_server.fill("shop", "items", {"_id": "a", "name": "apple"})
    clock = Clock()
    pairing: Pairing = web_server.services.extra[Pairing]
    pairing._waiting.clock = clock
    pairing._limits._clock = clock
    yield Desk(web_server, clock)
