"""Apps at ports of their own: what is served there, to whom, and what a change leaves behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import WebServer

ITEMS = {"fields": {"name": "text"}}


def app_folder(home: Path, app: str) -> Path:
    folder = home / f"{app}-source"
    (folder / "ui").mkdir(parents=True)
    (folder / "app.toml").write_text(f'id = "{app}"\n[collections.items.fields]\nname = "text"\n')
    (folder / "ui" / "index.html").write_text(f"<title>{app}</title>")
    return folder


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    """Two apps with pages, each at a port of its own."""
    for app in ("shop", "other"):
        made = await web_server.ask(
            "POST", "/api/v1/apps", json={"path": str(app_folder(web_server.home, app))}
        )
        assert (made.status, made.json["port"]) == (201, None)
        given = await web_server.ask("PUT", f"/api/v1/apps/{app}/port", json={})
        assert given.status == 200, given.body
    await web_server.fill("shop", "items", {"_id": "a", "name": "apple"})
    return web_server


def port(server: WebServer, app: str = "shop") -> int:
    return server.services.ports.by_app[app]


async def ask(server: WebServer, method: str, path: str, app: str = "shop", **more: Any) -> Any:
    """A request at the app's own port, as a client there sends it."""
    headers = {"Host": f"localhost:{port(server, app)}", **more.pop("headers", {})}
    return await server.ask(method, path, port=port(server, app), headers=headers, **more)


async def page_token(server: WebServer, app: str | None) -> str:
    """The token of a page, got as the page gets it."""
    made = (await server.ask("POST", "/api/v1/codes", json={"app": app})).json
    base, _, code = made["url"].partition("/#code=")
    headers = {"Host": base.removeprefix("http://"), "Origin": base}
    at = port(server, app) if app else None
    given = await server.ask(
        "POST", "/api/v1/exchange", port=at, token=None, headers=headers, json={"code": code}
    )
    assert given.status == 200, given.body
    return str(given.json["token"])


async def test_the_app_is_served_there(shop: WebServer) -> None:
    assert (await ask(shop, "GET", "/", token=None)).body == b"<title>shop</title>"
    assert (await ask(shop, "GET", "/", "other", token=None)).body == b"<title>other</title>"
    assert (await ask(shop, "GET", "/api/v1/health", token=None)).json["status"] == "ok"
    token = await page_token(shop, "shop")
    page = {"Origin": f"http://localhost:{port(shop)}", "Sec-Fetch-Site": "same-origin"}
    for path in ("/rest/v1/items", "/apps/shop/rest/v1/items", "/api/v1/apps/shop/collections"):
        assert (await ask(shop, "GET", path, token=token, headers=page)).status == 200, path
    # by its name as well, with a token of that origin
    assert (await shop.ask("GET", "/", app="shop", token=None)).body == b"<title>shop</title>"


async def test_it_is_the_apps_address(shop: WebServer) -> None:
    info = (await shop.ask("GET", "/api/v1/apps/shop")).json
    assert (info["url"], info["port"]) == (f"http://localhost:{port(shop)}", port(shop))
    assert info["port_error"] is None
    assert info["path_url"] == f"{shop.origin()}/apps/shop"
    assert shop.kept == {"shop": port(shop), "other": port(shop, "other")}


async def test_names_of_loopback_are_answered_and_nothing_else(shop: WebServer) -> None:
    own = port(shop)
    for name in ("localhost", "LOCALHOST", "127.0.0.1", "[::1]"):
        answer = await ask(shop, "GET", "/", token=None, headers={"Host": f"{name}:{own}"})
        assert answer.body == b"<title>shop</title>", name
    foreign = [
        "evil.example", f"evil.example:{own}", "localhost", "", f":{own}", f"localhost.:{own}",
        f"localhost:{shop.port}", f"127.0.0.1:{shop.port}", f"localhost:{port(shop, 'other')}",
        f"shop.localhost:{own}", f"shop.localhost:{shop.port}", f"other.localhost:{shop.port}",
        f"my-desk.local:{own}", f"my-desk.local:{shop.port}", f"localhost:{own}@evil.example",
    ]  # fmt: skip
    for host in foreign:
        answer = await ask(shop, "GET", "/api/v1/health", token=None, headers={"Host": host})
        assert (answer.status, answer.json["code"]) == (421, "foreign-host"), host
    at_the_servers = await shop.ask("GET", "/", token=None, headers={"Host": f"localhost:{own}"})
    assert at_the_servers.status == 421


ATTACKS = [
    # whose token, at whose port, method, path, headers, status, code
    ("shop page", "other", "GET", "/rest/v1/items", {}, 403, "42501"),
    ("shop page", "other", "GET", "/api/v1/apps/other/collections", {}, 403, "wrong-origin"),
    ("shop key", "other", "GET", "/rest/v1/items", {}, 403, "42501"),
    ("shop key", "other", "GET", "/api/v1/apps/other/collections", {}, 403, "wrong-app"),
    ("shop key", "other", "GET", "/api/v1/apps/shop/collections", {}, 404, "no-such-route"),
    ("first page", "shop", "GET", "/api/v1/apps/shop/collections", {}, 403, "wrong-origin"),
    ("first page", "shop", "GET", "/rest/v1/items", {}, 403, "42501"),
    ("first page", "shop", "GET", "/api/v1/status", {}, 404, "no-such-route"),
    ("owner", "shop", "GET", "/api/v1/status", {}, 404, "no-such-route"),
    ("owner", "shop", "POST", "/api/v1/keys", {}, 404, "no-such-route"),
    ("owner", "shop", "GET", "/apps/other/rest/v1/items", {}, 404, "PGRST125"),
    ("owner", "shop", "GET", "/rest/v1/items", {"Origin": "{other}"}, 403, "42501"),
    ("owner", "shop", "GET", "/rest/v1/items", {"Origin": "{main}"}, 403, "42501"),
    ("owner", "shop", "GET", "/rest/v1/items", {"Origin": "http://127.0.0.1:{port}"}, 403, "42501"),
    ("owner", "shop", "GET", "/rest/v1/items", {"Origin": "null"}, 403, "42501"),
    ("owner", "shop", "DELETE", "/rest/v1/items", {"Sec-Fetch-Site": "same-site"}, 403, "42501"),
    ("none", "shop", "GET", "/rest/v1/items", {}, 401, "PGRST302"),
]


@pytest.mark.parametrize(("whose", "at", "method", "path", "headers", "status", "code"), ATTACKS)
async def test_attacks_at_an_apps_port(
    shop: WebServer,
    whose: str,
    at: str,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    tokens = {"owner": shop.owner, "none": None}
    if whose == "shop page":
        tokens[whose] = await page_token(shop, "shop")
    elif whose == "first page":
        tokens[whose] = await page_token(shop, None)
    elif whose == "shop key":
        tokens[whose] = await shop.key("shop", "*:read", "*:write")
    fill = {
        "{other}": f"http://localhost:{port(shop, 'other')}",
        "{main}": shop.origin(),
        "{port}": str(port(shop)),
    }
    sent = {"Sec-Fetch-Site": "same-origin"} if whose.endswith("page") else {}
    for name, value in headers.items():
        for mark, text in fill.items():
            value = value.replace(mark, text)
        sent[name] = value
    body: dict[str, Any] = {"json": {}} if method == "POST" else {}
    answer = await ask(shop, method, path, at, token=tokens[whose], headers=sent, **body)
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert "Access-Control-Allow-Origin" not in answer.headers
    documents = shop.services.apps.opened["shop"].database.collections["items"].documents
    assert documents == 1


async def test_a_code_is_for_one_app_there_too(shop: WebServer) -> None:
    for app, at in (("shop", "other"), (None, "shop"), ("other", "shop")):
        code = (await shop.ask("POST", "/api/v1/codes", json={"app": app})).json["code"]
        page = {"Origin": f"http://localhost:{port(shop, at)}"}
        for _ in range(2):
            answer = await ask(
                shop, "POST", "/api/v1/exchange", at, token=None, headers=page, json={"code": code}
            )
            assert answer.status == 403
    assert shop.services.grants.all() == []


async def test_losing_the_port_ends_what_its_pages_may(shop: WebServer) -> None:
    token, key = await page_token(shop, "shop"), await shop.key("shop", "*:read")
    by_name = await shop.key("shop", "*:read", origin=shop.origin("shop"))
    was = port(shop)
    path = "/api/v1/apps/shop/collections"
    taken = await shop.ask("DELETE", "/api/v1/apps/shop/port")
    assert (taken.status, taken.json["port"], taken.json["url"]) == (200, None, shop.origin("shop"))
    assert shop.kept["shop"] == 0
    assert (await shop.ask("GET", path, token=token)).status == 401
    assert [(await shop.ask("GET", path, token=t)).status for t in (key, by_name)] == [200, 200]
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", was)
    assert (await ask(shop, "GET", "/", "other", token=None)).status == 200


async def test_a_connection_that_was_open_is_served_no_longer(shop: WebServer) -> None:
    was = port(shop)
    reader, writer = await asyncio.open_connection("127.0.0.1", was)
    for host, expected in ((was, b"200"), (was, b"421"), (shop.port, b"421")):
        writer.write(f"GET /api/v1/health HTTP/1.1\r\nHost: localhost:{host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == expected
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        await reader.readexactly(length)
        if host == was and expected == b"200":
            await shop.services.ports.decline("shop")
    writer.close()
    await writer.wait_closed()


async def test_another_port(shop: WebServer, unused_tcp_port: int) -> None:
    was, token = port(shop), await page_token(shop, "shop")
    given = await shop.ask("PUT", "/api/v1/apps/shop/port", json={"port": unused_tcp_port})
    assert (given.json["port"], shop.kept["shop"]) == (unused_tcp_port, unused_tcp_port)
    assert (await ask(shop, "GET", "/", token=None)).status == 200
    assert (await shop.ask("GET", "/api/v1/apps/shop/collections", token=token)).status == 401
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", was)


async def test_ports_that_cannot_be(shop: WebServer) -> None:
    refused = [
        (port(shop, "other"), 409, "port-in-use"),
        (shop.port, 409, "port-in-use"),
        (80, 400, "invalid-value"),
        (65536, 400, "invalid-value"),
        (-1, 400, "invalid-value"),
    ]
    held = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    refused.append((held.sockets[0].getsockname()[1], 409, "port-taken"))
    was, kept = port(shop), dict(shop.kept)
    for number, status, code in refused:
        answer = await shop.ask("PUT", "/api/v1/apps/shop/port", json={"port": number})
        assert (answer.status, answer.json["code"]) == (status, code), number
    for body in ({"port": "x"}, {"port": True}, {"ports": 1}):
        assert (await shop.ask("PUT", "/api/v1/apps/shop/port", json=body)).status == 400
    assert (await shop.ask("PUT", "/api/v1/apps/nothing/port", json={})).status == 404
    assert (await shop.ask("DELETE", "/api/v1/apps/nothing/port")).status == 404
    assert (port(shop), shop.kept) == (was, kept)
    assert (await ask(shop, "GET", "/", token=None)).status == 200
    held.close()
    await held.wait_closed()


async def test_a_removed_app_leaves_its_port(shop: WebServer) -> None:
    was = port(shop)
    assert (await shop.ask("DELETE", "/api/v1/apps/shop")).status == 200
    assert shop.kept["shop"] is None
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", was)


# ── by itself ──────────────────────────────────────────────────────────────────────────────────────────────


async def add(server: WebServer, app: str) -> Any:
    made = await server.ask("POST", "/api/v1/apps", json={"path": str(app_folder(server.home, app))})
    assert made.status == 201, made.body
    return made.json


async def test_where_names_are_not_found_an_app_with_pages_gets_a_port(web_server: WebServer) -> None:
    web_server.names_lead_here = False
    shop, other = await add(web_server, "shop"), await add(web_server, "other")
    assert (shop["url"], other["port"]) == (f"http://localhost:{shop['port']}", web_server.kept["other"])
    assert web_server.port < shop["port"] < other["port"]
    assert web_server.resolved == ["shop.localhost"], "asked once"
    opened = (await web_server.ask("POST", "/api/v1/codes", json={"app": "shop"})).json["url"]
    assert opened.startswith(f"{shop['url']}/#code=")
    made = await web_server.ask("POST", "/api/v1/apps", json={"id": "bare", "title": "Bare"})
    assert made.json["port"] is None, "it has no pages"
    await web_server.ask("DELETE", "/api/v1/apps/shop/port")
    opened = (await web_server.ask("POST", "/api/v1/codes", json={"app": "shop"})).json["url"]
    assert opened.startswith(f"{web_server.origin('shop')}/#code="), "it was declined"


async def test_where_names_are_found_it_gets_none(web_server: WebServer) -> None:
    assert (await add(web_server, "shop"))["port"] is None
    opened = (await web_server.ask("POST", "/api/v1/codes", json={"app": "shop"})).json["url"]
    assert opened.startswith(f"{web_server.origin('shop')}/#code=")
    assert web_server.kept == {}


async def test_an_app_that_came_earlier_gets_one_when_it_is_opened(web_server: WebServer) -> None:
    await web_server.services.apps.add(app_folder(web_server.home, "shop"))
    web_server.names_lead_here = False
    opened = (await web_server.ask("POST", "/api/v1/codes", json={"app": "shop"})).json["url"]
    assert opened.startswith(f"http://localhost:{web_server.kept['shop']}/#code=")
