"""What the owner sets, who may call, and what is noted of it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from localsrv.base.errors import StorageError
from localsrv.services.secrets import Secrets
from localsrv.store.integrations import IntegrationStore
from tests.support.leaks import secret
from tests.support.outside import Service
from tests.web.conftest import ALLOWED_ORIGIN, WebServer
from tests.web.integrations.conftest import API, FACE, SECRET, refused, set_up, set_up_open

MANIFEST = """
id = "asking"
[integrations.weather]
title = "Weather"
why = "Shows it"
base_url = "https://api.example.org/v1"
auth = { kind = "header", name = "X-Api-Key" }
paths = ["/now/*"]
"""


async def audit(server: WebServer, event: str) -> list[dict[str, Any]]:
    answer = await server.ask("GET", f"/api/v1/audit?event={event}")
    found = answer.json["entries"]
    assert isinstance(found, list)
    return found


async def test_what_an_app_asks_for_and_what_the_owner_answers(web_server: WebServer, tmp_path: Path) -> None:
    folder = tmp_path / "asking"
    folder.mkdir()
    (folder / "app.toml").write_text(MANIFEST)
    assert (await web_server.ask("POST", "/api/v1/apps", json={"path": str(folder)})).status == 201
    path = "/api/v1/apps/asking/integrations"
    (shown,) = (await web_server.ask("GET", path)).json["integrations"]
    assert (shown["name"], shown["title"], shown["asked"]["why"]) == ("weather", "Weather", "Shows it")
    assert (shown["settings"], shown["health"]) == (None, None)
    answer = await web_server.ask("GET", "/apps/asking/integrations/v1/weather/now/x")
    refused(answer, 404, "integration-not-set-up")
    done = await web_server.ask("PUT", f"{path}/weather", json={"secret": SECRET})
    assert done.status == 200, done.body
    settings = done.json["settings"]
    assert settings["auth"] == {"kind": "header", "name": "X-Api-Key"}
    assert (settings["base_url"], settings["paths"]) == ("https://api.example.org/v1", ["/now/*"])
    (folder / "app.toml").write_text(MANIFEST.replace('["/now/*"]', '["/now/*", "/admin/**"]'))
    assert (await web_server.ask("POST", "/api/v1/apps", json={"path": str(folder)})).status < 300
    shown = (await web_server.ask("GET", f"{path}/weather")).json
    assert shown["more_asked"] == ["/admin/**"], "an update gets no more by itself"
    assert shown["settings"]["paths"] == ["/now/*"]
    answer = await web_server.ask("GET", "/apps/asking/integrations/v1/weather/admin/x")
    refused(answer, 403, "integration-path-refused")


@pytest.mark.parametrize(
    ("change", "details"),
    [
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://api.example.com", "secret": "x1"}, "base_url"),
        ({"auth": "magic"}, "auth"),
        ({"methods": ["TRACE"]}, "methods"),
        ({"methods": []}, "methods"),
        ({"paths": ["x"]}, "paths"),
        ({"hosts": ["a b"]}, "hosts"),
        ({"limits": {"retries": 99}}, "limits.retries"),
        ({"secret": "a\nb"}, "secret"),
        ({"secret": ""}, "secret"),
        ({"client_secret": "x"}, "client_secret"),
        ({"auth": "none", "secret": "x"}, "secret"),
        ({"base_url": "https://api.example.net"}, "secret"),
        ({"auth": {"kind": "query", "name": "key"}}, "secret"),
        ({"title": "x"}, "title"),
    ],
)
async def test_settings_that_are_refused_change_nothing(
    shop: WebServer, service: Service, change: dict[str, Any], details: str
) -> None:
    await set_up(shop, service)
    before = (await shop.ask("GET", f"{API}/weather")).json["settings"]
    secrets = dict(shop.vault.secrets)
    answer = await shop.ask("PUT", f"{API}/weather", json=change)
    assert (answer.status, answer.json["details"]) == (400, details), answer.body
    assert (await shop.ask("GET", f"{API}/weather")).json["settings"] == before
    assert shop.vault.secrets == secrets
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    assert service.last[2]["Authorization"] == f"Bearer {SECRET}"


async def test_without_a_vault_nothing_with_a_secret_is_set(shop: WebServer, service: Service) -> None:
    shop.vault.is_absent = True
    body = {"base_url": "https://api.example.org", "auth": "bearer", "secret": SECRET}
    answer = await shop.ask("PUT", f"{API}/weather", json=body)
    assert (answer.status, answer.json["code"]) == (503, "vault-absent")
    assert (await shop.ask("GET", API)).json["integrations"] == []
    await set_up_open(shop, service)
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200, "what needs none works"
    shop.vault.is_absent = False
    await set_up(shop, service, "other")
    shop.vault.secrets.clear()
    shop.services.extra[Secrets]._forget()  # what is remembered for a minute
    refused(await shop.ask("GET", f"{FACE}/other/x"), 503, "integration-secret-missing")


async def test_a_disk_that_refuses_sends_no_new_secret_to_the_old_place(
    shop: WebServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up(shop, service)
    new = {"base_url": "https://elsewhere.example", "secret": secret()}

    async def refuse(own: IntegrationStore, app: str, name: str, settings: Any) -> Any:
        raise StorageError("The disk is full.", code="storage-full")

    with monkeypatch.context() as full:
        full.setattr(IntegrationStore, "put", refuse)
        assert (await shop.ask("PUT", f"{API}/weather", json=new)).status == 507
    refused(await shop.ask("GET", f"{FACE}/weather/x"), 503, "integration-secret-missing")
    assert service.seen == []


async def test_of_two_settings_at_once_one_stands_with_its_own_secret(
    shop: WebServer, service: Service
) -> None:
    secrets = [secret() for _ in range(10)]
    hosts = ["api.example.org"]

    def settings(number: int) -> dict[str, Any]:
        base = f"{service.url}/{number}"
        return {"base_url": base, "auth": "bearer", "hosts": hosts, "secret": secrets[number]}

    asked = [shop.ask("PUT", f"{API}/weather", json=settings(number)) for number in range(10)]
    assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 200
    _, path, headers, _ = service.last
    assert headers["Authorization"] == f"Bearer {secrets[int(path.split('/')[1])]}"


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_an_app_cannot_put_another_secret_in_its_place(
    shop: WebServer, service: Service, method: str
) -> None:
    """What it sends would arrive at somebody else's account."""
    await set_up(shop, service)
    key = await shop.key("shop", "secrets:use", "integrations:*:use")
    body = {"json": {"value": "mine"}} if method == "PUT" else {}
    for name in ("integration.weather", "integration.weather.client", "Integration.weather"):
        path = f"/api/v1/apps/shop/secrets/{name}"
        assert (await shop.ask(method, path, token=key, **body)).status == 403
    assert (await shop.ask("GET", f"{FACE}/weather/x", token=key)).status == 200
    assert service.last[2]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("auth", ["bearer", "query"])
async def test_a_secret_of_the_server_never_stands_in(shop: WebServer, service: Service, auth: str) -> None:
    """An app's own administrator sets addresses, and would have the server's secret sent to any."""
    whole = secret()
    path = "/api/v1/secrets/integration.weather"
    assert (await shop.ask("PUT", path, json={"value": whole})).status == 201
    given = {"kind": "query", "name": "key"} if auth == "query" else auth
    await set_up(shop, service, auth=given)
    own = await shop.key("shop", "admin")
    own_path = "/api/v1/apps/shop/secrets/integration.weather"
    assert (await shop.ask("DELETE", own_path, token=own)).status == 200
    refused(await shop.ask("GET", f"{FACE}/weather/x", token=own), 503, "integration-secret-missing")
    assert service.seen == []


async def test_hosts_that_are_not_public_are_named_by_who_owns_the_server(
    shop: WebServer, service: Service
) -> None:
    """What listens on this computer and in its network is no app's to reach."""
    own = await shop.key("shop", "admin")
    body = {"base_url": "http://127.0.0.1:1", "hosts": ["127.0.0.1"]}
    answer = await shop.ask("PUT", f"{API}/router", json=body, token=own)
    assert (answer.status, answer.json["code"], answer.json["details"]) == (403, "owner-needed", "hosts")
    assert (await shop.ask("GET", f"{API}/router")).status == 404
    await set_up(shop, service)
    wider = {"hosts": ["api.example.org", "127.0.0.1"]}
    assert (await shop.ask("PUT", f"{API}/weather", json=wider, token=own)).status == 403
    for fine in ({"hosts": ["api.example.org"]}, {"methods": ["GET", "POST"]}):  # nothing new
        assert (await shop.ask("PUT", f"{API}/weather", json=fine, token=own)).status == 200
    there = {"base_url": f"{service.url}/other"}  # still a host that the owner named for this one
    assert (await shop.ask("PUT", f"{API}/weather", json=there, token=own)).status == 200


async def test_removing_takes_everything_along(shop: WebServer, service: Service) -> None:
    await set_up(shop, service)
    service.answer("/x", lambda request: web.Response(text="1", headers={"Cache-Control": "max-age=60"}))
    await shop.ask("GET", f"{FACE}/weather/x")
    assert (await shop.ask("DELETE", f"{API}/weather")).json == {"removed": "weather"}
    assert shop.vault.secrets == {}
    refused(await shop.ask("GET", f"{FACE}/weather/x"), 404, "integration-not-found")
    assert (await shop.ask("GET", API)).json["integrations"] == []
    for method, path in (("DELETE", ""), ("GET", ""), ("DELETE", "/cache"), ("POST", "/test")):
        assert (await shop.ask(method, f"{API}/weather{path}")).status == 404
    await set_up_open(shop, service)
    assert (await shop.ask("GET", f"{API}/weather")).json["health"]["cached"] == 0


async def test_an_app_that_goes_with_its_data_takes_them_along(shop: WebServer, service: Service) -> None:
    await set_up(shop, service)
    assert (await shop.ask("DELETE", "/api/v1/apps/shop?data=delete")).status == 200
    await shop.make_app("shop")
    assert (await shop.ask("GET", API)).json["integrations"] == []


async def test_trying_one(shop: WebServer, service: Service) -> None:
    await set_up(shop, service)
    tried = (await shop.ask("POST", f"{API}/weather/test")).json
    assert (tried["ok"], tried["status"], tried["error"], service.last[1]) == (True, 200, None, "/")
    service.answer("/no", lambda request: web.Response(status=403, text="a secret reason"))
    tried = (await shop.ask("POST", f"{API}/weather/test", json={"path": "/no?x=1"})).json
    assert (tried["ok"], tried["status"], service.last[1]) == (False, 403, "/no?x=1")
    shop.names.answers["api.example.org"] = [""]
    service.answer("/", lambda request: web.Response(headers={"Connection": "close"}))
    await shop.ask("POST", f"{API}/weather/test")
    tried = (await shop.ask("POST", f"{API}/weather/test")).json
    assert (tried["ok"], tried["error"]["code"]) == (False, "integration-unreachable")
    assert (await shop.ask("POST", f"{API}/weather/test", json={"path": "x"})).status == 400


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (["integrations:weather:use"], 200),
        (["integrations:*:use"], 200),
        (["admin"], 200),
        (["integrations:other:use"], 403),
        (["*:read", "*:write", "sync", "cache:use", "secrets:use"], 403),
    ],
)
async def test_who_may_call(shop: WebServer, service: Service, scopes: list[str], status: int) -> None:
    await set_up(shop, service)
    key = await shop.key("shop", *scopes)
    assert (await shop.ask("GET", f"{FACE}/weather/x", token=key)).status == status
    assert (await shop.ask("GET", "/integrations/v1/weather/x", token=key, app="shop")).status == status
    assert len(service.seen) == (2 if status == 200 else 0)
    is_admin = "admin" in scopes
    assert (await shop.ask("GET", API, token=key)).status == (200 if is_admin else 403)
    assert (await shop.ask("GET", f"{FACE}/weather/x", token=None)).status == 401
    other = await shop.key("default", *scopes)
    assert (await shop.ask("GET", f"{FACE}/weather/x", token=other)).status == 403


async def test_pages_of_other_origins_read_the_answer(shop: WebServer, service: Service) -> None:
    await set_up(shop, service)
    service.answer(
        "/x", lambda request: web.Response(headers={"X-Left": "3", "Access-Control-Allow-Origin": "*"})
    )
    answer = await shop.ask("GET", f"{FACE}/weather/x", headers={"Origin": ALLOWED_ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED_ORIGIN
    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert "X-Left" in exposed and "Integration-Error" in exposed
    answer = await shop.ask("GET", f"{FACE}/weather/x", headers={"Origin": "https://evil.example"})
    assert (answer.status, len(service.seen)) == (403, 1)


async def test_uses_and_refusals_are_noted_without_the_secret(
    shop: WebServer, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def echo(request: web.Request) -> web.Response:
        said = request.headers["Authorization"]
        return web.Response(status=500, text=said, reason="No", headers={"X-Echo": said, "Retry-After": said})

    service.answer("/echo", echo)
    with caplog.at_level(logging.DEBUG):
        await set_up(shop, service)
        key = await shop.key("shop", "integrations:weather:use")
        assert (await shop.ask("GET", f"{FACE}/weather/x", token=key)).status == 200
        echoed = await shop.ask("GET", f"{FACE}/weather/echo", token=key)
        assert SECRET not in str(echoed.headers)
        await shop.ask("DELETE", f"{FACE}/weather/x", token=key)
        await shop.ask("GET", f"{FACE}/weather/%2e%2e/x", token=key)
    used = await audit(shop, "secret-used")
    assert [(e["subject"], e["app"], e["count"]) for e in used] == [("integration.weather", "shop", 2)]
    no = await audit(shop, "integration-refused")
    assert [(e["subject"], e["details"]["code"]) for e in no] == [("weather", "integration-method-refused")]
    assert no[0]["count"] == 2
    made = await audit(shop, "integration-set")
    assert [e["subject"] for e in made] == ["weather"]
    everything = (await shop.ask("GET", "/api/v1/audit")).body + (await shop.ask("GET", API)).body
    assert SECRET.encode() not in everything
    assert SECRET not in caplog.text
