"""Where requests of integrations may go, how long they may take, and how much may come."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientError, web

from localsrv.services.integrations import exchange
from tests.support.outside import PUBLIC, Service, playing
from tests.web.conftest import WebServer
from tests.web.integrations.conftest import API, FACE, SECRET, refused, set_up, set_up_open

# ── addresses ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "answer",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "ff02::1",
    ],
)
async def test_names_that_lead_to_no_public_address(shop: WebServer, service: Service, answer: str) -> None:
    shop.names.answers["inside.example"] = [answer]
    await set_up_open(shop, service, base_url=f"http://inside.example:{service.port}")
    refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, "integration-address-refused")
    assert service.seen == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "0.0.0.0"]
)
async def test_addresses_in_the_place_of_names(shop: WebServer, service: Service, host: str) -> None:
    await set_up_open(shop, service, base_url=f"http://{host}:{service.port}")
    refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, "integration-address-refused")
    assert service.seen == []


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.0.0.1", "0177.0.0.1"])
async def test_other_spellings_of_loopback(shop: WebServer, host: str) -> None:
    async with playing("127.0.0.1") as inside:
        shop.names.answers[host] = ["127.0.0.1"]
        await set_up_open(shop, inside, base_url=f"http://{host}:{inside.port}")
        refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, "integration-address-refused")
        assert inside.seen == []


async def test_of_several_addresses_only_the_public_ones_count(shop: WebServer, service: Service) -> None:
    shop.names.answers["mixed.example"] = [f"127.0.0.1,{PUBLIC},10.0.0.1"]
    await set_up_open(shop, service, base_url=f"http://mixed.example:{service.port}")
    assert (await shop.ask("GET", f"{FACE}/weather/x")).body == b"hello"


async def test_a_name_that_leads_elsewhere_the_second_time(shop: WebServer, service: Service) -> None:
    """DNS rebinding: public when it is looked at first, then loopback, where something listens."""
    async with playing("127.0.0.1") as inside:
        shop.names.answers["rebind.example"] = [PUBLIC, "127.0.0.1"]
        service.answer("/x", lambda request: web.Response(text="outside", headers={"Connection": "close"}))
        await set_up_open(shop, service, base_url=f"http://rebind.example:{service.port}", cache=False)
        assert (await shop.ask("GET", f"{FACE}/weather/x")).body == b"outside"
        assert shop.names.asked == ["rebind.example"], "one look for one connection"
        await set_up_open(shop, inside, base_url=f"http://rebind.example:{inside.port}", cache=False)
        for _ in range(2):
            refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, "integration-address-refused")
        assert inside.seen == []


async def test_the_address_is_looked_at_once_more_where_the_socket_is_made(
    shop: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that is fooled does not matter: what is connected to is what counts."""
    from localsrv.outbound import guarded

    async def fooled(self: Any, host: str, port: int = 0, family: Any = 0) -> Any:
        return await self._inner.resolve(host, port, family)

    monkeypatch.setattr(guarded._Resolver, "resolve", fooled)
    async with playing("127.0.0.1") as inside:
        shop.names.answers["inside.example"] = ["127.0.0.1"]
        await set_up_open(shop, inside, base_url=f"http://inside.example:{inside.port}")
        refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, "integration-address-refused")
        assert inside.seen == []


async def test_hosts_that_the_owner_named_may_be_inside(shop: WebServer) -> None:
    async with playing("127.0.0.1") as inside:
        shop.names.answers["nas.local"] = ["127.0.0.1"]
        base = f"http://nas.local:{inside.port}"
        await set_up(shop, inside, base_url=base, hosts=[f"nas.local:{inside.port}"])
        assert (await shop.ask("GET", f"{FACE}/weather/x")).body == b"hello"
        await set_up_open(shop, inside, "other", base_url=base, hosts=["nas.local:1"])
        refused(await shop.ask("GET", f"{FACE}/other/x"), 502, "integration-address-refused")
        assert len(inside.seen) == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0", "127.9.9.9", "me.example"])
async def test_this_server_itself_is_never_called(shop: WebServer, host: str) -> None:
    """Not even where its host was named."""
    shop.names.answers |= {"localhost": ["127.0.0.1"], "me.example": ["127.0.0.1"]}
    done = await shop.ask(
        "PUT",
        f"{API}/self",
        json={"base_url": f"http://{host}:{shop.port}", "hosts": [host], "limits": {"retries": 0}},
    )
    assert done.status == 200, done.body
    answer = await shop.ask("GET", f"{FACE}/self/api/v1/health")
    refused(answer, 502, "integration-address-refused")
    assert answer.json["details"] == "self"


async def test_no_proxy_of_the_environment_is_used(
    shop: WebServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would see the secret, and what it connects to would be nobody's to look at."""
    async with playing("127.0.0.1") as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await set_up(shop, service)
        assert (await shop.ask("GET", f"{FACE}/weather/x")).body == b"hello"
        assert proxy.seen == []


# ── redirects ──────────────────────────────────────────────────────────────────────────────────────────────


def leads_to(service: Service, path: str, location: str, status: int = 302) -> None:
    service.answer(path, lambda request: web.Response(status=status, headers={"Location": location}))


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("file:///etc/passwd", "integration-redirect-refused"),
        ("javascript:alert(1)", "integration-redirect-refused"),
        ("gopher://127.0.0.1/", "integration-redirect-refused"),
        ("http://user:pass@api.example.org/", "integration-redirect-refused"),
        ("/elsewhere", "integration-redirect-refused"),
        ("/v1/%2e%2e/elsewhere", "integration-redirect-refused"),
        ("http://inside.example/", "integration-address-refused"),
        ("http://127.0.0.1:{port}/", "integration-address-refused"),
        ("http://[::ffff:127.0.0.1]:{port}/", "integration-address-refused"),
        ("http://localhost:{own}/api/v1/status", "integration-address-refused"),
        ("http://127.0.0.1:{own}/api/v1/status", "integration-address-refused"),
        ("http://169.254.169.254/latest/meta-data", "integration-address-refused"),
        ("/v1/x", "integration-redirect-refused"),
    ],
)
async def test_redirects_that_are_refused(
    shop: WebServer, service: Service, location: str, code: str
) -> None:
    shop.names.answers |= {"inside.example": ["10.0.0.1"], "localhost": ["127.0.0.1"]}
    leads_to(service, "/v1/x", location.format(port=service.port, own=shop.port))
    await set_up(shop, service, base_url=f"{service.url}/v1", paths=["/x"])
    refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, code)
    assert all(path == "/v1/x" for _, path, _, _ in service.seen)
    assert len(service.seen) == (6 if location == "/v1/x" else 1), "at most five more"


async def test_redirects_within_the_service_take_the_secret_along(shop: WebServer, service: Service) -> None:
    leads_to(service, "/v1/x", "y?a=b", 307)
    await set_up(shop, service, base_url=f"{service.url}/v1")
    assert (await shop.ask("GET", f"{FACE}/weather/x")).body == b"hello"
    assert service.last[1] == "/v1/y?a=b"
    assert service.last[2]["Authorization"] == f"Bearer {SECRET}"


async def test_redirects_to_another_host_go_without_secret_and_headers(
    shop: WebServer, service: Service
) -> None:
    async with playing() as other:
        leads_to(service, "/x", f"http://cdn.example.net:{other.port}/file?sig=1")
        leads_to(other, "/file", f"{service.url}/back")
        await set_up(shop, service)
        answer = await shop.ask("GET", f"{FACE}/weather/x", headers={"X-Own": "1", "Accept": "text/plain"})
        assert answer.body == b"hello"
        for _, _, headers, _ in (other.last, service.last):
            assert not {"Authorization", "X-Own"} & set(headers)
            assert headers["Accept"] == "text/plain"
        assert service.last[1] == "/back", "and none when it leads back"


async def test_redirects_with_a_body(shop: WebServer, service: Service) -> None:
    await set_up(shop, service, methods=["GET", "POST"])
    leads_to(service, "/again", "/x", 307)
    refused(await shop.ask("POST", f"{FACE}/weather/again", data=b"a"), 502, "integration-redirect-refused")
    leads_to(service, "/done", "/x", 303)
    assert (await shop.ask("POST", f"{FACE}/weather/done", data=b"a")).body == b"hello"
    method, path, headers, body = service.last
    assert (method, path, body) == ("GET", "/x", b"")
    assert "Content-Type" not in headers


# ── limits ─────────────────────────────────────────────────────────────────────────────────────────────────


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(bytes(1 << 16))
    except ConnectionError:
        return response


async def test_an_answer_without_end_is_cut(shop: WebServer, service: Service) -> None:
    service.answer("/x", endless)
    await set_up(shop, service, limits={"response_mb": 1})
    came = 0
    with pytest.raises(ClientError):
        async with shop.session.get(f"{shop.url}{FACE}/weather/x", headers=shop.headers()) as answer:
            async for chunk in answer.content.iter_any():
                came += len(chunk)
    assert came <= 1 << 20, "no more than the limit went on to the client"
    shown = await shop.ask("GET", f"{API}/weather")
    assert shown.json["health"]["cached"] == 0


async def test_an_answer_that_says_that_it_is_too_large(shop: WebServer, service: Service) -> None:
    service.answer("/x", lambda request: web.Response(body=io.BytesIO(bytes(2 << 20))))
    await set_up(shop, service, limits={"response_mb": 1})
    refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, "integration-answer-too-large")


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_request_that_is_too_large(shop: WebServer, service: Service, is_chunked: bool) -> None:
    await set_up(shop, service, methods=["POST"], limits={"request_mb": 1})

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield bytes(1 << 16)

    data: Any = chunks() if is_chunked else io.BytesIO(bytes(2 << 20))
    refused(await shop.ask("POST", f"{FACE}/weather/x", data=data), 413, "too-large")
    assert all(len(body) <= 1 << 20 for *_, body in service.seen)


async def test_a_service_that_does_not_answer(shop: WebServer, service: Service) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    service.answer("/x", never)
    await set_up(shop, service, limits={"first_byte_s": 0.1, "connect_s": 0.1})
    answer = await shop.ask("GET", f"{FACE}/weather/x")
    refused(answer, 504, "integration-timeout")
    assert answer.json["details"] == "first_byte_s"


@pytest.mark.parametrize("limit", ["silence_s", "total_s"])
async def test_a_service_that_falls_silent(shop: WebServer, service: Service, limit: str) -> None:
    async def falters(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"half")
        await asyncio.Event().wait()
        raise AssertionError

    service.answer("/x", falters)
    await set_up(shop, service, limits={limit: 0.3})
    with pytest.raises(ClientError):
        await shop.ask("GET", f"{FACE}/weather/x")
    health = (await shop.ask("GET", f"{API}/weather")).json["health"]
    assert (health["last_error"], health["cached"]) == ("integration-timeout", 0)


async def test_repetitions_count_for_the_whole_time(shop: WebServer, service: Service) -> None:
    service.answer("/x", lambda request: web.Response(status=503, headers={"Retry-After": "5"}))
    await set_up(shop, service, limits={"total_s": 1, "retries": 5})
    began = time.monotonic()
    refused(await shop.ask("GET", f"{FACE}/weather/x"), 504, "integration-timeout")
    assert time.monotonic() - began < 3


async def test_nobody_listens(shop: WebServer, service: Service) -> None:
    await set_up(shop, service, base_url="http://api.example.org:9", limits={"connect_s": 2})
    refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, "integration-unreachable")
    shop.names.answers["gone.example"] = [""]
    await set_up_open(shop, service, "gone", base_url="http://gone.example")
    refused(await shop.ask("GET", f"{FACE}/gone/x"), 502, "integration-unreachable")


@pytest.mark.parametrize(
    "said",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"",
        # an answer without a body to every client, so that its body would be read as the next answer
        b"HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 4\r\n\r\nHTTP",
    ],
)
async def test_a_service_that_speaks_no_http(shop: WebServer, service: Service, said: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(speak, PUBLIC, 0) as strange:
        port = strange.sockets[0].getsockname()[1]
        await set_up(shop, service, base_url=f"http://api.example.org:{port}")
        refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, "integration-failed")


# ── repetitions and the circuit breaker ────────────────────────────────────────────────────────────────────


def fails(service: Service, path: str, times: int, status: int = 503, **headers: str) -> None:
    """A path that fails so often and then answers."""
    left = [times]

    def answer(request: web.Request) -> web.Response:
        left[0] -= 1
        return web.Response(status=status, headers=headers) if left[0] >= 0 else web.Response(text="at last")

    service.answer(path, answer)


@pytest.mark.parametrize(
    ("method", "failures", "status", "then", "requests"),
    [
        ("GET", 2, 503, 200, 3),
        ("GET", 3, 503, 503, 3),
        ("PUT", 2, 502, 200, 3),
        ("DELETE", 1, 504, 200, 2),
        ("GET", 2, 429, 200, 3),
        ("POST", 1, 503, 503, 1),
        ("PATCH", 1, 503, 503, 1),
        ("GET", 1, 500, 500, 1),
        ("GET", 1, 404, 404, 1),
    ],
)
async def test_what_is_repeated(
    shop: WebServer, service: Service, method: str, failures: int, status: int, then: int, requests: int
) -> None:
    fails(service, "/x", failures, status, **{"Retry-After": "0"})
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    await set_up(shop, service, methods=methods, limits={"retries": 2})
    data = b"body" if method in ("PUT", "POST", "PATCH") else None
    assert (await shop.ask(method, f"{FACE}/weather/x", data=data)).status == then
    assert len(service.seen) == requests
    assert {body for *_, body in service.seen} == {data or b""}, "the whole body each time"


async def test_a_service_that_wants_to_be_left_alone_for_long(shop: WebServer, service: Service) -> None:
    fails(service, "/x", 1, 429, **{"Retry-After": "3600"})
    await set_up(shop, service, limits={"retries": 2})
    answer = await shop.ask("GET", f"{FACE}/weather/x")
    assert (answer.status, answer.headers["Retry-After"], len(service.seen)) == (429, "3600", 1)


async def test_retry_after_is_honoured(shop: WebServer, service: Service) -> None:
    fails(service, "/x", 1, 503, **{"Retry-After": "1"})
    await set_up(shop, service, limits={"retries": 2})
    began = time.monotonic()
    assert (await shop.ask("GET", f"{FACE}/weather/x")).body == b"at last"
    assert time.monotonic() - began >= 1


async def test_the_breaker_opens_and_closes(
    shop: WebServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = [0.0]
    monkeypatch.setattr(exchange, "_now", lambda: asyncio.get_running_loop().time() + later[0])
    fails(service, "/x", 6, 500)
    await set_up(shop, service)
    await set_up(shop, service, "other")
    for _ in range(5):
        assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 500
    answer = await shop.ask("GET", f"{FACE}/weather/x")
    refused(answer, 503, "integration-circuit-open")
    assert (answer.headers["Retry-After"], answer.json["details"]) == ("15", "status-500")
    assert (await shop.ask("GET", f"{FACE}/weather/x")).json["details"] == "status-500"
    assert len(service.seen) == 5, "nothing is sent while it is open"
    assert (await shop.ask("GET", f"{FACE}/other/y")).status == 200, "others go on"
    later[0] += 15
    assert (await shop.ask("GET", f"{FACE}/weather/x")).status == 500, "one is let through"
    assert (await shop.ask("GET", f"{FACE}/weather/x")).headers["Retry-After"] == "30"
    later[0] += 30
    assert (await shop.ask("GET", f"{FACE}/weather/x")).body == b"at last"
    assert (await shop.ask("GET", f"{FACE}/weather/x")).body == b"at last"


async def test_states_are_shown(shop: WebServer, service: Service) -> None:
    await set_up(shop, service, base_url="http://api.example.org:9")
    for _ in range(5):
        refused(await shop.ask("GET", f"{FACE}/weather/x"), 502, "integration-unreachable")
    health = (await shop.ask("GET", API)).json["integrations"][0]["health"]
    assert (health["state"], health["failures"], health["calls"]) == ("open", 5, 5)
    assert (health["last_error"], 0 < health["next_try_in_s"] <= 15) == ("integration-unreachable", True)
    await set_up(shop, service)
    health = (await shop.ask("GET", f"{API}/weather")).json["health"]
    assert (health["state"], health["calls"]) == ("closed", 0), "new settings, new luck"


# ── streams ────────────────────────────────────────────────────────────────────────────────────────────────


def tells_events(service: Service) -> asyncio.Event:
    """`/events` tells one event, and another when the returned event is set; then it waits for ever."""
    more = asyncio.Event()

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await more.wait()
        await response.write(b"data: 2\n\n")
        try:
            await asyncio.Event().wait()
        finally:
            service.gone.set()
        return response

    service.answer("/events", events)
    return more


async def test_events_come_as_they_are_told(shop: WebServer, service: Service) -> None:
    more = tells_events(service)
    await set_up(shop, service, limits={"total_s": 0.2})
    async with shop.session.get(f"{shop.url}{FACE}/weather/events", headers=shop.headers()) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"
        more.set()
        assert await response.content.readuntil(b"\n\n") == b"data: 2\n\n"
    async with asyncio.timeout(5):
        await service.gone.wait()


async def test_a_client_that_leaves_ends_the_call(shop: WebServer, service: Service) -> None:
    """While nothing is told, too: nobody would notice by writing."""
    came, left = asyncio.Event(), asyncio.Event()

    async def waits(request: web.Request) -> web.Response:
        came.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return web.Response()

    service.answer("/x", waits)
    await set_up(shop, service)
    asking = asyncio.ensure_future(shop.session.get(f"{shop.url}{FACE}/weather/x", headers=shop.headers()))
    async with asyncio.timeout(5):
        await came.wait()
        asking.cancel()
        await left.wait()
    health = (await shop.ask("GET", f"{API}/weather")).json["health"]
    assert health["failures"] == 0, "that says nothing of the service"


async def test_revoking_the_key_ends_a_stream_within_a_second(shop: WebServer, service: Service) -> None:
    tells_events(service)
    await set_up(shop, service)
    made = await shop.ask(
        "POST", "/api/v1/keys", json={"name": "k", "app": "shop", "scopes": ["integrations:weather:use"]}
    )
    headers = shop.headers(token=made.json["token"])
    async with shop.session.get(f"{shop.url}{FACE}/weather/events", headers=headers) as response:
        assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"
        assert (await shop.ask("DELETE", f"/api/v1/keys/{made.json['id']}")).status == 200
        with pytest.raises(ClientError):
            async with asyncio.timeout(1):
                await response.content.read()


async def test_a_key_that_expires_ends_a_stream(shop: WebServer, service: Service) -> None:
    tells_events(service)
    await set_up(shop, service)
    key = await shop.key("shop", "integrations:weather:use", expires_in=1)
    headers = shop.headers(token=key)
    async with shop.session.get(f"{shop.url}{FACE}/weather/events", headers=headers) as response:
        assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"
        with pytest.raises(ClientError):
            async with asyncio.timeout(3):
                await response.content.read()


async def test_uploads_are_streamed(shop: WebServer, service: Service) -> None:
    first, go_on = asyncio.Event(), asyncio.Event()
    got = bytearray()

    async def take(request: web.Request) -> web.Response:
        async for chunk in request.content.iter_any():
            got.extend(chunk)
            first.set()
        return web.Response(text=str(len(got)))

    async def chunks() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield bytes(1 << 20)

    service.answer("/stream-in", take)
    await set_up(shop, service, methods=["PUT"])
    asking = asyncio.ensure_future(shop.ask("PUT", f"{FACE}/weather/stream-in", data=chunks()))
    async with asyncio.timeout(5):
        await first.wait()
    assert bytes(got) == b"first"
    go_on.set()
    assert (await asking).body == str((1 << 20) + 5).encode()


async def test_the_server_leaves_though_a_stream_goes_on(shop: WebServer, service: Service) -> None:
    tells_events(service)
    await set_up(shop, service)
    async with shop.session.get(f"{shop.url}{FACE}/weather/events", headers=shop.headers()) as response:
        assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"
        await shop.leave()
