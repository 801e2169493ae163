"""/integrations/v1: calls to an outside service, with a secret that no client sees."""

from __future__ import annotations

import base64
import io

import pytest
from aiohttp import web

from tests.support.outside import Service
from tests.web.conftest import WebServer
from tests.web.integrations.conftest import FACE, SECRET, refused, set_up


async def test_a_call_goes_out_with_the_secret_and_comes_back(shop: WebServer, service: Service) -> None:
    await set_up(shop, service, base_url=f"{service.url}/v1")
    answer = await shop.ask("GET", f"{FACE}/weather/now/berlin?units=c&x=%20y")
    assert (answer.status, answer.body) == (200, b"hello")
    method, path, headers, body = service.last
    assert (method, path, body) == ("GET", "/v1/now/berlin?units=c&x=%20y", b"")
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["Host"] == f"api.example.org:{service.port}"


async def test_the_base_itself_can_be_called_and_bodies_go_along(shop: WebServer, service: Service) -> None:
    await set_up(shop, service, base_url=f"{service.url}/graphql", methods=["POST"])
    answer = await shop.ask("POST", f"{FACE}/weather", json={"a": 1})
    assert answer.status == 200
    assert service.last[:2] == ("POST", "/graphql")
    assert (service.last[3], service.last[2]["Content-Type"]) == (b'{"a": 1}', "application/json")
    await set_up(shop, service, "root")
    assert (await shop.ask("GET", f"{FACE}/root?a=b")).status == 200
    assert service.last[1] == "/?a=b"


@pytest.mark.parametrize("headers", [{}, {"Expect": "100-continue"}, {"Content-Encoding": "gzip"}])
async def test_large_bodies_keep_their_length(
    shop: WebServer, service: Service, headers: dict[str, str]
) -> None:
    await set_up(shop, service, methods=["PUT"], limits={"retries": 2})
    body = bytes(range(256)) * 4096
    answer = await shop.ask("PUT", f"{FACE}/weather/x", data=io.BytesIO(body), headers=headers)
    assert answer.status == 200, answer.body
    _, _, seen, arrived = service.last
    assert arrived == body
    assert seen["Content-Length"] == str(len(body))
    assert "Transfer-Encoding" not in seen and "Expect" not in seen
    assert seen.get("Content-Encoding") == headers.get("Content-Encoding"), "passed on as it came"


KINDS: list[tuple[dict[str, str], str, str, str]] = [
    # auth, the header that carries it, what it is, the query
    ({"kind": "bearer"}, "Authorization", f"Bearer {SECRET}", "q=1"),
    ({"kind": "header", "name": "X-Api-Key"}, "X-Api-Key", SECRET, "q=1"),
    (
        {"kind": "header", "name": "Authorization", "prefix": "Token "},
        "Authorization",
        f"Token {SECRET}",
        "q=1",
    ),
    (
        {"kind": "basic", "username": "ada"},
        "Authorization",
        f"Basic {base64.b64encode(f'ada:{SECRET}'.encode()).decode()}",
        "q=1",
    ),
    ({"kind": "query", "name": "appid"}, "", "", f"q=1&appid={SECRET}"),
]


@pytest.mark.parametrize(("auth", "name", "value", "query"), KINDS, ids=lambda v: str(v)[:30])
async def test_ways_to_sign_in(
    shop: WebServer, service: Service, auth: dict[str, str], name: str, value: str, query: str
) -> None:
    await set_up(shop, service, auth=auth)

    def echo(request: web.Request) -> web.Response:
        said = request.headers[name] if name else request.raw_path
        return web.Response(headers={"X-Echo": said, "X-Part": said.split(" ")[-1], "X-Kept": "yes"})

    service.answer("/x", echo)
    mine = {"X-Api-Key": "mine", "X_Api_Key": "mine", "X-Own": "kept"}
    answer = await shop.ask("GET", f"{FACE}/weather/x?q=1&%61ppid=mine", headers=mine)
    assert answer.status == 200, answer.body
    _, path, headers, _ = service.last
    if auth["kind"] == "query":
        assert path == f"/x?{query}"
    else:
        assert path == "/x?q=1&%61ppid=mine"
        assert headers[name] == value
    if auth.get("name") == "X-Api-Key":
        assert "X_Api_Key" not in headers
    assert headers["X-Own"] == "kept"
    assert {"X-Echo", "X-Part", "X-Kept"} & set(answer.headers) == {"X-Kept"}, "not even encoded"


async def test_what_the_client_says_of_itself_stays_here(shop: WebServer, service: Service) -> None:
    await set_up(shop, service)
    mine = {
        "Cookie": "a=b",
        "X-Forwarded-For": "1.2.3.4",
        "Forwarded": "for=1.2.3.4",
        "Referer": "http://x/",
        "TE": "trailers",
        "X-HTTP-Method-Override": "DELETE",
        "Connection": "X-Hop",
        "X-Hop": "1",
        "Sec-Fetch-Site": "none",
        "User-Agent": "Mozilla",
        "Accept": "text/plain",
        "X-Kept": "yes",
    }
    assert (await shop.ask("GET", f"{FACE}/weather/x", headers=mine)).status == 200
    seen = {name.lower(): value for name, value in service.last[2].items()}
    assert seen.pop("user-agent").startswith("localsrv/")
    seen.pop("accept-encoding", None)
    assert seen == {
        "host": f"api.example.org:{service.port}",
        "accept": "text/plain",
        "x-kept": "yes",
        "authorization": f"Bearer {SECRET}",
    }


async def test_what_comes_back_is_harmless_here(shop: WebServer, service: Service) -> None:
    await set_up(shop, service)
    service.answer(
        "/page",
        lambda request: web.Response(
            text="<script>alert(1)</script>",
            content_type="text/html",
            headers={
                "Set-Cookie": "a=b",
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Credentials": "true",
                "Content-Security-Policy": "default-src *",
                "Clear-Site-Data": '"*"',
                "WWW-Authenticate": "Basic",
                "Service-Worker-Allowed": "/",
                "Refresh": "0; url=http://x/",
                "X-Echo": request.headers["Authorization"],
                "Integration-Error": "no",
                "Link": "</2>; rel=next",
                "ETag": '"1"',
                "X-Left": "3",
            },
        ),
    )
    answer = await shop.ask("GET", f"{FACE}/weather/page")
    assert (answer.status, answer.body) == (200, b"<script>alert(1)</script>")
    dropped = "Set-Cookie Access-Control-Allow-Origin Access-Control-Allow-Credentials Clear-Site-Data X-Echo"
    gone = f"{dropped} WWW-Authenticate Service-Worker-Allowed Refresh Integration-Error".split()
    assert [name for name in gone if name in answer.headers] == []
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert (answer.headers["Link"], answer.headers["X-Left"]) == ("</2>; rel=next", "3")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/items", 403, "integration-method-refused"),
        ("DELETE", "/v1/items", 403, "integration-method-refused"),
        ("GET", "/v1/admin", 403, "integration-path-refused"),
        ("GET", "", 403, "integration-path-refused"),
        ("GET", "/v1/items/7/delete", 403, "integration-path-refused"),
        ("GET", "/v1/items/7%2Fdelete", 403, "integration-path-refused"),
        ("GET", "/v1/items/7%252Fdelete", 403, "integration-path-refused"),
        ("GET", "/v1/items/%2e%2e/%2e%2e/admin", 400, "bad-path"),
        ("GET", "/v1/items/..%2f..%2fadmin", 400, "bad-path"),
        ("GET", "/v1/items/%252e%252e", 400, "bad-path"),
        ("GET", "/v1/items/..;/x", 400, "bad-path"),
        ("GET", "/v1//items", 400, "bad-path"),
        ("GET", "/v1/items/a%5c..%5cb", 400, "bad-path"),
        ("GET", "/v1/items/%0d%0aX-Evil:%201", 400, "bad-path"),
        ("GET", "/http://elsewhere.example/", 400, "bad-path"),
    ],
)
async def test_only_what_the_owner_allowed(
    shop: WebServer, service: Service, method: str, path: str, status: int, code: str
) -> None:
    await set_up(shop, service, base_url=f"{service.url}/base", paths=["/v1/items", "/v1/items/*"])
    refused(await shop.ask(method, f"{FACE}/weather{path}"), status, code)
    assert service.seen == []
    assert (await shop.ask("GET", f"{FACE}/weather/v1/items/7?q=%0d%0aX-Evil:%201")).status == 200
    assert service.last[1] == "/base/v1/items/7?q=%0d%0aX-Evil:%201"


@pytest.mark.parametrize(
    "line",
    [
        b"X-Evil: a\nX-Two: b",
        b"X-Evil: a\rX-Two: b",
        b"X-Evil: a\r\n X-Two: b",
        b"X-Evil\x00: a",
        b"X Evil: a",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    ],
)
async def test_no_header_becomes_two(shop: WebServer, service: Service, line: bytes) -> None:
    await set_up(shop, service)
    head = f"GET {FACE}/weather/x HTTP/1.1\r\nHost: {shop.host()}\r\napikey: {shop.owner}\r\n"
    answer = await shop.raw(head.encode() + b"Connection: close\r\n" + line + b"\r\n\r\n")
    is_sent = bool(service.seen)
    assert is_sent == answer.startswith(b"HTTP/1.1 200"), answer
    assert not is_sent or "X-Two" not in service.last[2]
    for target in (b"http://elsewhere.example/x", b"//elsewhere.example/x"):
        await shop.raw(
            b"GET "
            + target
            + b" HTTP/1.1\r\nHost: "
            + shop.host().encode()
            + b"\r\nConnection: close\r\n\r\n"
        )
    assert len(service.seen) == is_sent
