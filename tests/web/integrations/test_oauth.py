"""OAuth 2 on the owner's behalf: tokens got, kept, renewed, and never shown."""

from __future__ import annotations

import asyncio
import base64
import logging
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from localsrv.services.integrations.registry import Registry
from localsrv.services.vaults import Vaults
from tests.support.outside import Service
from tests.web.conftest import WebServer
from tests.web.integrations.conftest import API, FACE, SECRET, refused, set_up


@dataclass
class Tokens:
    """The service's token endpoint: `forms` that came; every token is new, and the last one alone is good."""

    service: Service
    life: Any = 3600
    gives_refresh: bool = False
    forms: list[dict[str, str]] = field(default_factory=list)
    good: str = ""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go_on.set()
        self.service.answer("/token", self.token)
        self.service.answer("/x", self.guarded)

    async def token(self, request: web.Request) -> web.Response:
        text = self.service.last[3].decode()
        self.forms.append({name: values[0] for name, values in parse_qs(text).items()})
        await self.go_on.wait()
        self.good = f"token-number-{len(self.forms)}"
        told: dict[str, Any] = {"access_token": self.good, "token_type": "Bearer", "expires_in": self.life}
        if self.gives_refresh:
            told["refresh_token"] = f"refresh-number-{len(self.forms)}"
        return web.json_response({name: value for name, value in told.items() if value is not None})

    async def guarded(self, request: web.Request) -> web.Response:
        is_good = request.headers.get("Authorization") == f"Bearer {self.good}"
        return web.Response(status=200 if is_good else 401, text="data")


@pytest.fixture
def tokens(service: Service) -> Tokens:
    return Tokens(service)


def auth(service: Service, kind: str = "oauth-client-credentials", **more: str) -> dict[str, str]:
    return {"kind": kind, "token_url": f"{service.url}/token", "client_id": "ada:1", **more}


async def test_client_credentials(shop: WebServer, service: Service, tokens: Tokens) -> None:
    await set_up(shop, service, auth=auth(service, scope="read all"), cache=False)
    assert [(await shop.ask("GET", f"{FACE}/weather/x")).status for _ in range(3)] == [200, 200, 200]
    assert tokens.forms == [{"grant_type": "client_credentials", "scope": "read all"}], "one token for all"
    asked = next(headers for _, path, headers, _ in service.seen if path == "/token")
    pair = base64.b64encode(f"ada%3A1:{SECRET}".encode()).decode()
    assert asked["Authorization"] == f"Basic {pair}", "name and secret as in a form"
    assert SECRET not in str([headers for _, path, headers, _ in service.seen if path == "/x"])


async def test_the_clients_secret_in_the_body(shop: WebServer, service: Service, tokens: Tokens) -> None:
    await set_up(shop, service, auth=auth(service, client_auth="body", audience="api"))
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    assert tokens.forms == [
        {"grant_type": "client_credentials", "client_id": "ada:1", "client_secret": SECRET, "audience": "api"}
    ]


@pytest.mark.parametrize("life", [0, 1, None, "3600", -5, True, 1e300])
async def test_tokens_of_any_life(shop: WebServer, service: Service, tokens: Tokens, life: Any) -> None:
    tokens.life = life
    await set_up(shop, service, auth=auth(service), cache=False)
    assert [(await shop.ask("GET", f"{FACE}/weather/x")).status for _ in range(3)] == [200, 200, 200]
    assert len(tokens.forms) == (3 if life == 0 else 1)


async def test_a_token_that_is_refused_is_renewed_once(
    shop: WebServer, service: Service, tokens: Tokens
) -> None:
    await set_up(shop, service, auth=auth(service), methods=["GET", "POST"], cache=False)
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    tokens.good = "revoked meanwhile"
    assert (await shop.ask("POST", f"{FACE}/weather/x", data=b"body")).status == 200
    assert [seen[3] for seen in service.seen if seen[0] == "POST" and seen[1] == "/x"] == [b"body", b"body"]
    assert len(tokens.forms) == 2
    service.answer("/x", lambda request: web.Response(status=401))
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 401
    assert len(tokens.forms) == 3, "and not again and again"


async def test_one_renewal_however_many_wait(shop: WebServer, service: Service, tokens: Tokens) -> None:
    await set_up(shop, service, auth=auth(service), cache=False)
    tokens.go_on.clear()
    asking = [asyncio.ensure_future(shop.ask("GET", f"{FACE}/weather/x?{n}")) for n in range(10)]
    registry: Registry = shop.services.extra[Registry]
    async with asyncio.timeout(5):
        while registry.health(("shop", "weather")).calls < 10:
            await asyncio.sleep(0)
    asking[0].cancel()  # who began it may leave
    tokens.go_on.set()
    answers = await asyncio.gather(*asking[1:])
    assert ({a.status for a in answers}, len(tokens.forms)) == ({200}, 1)
    tokens.good = "revoked meanwhile"
    answers = await asyncio.gather(*(shop.ask("GET", f"{FACE}/weather/x?{n}") for n in range(10)))
    assert ({a.status for a in answers}, len(tokens.forms)) == ({200}, 2)


async def test_refresh_tokens_that_rotate(shop: WebServer, service: Service, tokens: Tokens) -> None:
    tokens.gives_refresh, tokens.life = True, 0
    await set_up(
        shop, service, auth=auth(service, "oauth-refresh-token"), client_secret="the-clients-own", cache=False
    )
    for _ in range(3):
        assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    assert [form["refresh_token"] for form in tokens.forms] == [
        SECRET,
        "refresh-number-1",
        "refresh-number-2",
    ]
    assert {form["grant_type"] for form in tokens.forms} == {"refresh_token"}
    kept = shop.vault.secrets["integration-tokens:shop:weather"]
    assert "refresh-number-3" in kept, "what was rotated outlives the server"
    await set_up(shop, service, auth=auth(service, "oauth-refresh-token"), secret="a-new-consent")
    assert "integration-tokens:shop:weather" not in shop.vault.secrets
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    assert tokens.forms[-1]["refresh_token"] == "a-new-consent"
    assert tokens.forms[-1]["client_id"] == "ada:1", "without the older client secret"


async def test_tokens_outlive_the_server(shop: WebServer, service: Service, tokens: Tokens) -> None:
    await set_up(shop, service, auth=auth(service), cache=False)
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    registry: Registry = shop.services.extra[Registry]
    registry._credentials._tokens.clear()  # as after a start
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    assert len(tokens.forms) == 1


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error": "invalid_grant", "error_description": SECRET}, "integration-sign-in-failed"),
        (401, {"error": "invalid_client"}, "integration-sign-in-failed"),
        (400, {"error": SECRET}, "integration-sign-in-failed"),
        (302, {}, "integration-sign-in-failed"),
        (200, {}, "integration-sign-in-failed"),
        (200, {"access_token": "a\nb"}, "integration-sign-in-failed"),
        (200, {"access_token": "ok", "token_type": "mac"}, "integration-sign-in-failed"),
        (200, ["no object"], "integration-sign-in-failed"),
        (503, {}, "integration-failed"),
    ],
)
async def test_a_token_endpoint_that_refuses(
    shop: WebServer, service: Service, status: int, body: Any, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    service.answer("/token", lambda request: web.json_response(body, status=status))
    await set_up(shop, service, auth=auth(service))
    with caplog.at_level(logging.DEBUG):
        answer = await shop.ask("GET", f"{FACE}/weather/x")
    refused(answer, 502, code)
    assert [path for _, path, _, _ in service.seen] == ["/token"], "nothing else was sent"
    assert SECRET not in caplog.text


async def test_the_token_endpoint_is_held_to_the_same_addresses(shop: WebServer, service: Service) -> None:
    shop.names.answers["login.example"] = ["127.0.0.1"]
    given = auth(service) | {"token_url": f"http://login.example:{service.port}/token"}
    body = {"base_url": service.url, "auth": given, "secret": SECRET, "hosts": ["api.example.org"]}
    answer = await shop.ask("PUT", f"{API}/weather", json=body)
    assert (answer.status, answer.json["details"]) == (400, "auth.token_url"), "plain http"
    given["token_url"] = "https://login.example/token"
    assert (await shop.ask("PUT", f"{API}/weather", json=body)).status == 200
    refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, "integration-address-refused")
    assert service.seen == []


async def test_a_vault_that_cannot_keep_a_token(shop: WebServer, service: Service, tokens: Tokens) -> None:
    await set_up(shop, service, auth=auth(service), cache=False)

    async def refuse(name: str, secret: str) -> None:
        from localsrv.base.errors import VaultError

        raise VaultError("The keyring is locked.", code="vault-locked")

    shop.vault.set = refuse  # type: ignore[method-assign]
    assert [(await shop.ask("GET", f"{FACE}/weather/x")).status for _ in range(2)] == [200, 200]
    assert len(tokens.forms) == 1, "it works until the server ends"
    shop.services.extra[Vaults].tell_change()
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    assert len(tokens.forms) == 1, "and a vault that is locked does not lose what it never had"


async def test_a_new_secret_never_goes_to_the_old_token_endpoint(
    shop: WebServer, service: Service, tokens: Tokens
) -> None:
    """Settings change while a renewal is about to read the secret."""
    await set_up(shop, service, auth=auth(service), cache=False)
    reads, is_reading, go_on = shop.vault.get, asyncio.Event(), asyncio.Event()

    async def slowly(name: str) -> str | None:
        if name == "secret:shop:integration.weather":
            is_reading.set()
            await go_on.wait()
        return await reads(name)

    shop.vault.get = slowly  # type: ignore[method-assign]
    asking = asyncio.ensure_future(shop.ask("GET", f"{FACE}/weather/x"))
    async with asyncio.timeout(5):
        await is_reading.wait()
        new = {"token_url": f"{service.url}/other-token"}
        setting = asyncio.ensure_future(
            set_up(shop, service, auth={**auth(service), **new}, secret="the-new-one", cache=False)
        )
        while shop.vault.secrets["secret:shop:integration.weather"] != "the-new-one":
            await asyncio.sleep(0)
        go_on.set()
        refused(await asking, 502, "integration-failed")
        await setting
    assert tokens.forms == [], "nothing was sent to the old endpoint"
    assert "integration-tokens:shop:weather" not in shop.vault.secrets


async def test_a_vault_that_is_locked_takes_the_tokens_along(
    shop: WebServer, service: Service, tokens: Tokens
) -> None:
    await set_up(shop, service, auth=auth(service), cache=False)
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    vaults: Vaults = shop.services.extra[Vaults]
    shop.vault.is_absent = True
    vaults.tell_change()
    refused(await shop.ask("GET", f"{FACE}/weather/x"), 503, "vault-absent")
    shop.vault.is_absent = False
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    assert len(tokens.forms) == 1, "the one of the vault serves again"
