"""Answers that are kept: RFC 9111, seen from the client and from the service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest
from aiohttp import web

from localsrv.services.integrations.calls import Calls
from localsrv.services.integrations.kept import KeptAnswers, Storing
from tests.support.outside import Service
from tests.web.conftest import Answer, WebServer
from tests.web.integrations.conftest import API, FACE, refused, set_up, set_up_open


def serves(service: Service, path: str, **headers: str) -> None:
    """A path whose answers are numbered; it knows `If-None-Match`."""
    count = [0]

    def answer(request: web.Request) -> web.Response:
        if headers.get("ETag") and request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        count[0] += 1
        return web.Response(text=str(count[0]), headers=headers)

    service.answer(path, answer)


async def get(server: WebServer, path: str = "x", token: str = "", **headers: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await server.ask("GET", f"{FACE}/weather/{path}", token=token, headers=given)


async def goes_away(server: WebServer, service: Service) -> None:
    """From now on nobody answers at the service's name."""
    server.names.answers["api.example.org"] = [""]


@pytest.fixture
async def kept(shop: WebServer, service: Service) -> WebServer:
    """With `Connection: close`, so that every request looks the name up."""
    await set_up(shop, service)
    return shop


async def test_a_fresh_answer_is_given_at_once(kept: WebServer, service: Service) -> None:
    serves(service, "/x", **{"Cache-Control": "max-age=60", "X-More": "y"})
    first, second = await get(kept), await get(kept)
    assert [first.body, second.body, len(service.seen)] == [b"1", b"1", 1]
    assert "Age" not in first.headers
    assert (second.headers["Age"], second.headers["X-More"]) == ("0", "y")
    assert second.headers["Content-Security-Policy"].startswith("sandbox")
    assert (await get(kept, "x?other")).body == b"2", "another query, another answer"
    assert (await kept.ask("HEAD", f"{FACE}/weather/x")).status == 200
    assert (await kept.ask("GET", f"{API}/weather")).json["health"]["cached"] == 2


@pytest.mark.parametrize(
    ("headers", "asks"),
    [
        ({"Cache-Control": "no-store"}, True),
        ({"Cache-Control": "max-age=0"}, True),
        ({}, True),
        ({"Cache-Control": "no-cache"}, True),
        ({"Cache-Control": "max-age=60", "Vary": "*"}, True),
        ({"Cache-Control": "max-age=60", "Age": "61"}, True),
        ({"Cache-Control": "max-age=60", "Age": "10"}, False),
        ({"Cache-Control": "private, max-age=60"}, False),
        ({"Expires": formatdate(time.time() + 86_400, usegmt=True)}, False),
        ({"Expires": "0"}, True),
        ({"Cache-Control": "max-age=60", "Set-Cookie": "a=b"}, False),
    ],
)
async def test_what_the_service_allows(
    kept: WebServer, service: Service, headers: dict[str, str], asks: bool
) -> None:
    serves(service, "/x", **headers)
    assert [(await get(kept)).body, (await get(kept)).body] == [b"1", b"2" if asks else b"1"]


@pytest.mark.parametrize(
    ("headers", "asks"),
    [
        ({"Cache_Control": "no-cache"}, True),
        ({"Cache_Control": "max-age=0"}, True),
        ({"Cache_Control": "no-store"}, True),
        ({"Range": "bytes=0-1"}, True),
        ({"X_Other": "1"}, False),
    ],
)
async def test_what_the_client_wants(
    kept: WebServer, service: Service, headers: dict[str, str], asks: bool
) -> None:
    serves(service, "/x", **{"Cache-Control": "max-age=60"})
    assert (await get(kept)).body == b"1"
    assert (await get(kept, **headers)).body == (b"2" if asks else b"1")


async def test_a_stale_answer_is_checked(kept: WebServer, service: Service) -> None:
    serves(service, "/x", **{"Cache-Control": "max-age=0", "ETag": '"one"', "X-Left": "9"})
    assert [(await get(kept)).body for _ in range(3)] == [b"1", b"1", b"1"]
    assert [seen[2].get("If-None-Match") for seen in service.seen] == [None, '"one"', '"one"']
    serves(service, "/x", **{"Cache-Control": "max-age=60", "ETag": '"two"'})
    assert [(await get(kept)).body for _ in range(2)] == [b"1", b"1"]
    assert len(service.seen) == 4, "the new one is fresh"
    assert (await kept.ask("GET", f"{API}/weather")).json["health"]["cached"] == 1, "in place of the old one"


async def test_last_modified_does_too(kept: WebServer, service: Service) -> None:
    at = formatdate(time.time() - 5, usegmt=True)

    def answer(request: web.Request) -> web.Response:
        status = 304 if request.headers.get("If-Modified-Since") == at else 200
        return web.Response(
            status=status,
            text=None if status == 304 else "same",
            headers={"Last-Modified": at, "Cache-Control": "max-age=0"},
        )

    service.answer("/x", answer)
    assert [(await get(kept)).body for _ in range(2)] == [b"same", b"same"]
    assert [seen[2].get("If-Modified-Since") for seen in service.seen] == [None, at]


async def test_conditions_of_the_client(kept: WebServer, service: Service) -> None:
    serves(service, "/x", **{"Cache-Control": "max-age=60", "ETag": '"one"'})
    first = await get(kept, If_None_Match='"one"')
    assert (first.status, len(service.seen)) == (304, 1), "what is not here is the service's to answer"
    assert (await get(kept)).body == b"1"
    second = await get(kept, If_None_Match='W/"one", "zero"')
    assert (second.status, second.body, second.headers["ETag"], len(service.seen)) == (304, b"", '"one"', 2)
    assert (await get(kept, If_None_Match='"other"')).body == b"1"
    assert len(service.seen) == 2


async def test_answers_that_vary(kept: WebServer, service: Service) -> None:
    service.answer(
        "/x",
        lambda request: web.Response(
            text=request.headers["Accept-Language"],
            headers={"Cache-Control": "max-age=60", "Vary": "Accept-Language"},
        ),
    )
    said = [(await get(kept, Accept_Language=language)).body for language in ("de", "en", "de", "en")]
    assert (said, len(service.seen)) == ([b"de", b"en", b"de", b"en"], 2)


async def test_answers_that_vary_by_authorization_are_each_clients_own(
    kept: WebServer, service: Service
) -> None:
    serves(service, "/own", **{"Cache-Control": "max-age=60", "Vary": "Authorization"})
    serves(service, "/all", **{"Cache-Control": "max-age=60"})
    one, two = [await kept.key("shop", "integrations:weather:use") for _ in range(2)]
    assert [(await get(kept, "own", key)).body for key in (one, two, one, two)] == [b"1", b"2", b"1", b"2"]
    assert [(await get(kept, "all", key)).body for key in (one, two)] == [b"1", b"1"]


async def test_no_app_reads_anothers_answers(kept: WebServer, service: Service) -> None:
    serves(service, "/x", **{"Cache-Control": "max-age=60"})
    assert (await get(kept)).body == b"1"
    await kept.make_app("other")
    body = {"base_url": service.url, "auth": "bearer", "secret": "another", "hosts": ["api.example.org"]}
    assert (await kept.ask("PUT", "/api/v1/apps/other/integrations/weather", json=body)).status == 200
    assert (await kept.ask("GET", "/apps/other/integrations/v1/weather/x")).body == b"2"
    await set_up_open(kept, service, "again")
    assert (await kept.ask("GET", f"{FACE}/again/x")).body == b"3"


async def test_a_write_forgets_what_was_kept(kept: WebServer, service: Service) -> None:
    serves(service, "/x", **{"Cache-Control": "max-age=60"})
    await set_up(kept, service, methods=["GET", "PUT"])
    assert (await get(kept)).body == b"1"
    assert (await kept.ask("PUT", f"{FACE}/weather/x", data=b"new")).status == 200
    assert (await get(kept)).body == b"3"


OFFLINE = [
    # what the service said, whether a stale answer is given
    ({"Cache-Control": "max-age=0"}, True),
    ({"Cache-Control": "max-age=0", "ETag": '"one"'}, True),
    ({"Cache-Control": "max-age=0, must-revalidate"}, False),
    ({"Cache-Control": "no-cache"}, False),
    ({"Cache-Control": "no-store"}, False),
]


@pytest.mark.parametrize(("headers", "is_given"), OFFLINE, ids=range(len(OFFLINE)))
@pytest.mark.parametrize("how", ["no name", "503", "open circuit"])
async def test_stale_answers_while_the_service_is_away(
    kept: WebServer, service: Service, headers: dict[str, str], is_given: bool, how: str
) -> None:
    serves(
        service,
        "/x",
        **{**headers, "Date": formatdate(time.time() - 100, usegmt=True), "Connection": "close"},
    )
    assert (await get(kept)).body == b"1"
    if how == "503":
        service.answer("/x", lambda request: web.Response(status=503))
    else:
        await goes_away(kept, service)
    for _ in range(6 if how == "open circuit" else 1):
        answer = await get(kept)
    if is_given:
        assert (answer.status, answer.body) == (200, b"1")
        assert answer.headers["Warning"] == '110 localsrv "Response is Stale"'
        assert 100 <= int(answer.headers["Age"]) < 200
    elif how == "503":
        assert (answer.status, "Warning" in answer.headers) == (503, False)
    else:
        code = "integration-unreachable" if how == "no name" else "integration-circuit-open"
        refused(answer, 502 if how == "no name" else 503, code)


async def test_it_is_fresh_again_when_the_service_is_back(kept: WebServer, service: Service) -> None:
    serves(service, "/x", **{"Cache-Control": "max-age=0", "Connection": "close"})
    await get(kept)
    await goes_away(kept, service)
    assert "Warning" in (await get(kept)).headers
    kept.names.answers.clear()
    back = await get(kept)
    assert (back.body, "Warning" in back.headers) == (b"2", False)


async def test_a_304_about_nothing_that_is_here(kept: WebServer, service: Service) -> None:
    """The service means another version than the one that is kept: it is asked again, without conditions."""

    def answer(request: web.Request) -> web.Response:
        if "If-None-Match" in request.headers:
            return web.Response(status=304, headers={"ETag": '"other"'})
        return web.Response(text="whole", headers={"ETag": '"one"', "Cache-Control": "max-age=0"})

    service.answer("/x", answer)
    assert [(await get(kept)).body for _ in range(2)] == [b"whole", b"whole"]


def _large(size: int) -> Callable[[web.Request], web.Response]:
    import io

    return lambda request: web.Response(body=io.BytesIO(bytes(size)), headers={"Cache-Control": "max-age=60"})


@pytest.mark.parametrize(("size", "is_kept"), [(8 << 20, 1), ((8 << 20) + 1, 0)])
async def test_large_answers_are_not_kept(kept: WebServer, service: Service, size: int, is_kept: int) -> None:
    service.answer("/x", _large(size))
    assert len((await get(kept)).body) == size
    assert (await kept.ask("GET", f"{API}/weather")).json["health"]["cached"] == is_kept


async def test_much_at_once_is_not_kept(
    kept: WebServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes is held until it is whole: bounded, however many ask."""
    monkeypatch.setattr("localsrv.services.integrations.kept.MOST_GATHERED", 1 << 20)
    service.answer("/x", _large(2 << 20))
    service.answer("/y", _large(1 << 19))
    assert [len((await get(kept, path)).body) for path in "xy"] == [2 << 20, 1 << 19]
    assert (await kept.ask("GET", f"{API}/weather")).json["health"]["cached"] == 1
    calls: Calls = kept.services.extra[Calls]
    assert calls._kept.gathered == 0


async def test_a_client_that_leaves_with_the_whole_answer(
    kept: WebServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simple clients close as soon as they have all bytes; the answer is kept all the same."""
    has_left, store = asyncio.Event(), KeptAnswers.store

    async def slowly(own: KeptAnswers, storing: Storing, body: bytes) -> None:
        await has_left.wait()
        await store(own, storing, body)

    monkeypatch.setattr(KeptAnswers, "store", slowly)
    serves(service, "/x", **{"Cache-Control": "max-age=60"})
    reader, writer = await asyncio.open_connection("127.0.0.1", kept.port)
    head = f"GET {FACE}/weather/x HTTP/1.1\r\nHost: {kept.host()}\r\napikey: {kept.owner}\r\n\r\n"
    writer.write(head.encode())
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(1) == b"1"
    writer.transport.abort()
    flight = kept.services.flight
    async with asyncio.timeout(5):
        while any(request.transport is not None for request in flight.requests.values()):
            await asyncio.sleep(0)
        for _ in range(100):  # until everybody has heard of it
            await asyncio.sleep(0)
        has_left.set()
        while flight.requests:
            await asyncio.sleep(0)
    assert ((await get(kept)).body, len(service.seen)) == (b"1", 1)


async def test_emptying_and_switching_off(kept: WebServer, service: Service) -> None:
    serves(service, "/x", **{"Cache-Control": "max-age=60"})
    await get(kept)
    assert (await kept.ask("DELETE", f"{API}/weather/cache")).json == {"cleared": 1}
    assert (await get(kept)).body == b"2"
    assert (await kept.ask("PUT", f"{API}/weather", json={"cache": False})).json["health"]["cached"] == 0
    assert [(await get(kept)).body for _ in range(2)] == [b"3", b"4"]


async def test_the_secret_is_in_no_cache(kept: WebServer, service: Service) -> None:
    serves(service, "/x", **{"Cache-Control": "max-age=60"})
    auth = {"kind": "query", "name": "appid"}
    await set_up(kept, service, auth=auth, secret="sesame-in-the-query-1")
    await get(kept)
    assert service.last[1] == "/x?appid=sesame-in-the-query-1"
    files = list((kept.home / "cache").iterdir())
    assert files
    assert not any(b"sesame-in" in file.read_bytes() for file in files)
