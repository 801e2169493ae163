"""Secrets over the API: written, listed and removed by who may, and read back by nobody."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.leaks import secret
from tests.web.conftest import WebServer

ALL = "/api/v1/secrets"
OWN = "/api/v1/apps/shop/secrets"


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    await web_server.make_app("shop")
    return web_server


async def key(server: WebServer, app: str, *scopes: str) -> str:
    answer = await server.ask("POST", "/api/v1/keys", json={"name": "k", "app": app, "scopes": list(scopes)})
    assert answer.status == 201, answer.body
    return str(answer.json["token"])


def names(answer: Any) -> list[tuple[str | None, str]]:
    assert answer.status == 200, answer.body
    return [(found["app"], found["name"]) for found in answer.json["secrets"]]


async def test_written_listed_and_removed(shop: WebServer) -> None:
    hidden = secret()
    answers = [
        await shop.ask("PUT", f"{ALL}/openai", json={"value": hidden}),
        await shop.ask("PUT", f"{OWN}/openai", json={"value": hidden + "1"}),
        await shop.ask("PUT", f"{OWN}/openai", json={"value": hidden + "2"}),
    ]
    assert [answer.status for answer in answers] == [201, 201, 200]
    answers += [await shop.ask("GET", ALL), await shop.ask("GET", OWN)]
    assert names(answers[-2]) == [(None, "openai"), ("shop", "openai")]
    assert names(answers[-1]) == [("shop", "openai")]
    assert shop.vault.secrets == {"secret:*:openai": hidden, "secret:shop:openai": hidden + "2"}
    answers.append(await shop.ask("DELETE", f"{OWN}/openai"))
    assert answers[-1].json == {"removed": "openai", "app": "shop"}
    answers.append(await shop.ask("DELETE", f"{OWN}/openai"))
    assert (answers[-1].status, answers[-1].json["code"]) == (404, "secret-not-found")
    assert shop.vault.secrets == {"secret:*:openai": hidden}
    answers.append(await shop.ask("GET", "/api/v1/audit"))
    events = [(e["event"], e["app"], e["subject"]) for e in answers[-1].json["entries"]]
    assert ("secret-removed", "shop", "openai") in events
    assert not [answer for answer in answers if hidden.encode() in answer.body]
    assert {a.headers["Cache-Control"] for a in answers if a.status < 400} == {"no-store"}


@pytest.mark.parametrize("path", [f"{ALL}/openai", f"{OWN}/openai"])
async def test_nobody_reads_one_back(shop: WebServer, path: str) -> None:
    hidden = secret()
    await shop.ask("PUT", path, json={"value": hidden})
    for method in ("GET", "HEAD", "POST", "PATCH", "OPTIONS"):
        answer = await shop.ask(method, path)
        assert answer.status == 405
        assert hidden.encode() not in answer.body


@pytest.mark.parametrize(
    ("scopes", "statuses"),
    [
        (["secrets:use"], [200, 201, 200]),
        (["admin"], [200, 201, 200]),
        (["*:read", "*:write"], [403, 403, 403]),
        (["sync"], [403, 403, 403]),
        (["functions:*", "files:*:write", "cache:use", "integrations:*:use"], [403, 403, 403]),
    ],
)
async def test_scopes(shop: WebServer, scopes: list[str], statuses: list[int]) -> None:
    """And whatever they are: only the app's own, and never the server's."""
    token = await key(shop, "shop", *scopes)
    await shop.make_app("other")
    asked = [
        await shop.ask("GET", OWN, token=token),
        await shop.ask("PUT", f"{OWN}/a", token=token, json={"value": "x"}),
        await shop.ask("DELETE", f"{OWN}/a", token=token),
    ]
    assert [answer.status for answer in asked] == statuses
    for method, path in (
        ("GET", ALL),
        ("PUT", f"{ALL}/a"),
        ("DELETE", f"{ALL}/a"),
        ("GET", "/api/v1/apps/other/secrets"),
        ("PUT", "/api/v1/apps/other/secrets/a"),
        ("GET", "/api/v1/vault"),
        ("POST", "/api/v1/vault/unlock"),
        ("POST", "/api/v1/vault/lock"),
        ("POST", "/api/v1/vault/passphrase"),
        ("POST", "/api/v1/vault/move"),
    ):
        answer = await shop.ask(method, path, token=token, json=None if method == "GET" else {"value": "x"})
        assert answer.status == 403, (method, path, answer.body)
    assert shop.vault.secrets == {}


async def test_on_the_apps_own_host(shop: WebServer) -> None:
    token = await key(shop, "shop", "secrets:use")
    stored = await shop.ask("PUT", f"{OWN}/a", app="shop", token=token, json={"value": "x"})
    assert stored.status == 201
    assert names(await shop.ask("GET", OWN, app="shop", token=token)) == [("shop", "a")]
    assert (await shop.ask("GET", ALL, app="shop")).status == 404, "the server's are not served there"


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("a", {}, "bad-request"),
        ("a", [], "bad-request"),
        ("a", {"value": "x", "more": 1}, "bad-request"),
        ("a", {"value": None}, "invalid-value"),
        ("a", {"value": 5}, "invalid-value"),
        ("a", {"value": ""}, "bad-secret"),
        ("a", {"value": "\ud800"}, "invalid-json"),
        ("a%0Ab", {"value": "x"}, "bad-secret-name"),
        ("a%2Fb", {"value": "x"}, "bad-secret-name"),
        ("..", {"value": "x"}, "bad-secret-name"),
        ("%C3%A9", {"value": "x"}, "bad-secret-name"),
        ("x" * 101, {"value": "x"}, "bad-secret-name"),
    ],
)
async def test_bad_input(shop: WebServer, name: str, body: Any, code: str) -> None:
    answer = await shop.ask("PUT", f"{OWN}/{name}", json=body)
    assert (answer.json["code"], shop.vault.secrets) == (code, {})
    assert 400 <= answer.status < 500


async def test_a_vault_that_cannot_be_used(shop: WebServer) -> None:
    shop.vault.is_absent = True
    answer = await shop.ask("PUT", f"{OWN}/a", json={"value": "x"})
    assert (answer.status, answer.json["code"]) == (503, "vault-absent")
    assert names(await shop.ask("GET", OWN)) == []


async def test_an_app_that_is_removed_with_its_data(shop: WebServer) -> None:
    for path in (f"{ALL}/a", f"{OWN}/a"):
        assert (await shop.ask("PUT", path, json={"value": "x"})).status == 201
    assert (await shop.ask("DELETE", "/api/v1/apps/shop")).status == 200
    assert set(shop.vault.secrets) == {"secret:*:a", "secret:shop:a"}, "its data stayed"
    await shop.make_app("shop")
    assert names(await shop.ask("GET", OWN)) == [("shop", "a")]
    assert (await shop.ask("DELETE", "/api/v1/apps/shop?data=delete")).status == 200
    assert set(shop.vault.secrets) == {"secret:*:a"}
