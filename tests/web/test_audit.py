"""The audit log over the admin API: what fails is noted, what is noted can be read and exported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localsrv.services import audit as events
from localsrv.web import attempts
from tests.web.conftest import ALLOWED_ORIGIN, WebServer


async def _entries(web_server: WebServer, query: str = "") -> list[dict[str, Any]]:
    answer = await web_server.ask("GET", f"/api/v1/audit{query}")
    assert answer.status == 200, answer.body
    return list(answer.json["entries"])


@pytest.mark.parametrize(
    ("token", "headers", "why"),
    [
        ("lsk_nobody", {}, "bad-token"),
        (None, {"apikey": "lsk_nobody"}, "bad-token"),
        ("lsk_nobody", {"Origin": ALLOWED_ORIGIN}, "bad-token"),
    ],
)
async def test_failed_sign_ins_are_noted_without_the_token(
    web_server: WebServer, token: str | None, headers: dict[str, str], why: str
) -> None:
    for _ in range(3):
        refused = await web_server.ask("GET", "/api/v1/apps", token=token, headers=headers)
        assert refused.status == 401
    [entry] = await _entries(web_server)
    assert (entry["event"], entry["count"], entry["origin"]) == ("sign-in-failed", 3, headers.get("Origin"))
    assert entry["details"] == {"why": why}
    assert "nobody" not in json.dumps(entry)


async def test_failed_sign_ins_of_sockets_are_noted_and_counted(
    web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their tokens come in a message, after the place where all others are looked at."""
    monkeypatch.setattr(attempts, "MOST_FAILURES", 2)
    url, headers = f"{web_server.url}/api/v1/requests", {"Origin": web_server.url}
    codes = []
    for _ in range(3):
        async with web_server.session.ws_connect(url, headers=headers) as ws:
            await ws.send_json({"token": "lsk_nobodys"})
            codes.append((await ws.receive_json(timeout=10))["code"])
    assert codes == ["bad-token", "bad-token", "too-many-attempts"]
    [entry] = await _entries(web_server)
    told = (entry["event"], entry["count"], entry["origin"], entry["details"])
    assert told == ("sign-in-failed", 3, web_server.url, {"why": "bad-token"})


async def test_a_request_without_a_token_is_no_failed_sign_in(web_server: WebServer) -> None:
    assert (await web_server.ask("GET", "/api/v1/apps", token=None)).status == 401
    assert await _entries(web_server) == []


async def test_pages_and_the_export(web_server: WebServer) -> None:
    for number in range(5):
        web_server.services.audit.note(events.SECRET_SET, subject=f"secret {number}")
    web_server.services.audit.note(events.SIGN_IN)
    first = await web_server.ask("GET", "/api/v1/audit?event=secret-set&limit=3")
    assert [e["subject"] for e in first.json["entries"]] == ["secret 4", "secret 3", "secret 2"]
    rest = await _entries(web_server, f"?event=secret-set&limit=3&before={first.json['next']}")
    assert [e["subject"] for e in rest] == ["secret 1", "secret 0"]
    exported = await web_server.ask("GET", "/api/v1/audit/export")
    assert exported.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in exported.body.splitlines()]
    assert lines == await _entries(web_server)
    assert len(lines) == 6


@pytest.mark.parametrize("query", ["?limit=0", "?limit=x", "?limit=1001", "?before=-1", "?event=nothing"])
async def test_bad_queries(web_server: WebServer, query: str) -> None:
    answer = await web_server.ask("GET", f"/api/v1/audit{query}")
    assert (answer.status, answer.json["code"]) == (400, "invalid-value"), answer.body


async def test_for_the_owner_alone(web_server: WebServer) -> None:
    await web_server.make_app("shop")
    for token in (await web_server.key("shop", "admin"), await web_server.key("*", "*:read", "sync")):
        for path in ("/api/v1/audit", "/api/v1/audit/export"):
            assert (await web_server.ask("GET", path, token=token)).status == 403
