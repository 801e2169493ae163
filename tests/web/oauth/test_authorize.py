"""RFC 8252 and RFC 7636: the browser is sent here and back, with a code that only its asker can use."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.support.oauth import Pkce
from tests.web.oauth.conftest import Desk

PAGE = "https://notes.example"


def answer_of(location: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def test_a_program_at_a_loopback_port(desk: Desk) -> None:
    pkce = Pkce.make()
    begun = await desk.authorize(code_challenge=pkce.challenge, redirect_uri="http://127.0.0.1:51234/cb?x=1")
    assert (begun.status, begun.headers["Cache-Control"]) == (303, "no-store")
    location = begun.headers["Location"]
    (request,) = await desk.requests()
    assert (request["name"], request["origin"], request["code"]) == ("Notes", None, None)
    assert request["answer_to"] == "a program or page on this computer, http://127.0.0.1:51234"
    waiting = (await desk.ticket(location)).json
    assert (waiting["status"], waiting["redirect_to"]) == ("waiting", None)
    approved = await desk.decide(request["id"])
    assert approved.status == 200
    assert "code=" not in approved.body.decode(), "the code goes to the browser that waits, and nowhere else"

    back = (await desk.ticket(location)).json["redirect_to"]
    assert back.startswith("http://127.0.0.1:51234/cb?x=1&")
    told = answer_of(back)
    assert set(told) == {"x", "code", "state", "iss"}
    assert (told["state"], told["iss"]) == ("st", desk.server.origin())
    assert (await desk.ticket(location)).status == 404, "a ticket gives one answer"
    given = await desk.redeem(told["code"], pkce, redirect_uri="http://127.0.0.1:51234/cb?x=1")
    assert given.status == 200, given.body
    assert given.headers["Cache-Control"] == "no-store"
    assert await desk.read(given.json["access_token"]) == 200
    assert given.json["refresh_token"].startswith("lsr_")


async def test_a_page_redeems_at_its_own_origin(desk: Desk) -> None:
    pkce = Pkce.make()
    uri = f"{PAGE}/cb"
    code = await desk.code(pkce, redirect_uri=uri, client_id=PAGE)
    given = await desk.redeem(code, pkce, PAGE, redirect_uri=uri, client_id=PAGE)
    assert given.status == 200, given.body
    assert given.headers["Access-Control-Allow-Origin"] == PAGE
    assert await desk.read(given.json["access_token"], Origin=PAGE) == 200
    assert await desk.read(given.json["access_token"], Origin="https://evil.example") == 403
    (grant,) = (await desk.server.ask("GET", "/api/v1/grants")).json["grants"]
    assert (grant["origin"], grant["program"]) == (PAGE, PAGE)


async def test_refused_by_the_owner(desk: Desk) -> None:
    begun = await desk.authorize()
    (request,) = await desk.requests()
    assert (await desk.decide(request["id"], "refuse")).status == 200
    told = answer_of((await desk.ticket(begun.headers["Location"])).json["redirect_to"])
    assert (told["error"], told["state"]) == ("access_denied", "st")
    assert "code" not in told


async def test_nobody_decides(desk: Desk) -> None:
    begun = await desk.authorize()
    desk.clock.now += 601
    told = answer_of((await desk.ticket(begun.headers["Location"])).json["redirect_to"])
    assert told["error"] == "access_denied"


async def test_the_waiting_browser_is_answered_at_once(desk: Desk) -> None:
    begun = await desk.authorize()
    (request,) = await desk.requests()
    body = {"ticket": begun.headers["Location"].partition("=")[2], "wait": 30}
    waiting = asyncio.ensure_future(desk.server.ask("POST", "/api/v1/ticket", token=None, json=body))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    await desk.decide(request["id"])
    async with asyncio.timeout(5):
        assert (await waiting).json["status"] == "approved"


ERROR_PAGES: list[tuple[str, dict[str, str]]] = [
    ("no client", {"client_id": ""}),
    ("client with a control", {"client_id": "a\tb"}),
    ("no redirect", {"redirect_uri": ""}),
    ("a foreign plain address", {"redirect_uri": "http://evil.example/cb"}),
    ("javascript", {"redirect_uri": "javascript:alert(1)"}),
    ("a fragment", {"redirect_uri": "http://127.0.0.1:1/cb#x"}),
    ("a user", {"redirect_uri": "https://notes.example@evil.example/"}),
    ("a page that claims another", {"redirect_uri": "https://evil.example/", "client_id": "https://bank.example"}),
    ("bad in two ways", {"redirect_uri": "file:///x", "response_type": "token"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "query"), ERROR_PAGES, ids=[row[0] for row in ERROR_PAGES])
async def test_what_is_never_redirected(desk: Desk, name: str, query: dict[str, str]) -> None:
    answer = await desk.authorize(**query)
    assert (answer.status, answer.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert "Location" not in answer.headers
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert await desk.requests() == []


async def test_an_error_page_holds_no_markup_of_the_request(desk: Desk) -> None:
    for query in ({"redirect_uri": "x:<script>alert(1)</script>"}, {"client_id": "<scr\nipt>"}):
        answer = await desk.authorize(**query)
        assert answer.status == 400
        assert b"<script" not in answer.body


async def test_the_servers_own_pages_get_no_answer(desk: Desk) -> None:
    for uri in (f"{desk.server.origin()}/cb", f"http://127.0.0.1:{desk.server.port}/pair/"):
        assert (await desk.authorize(redirect_uri=uri)).status == 400
    assert (await desk.authorize(redirect_uri=f"{desk.server.origin('shop')}/cb")).status == 303


async def test_twice_the_same_is_never_redirected(desk: Desk) -> None:
    usual = "response_type=code&client_id=a&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F"
    for more in ("client_id=b", "redirect_uri=http%3A%2F%2F127.0.0.1%3A2%2F", "x=%ff"):
        answer = await desk.server.ask("GET", f"/oauth/authorize?{usual}&{more}", token=None)
        assert (answer.status, "Location" in answer.headers) == (400, False)
    twice = await desk.server.ask("GET", f"/oauth/authorize?{usual}&state=a&state=b", token=None)
    told = answer_of(twice.headers["Location"])
    assert (told["error"], "state" in told) == ("invalid_request", False)


async def test_what_comes_twice_is_no_request(desk: Desk) -> None:
    """Whoever reads the first and whoever reads the last would allow two different things."""
    usual = urlencode(
        {
            "response_type": "code", "client_id": "Notes", "redirect_uri": "http://127.0.0.1:7777/cb",
            "scope": "items:read", "app": "shop", "code_challenge": "c" * 43, "code_challenge_method": "S256",
        }
    )  # fmt: skip
    for more in ("scope=admin", "app=other", "code_challenge=" + "d" * 43, "response_type=code"):
        answer = await desk.server.ask("GET", f"/oauth/authorize?{usual}&{more}", token=None)
        assert answer_of(answer.headers["Location"])["error"] == "invalid_request", more
    assert await desk.requests() == []
    form = "client_id=Notes&scope=items:read&scope=admin"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    asked = await desk.server.ask(
        "POST", "/oauth/device_authorization", token=None, data=form, headers=headers
    )
    assert (asked.status, asked.json["error"]) == (400, "invalid_request")
    assert await desk.requests() == []


REDIRECTED: list[tuple[str, dict[str, str], str]] = [
    ("no response type", {"response_type": ""}, "invalid_request"),
    ("a token at once", {"response_type": "token"}, "unsupported_response_type"),
    ("no challenge", {"code_challenge": ""}, "invalid_request"),
    ("a plain challenge", {"code_challenge_method": "plain"}, "invalid_request"),
    ("no method, which means plain", {"code_challenge_method": ""}, "invalid_request"),
    ("a short challenge", {"code_challenge": "c" * 42}, "invalid_request"),
    ("no scope", {"scope": ""}, "invalid_scope"),
    ("an unknown scope", {"scope": "items:read all"}, "invalid_scope"),
    ("no app id", {"app": "../x"}, "invalid_request"),
    ("another response mode", {"response_mode": "fragment"}, "invalid_request"),
]


@pytest.mark.parametrize(("name", "query", "error"), REDIRECTED, ids=[row[0] for row in REDIRECTED])
async def test_errors_that_go_back(desk: Desk, name: str, query: dict[str, str], error: str) -> None:
    answer = await desk.authorize(**query)
    assert answer.status == 303
    assert answer.headers["Location"].startswith("http://127.0.0.1:7777/cb?")
    told = answer_of(answer.headers["Location"])
    assert (told["error"], told["state"], told["iss"]) == (error, "st", desk.server.origin())
    assert await desk.requests() == []


async def test_a_state_that_is_none_is_not_sent_back(desk: Desk) -> None:
    told = answer_of((await desk.authorize(state="a\nb")).headers["Location"])
    assert (told["error"], "state" in told) == ("invalid_request", False)
    strange = "a b%&=+/?\"'<>"
    begun = await desk.authorize(state=strange)
    (request,) = await desk.requests()
    await desk.decide(request["id"])
    assert answer_of((await desk.ticket(begun.headers["Location"])).json["redirect_to"])["state"] == strange


async def test_too_many_and_muted_go_back_too(desk: Desk) -> None:
    for _ in range(2):
        await desk.authorize()
        (request,) = await desk.requests()
        await desk.decide(request["id"], "refuse")
    assert answer_of((await desk.authorize()).headers["Location"])["error"] == "access_denied"
    for _ in range(3):
        await desk.authorize(client_id="Busy")
    told = answer_of((await desk.authorize(client_id="Busy")).headers["Location"])
    assert told["error"] == "temporarily_unavailable"


NO_WINDOWS: list[dict[str, str]] = [
    {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"},
]


@pytest.mark.parametrize("headers", NO_WINDOWS, ids=lambda h: h["Sec-Fetch-Dest"])
async def test_only_a_window_asks(desk: Desk, headers: dict[str, str]) -> None:
    assert (await desk.authorize(headers)).status == 400
    assert await desk.requests() == []


async def test_a_page_asks_for_itself_alone(desk: Desk) -> None:
    window = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}
    for referrer, status in ((f"{PAGE}/", 303), ("https://evil.example/", 400), ("https://[", 400)):
        answer = await desk.authorize({**window, "Referer": referrer}, redirect_uri=f"{PAGE}/cb")
        assert answer.status == status, referrer
    assert (await desk.authorize(window, redirect_uri=f"{PAGE}/cb")).status == 303


async def test_a_page_that_asks_in_the_name_of_programs(desk: Desk) -> None:
    """It is shown, counted and muted as that page, whatever names it uses."""
    window = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    by_evil = {**window, "Sec-Fetch-Site": "cross-site", "Referer": "https://evil.example/"}
    unknown = {**window, "Sec-Fetch-Site": "cross-site"}
    own = {**window, "Sec-Fetch-Site": "same-site", "Referer": "http://127.0.0.1:7777/"}
    program = {**window, "Sec-Fetch-Site": "none"}
    told = []
    for headers in (by_evil, unknown, own, program, {}):
        assert (await desk.authorize(headers)).status == 303
        request = (await desk.requests())[0]
        told.append(request["sent_by"])
        assert (await desk.decide(request["id"])).status == 200
    assert told == ["https://evil.example", "a page that does not say which it is", None, None, None]

    for n in range(3):
        begun = await desk.authorize(by_evil, client_id=f"Program {n}")
        assert begun.headers["Location"].startswith("/pair/")
    full = await desk.authorize(by_evil, client_id="Program 4")
    assert answer_of(full.headers["Location"])["error"] == "temporarily_unavailable"
    assert (await desk.authorize(program, client_id="Program 4")).headers["Location"].startswith("/pair/")
    for request in await desk.requests():
        if request["sent_by"]:
            await desk.decide(request["id"], "refuse")
    muted = await desk.authorize(by_evil, client_id="Program 5")
    assert answer_of(muted.headers["Location"])["error"] == "access_denied"


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("another verifier", {"code_verifier": "v" * 43}, "invalid_grant"),
    ("another client", {"client_id": "Other"}, "invalid_grant"),
    ("another redirect", {"redirect_uri": "http://127.0.0.1:7777/other"}, "invalid_grant"),
    ("a page of another origin", {"origin": "https://evil.example"}, "invalid_grant"),
]


@pytest.mark.parametrize(("name", "more", "error"), WRONG, ids=[row[0] for row in WRONG])
async def test_a_wrong_try_spends_the_code(desk: Desk, name: str, more: dict[str, Any], error: str) -> None:
    pkce = Pkce.make()
    code = await desk.code(pkce)
    assert (await desk.redeem(code, pkce, **more)).json["error"] == error
    assert (await desk.redeem(code, pkce)).json["error"] == "invalid_grant"
    assert (await desk.server.ask("GET", "/api/v1/grants")).json["grants"] == []
    assert "code-failed" in [event for event, _ in await desk.events("code-failed")]


async def test_what_is_no_question_for_tokens(desk: Desk) -> None:
    pkce = Pkce.make()
    code = await desk.code(pkce)
    form = {"grant_type": "authorization_code", "code": code, "client_id": "Notes",
            "redirect_uri": "http://127.0.0.1:7777/cb", "code_verifier": pkce.verifier}  # fmt: skip
    for missing in form:
        left = {name: value for name, value in form.items() if name != missing}
        assert (await desk.post("/oauth/token", **left)).json["error"] == "invalid_request", missing
    for verifier in ("short", "v" * 129, "ü" * 43, "v" * 42 + " "):
        answer = await desk.post("/oauth/token", **{**form, "code_verifier": verifier})
        assert answer.json["error"] == "invalid_request"
    unsupported = await desk.post("/oauth/token", **{**form, "grant_type": "password"})
    assert unsupported.json["error"] == "unsupported_grant_type"
    in_url = await desk.server.ask(
        "POST", f"/oauth/token?code={code}&grant_type=authorization_code", token=None
    )
    assert in_url.status == 415
    assert (await desk.post("/oauth/token", **form)).status == 200, "what was no try spends nothing"


async def test_a_replayed_code_ends_what_it_gave(desk: Desk) -> None:
    pkce = Pkce.make()
    code = await desk.code(pkce)
    given = (await desk.redeem(code, pkce)).json
    assert await desk.read(given["access_token"]) == 200
    assert (await desk.redeem(code, Pkce.make())).json["error"] == "invalid_grant"
    assert await desk.read(given["access_token"]) == 401
    assert (await desk.refresh(given["refresh_token"])).json["error"] == "invalid_grant"


async def test_a_code_is_good_for_a_minute(desk: Desk) -> None:
    pkce = Pkce.make()
    code = await desk.code(pkce)
    desk.clock.now += 61
    assert (await desk.redeem(code, pkce)).json["error"] == "invalid_grant"


async def test_unknown_tickets_and_codes(desk: Desk) -> None:
    device = await desk.device()
    for ticket in ("", "x", device["device_code"]):
        answer = await desk.server.ask("POST", "/api/v1/ticket", token=None, json={"ticket": ticket})
        assert (answer.status, answer.json["code"]) == (404, "request-not-found")
    foreign = await desk.server.ask(
        "POST", "/api/v1/ticket", token=None, json={"ticket": "x"}, headers={"Origin": PAGE}
    )
    assert foreign.status == 403
    assert (await desk.redeem(device["device_code"], Pkce.make())).json["error"] == "invalid_grant"
    assert (await desk.redeem("x", Pkce.make())).json["error"] == "invalid_grant"
