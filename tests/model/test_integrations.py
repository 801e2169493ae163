"""model/integrations.py, integration_headers.py, redirects.py and breaker.py"""

from __future__ import annotations

from typing import Any

import pytest

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.model.breaker import FAILURES, PAUSE_S, Breaker, pause_before, seconds_of
from localsrv.model.integration_addresses import checked_hosts, checked_url
from localsrv.model.integration_headers import to_another_origin, to_return, to_send
from localsrv.model.integrations import (
    Ask,
    Auth,
    Integration,
    changed,
    checked_auth,
    checked_limits,
    checked_secret,
)
from localsrv.model.redirects import Hop, RedirectRefused, next_hop


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.example.org", "https://api.example.org"),
        ("https://API.example.org/v1/", "https://api.example.org/v1"),
        ("http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080/a/b"),
        ("https://[2606:4700::1]/x", "https://[2606:4700::1]/x"),
    ],
)
def test_addresses(url: str, kept: str) -> None:
    assert checked_url(url) == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        7,
        "api.example.org",
        "ftp://x",
        "file:///etc/passwd",
        "https://",
        "https://u:p@host",
        "https://u@host",
        "https://host/?a=1",
        "https://host/#x",
        "https://host/a/../b",
        "https://host//a",
        "https://host/%2e%2e",
        "https://host\\@evil",
        "https://ho st",
        "https://host:99999",
        "https://host\r\n",
        "javascript:alert(1)",
        "https://hé.example",
    ],
)
def test_addresses_that_are_none(url: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        checked_url(url)
    assert caught.value.details == "base_url"


@pytest.mark.parametrize(
    ("auth", "place"),
    [
        ("bear", "auth"),
        (None, "auth"),
        ({"kind": "basic"}, "auth.username"),
        ({"kind": "basic", "username": "a:b"}, "auth.username"),
        ({"kind": "header", "name": "Host"}, "auth.name"),
        ({"kind": "header", "name": "Content-Length"}, "auth.name"),
        ({"kind": "header", "name": "Transfer_Encoding"}, "auth.name"),
        ({"kind": "header", "name": "X: y"}, "auth.name"),
        ({"kind": "header", "name": "X\r\nY"}, "auth.name"),
        ({"kind": "header", "name": "X-Key", "prefix": "a\nb"}, "auth.prefix"),
        ({"kind": "query", "name": "a&b"}, "auth.name"),
        ({"kind": "bearer", "name": "x"}, "auth"),
        ({"kind": "oauth-client-credentials", "client_id": "x"}, "auth.token_url"),
        ({"kind": "oauth-client-credentials", "token_url": "file:///x", "client_id": "x"}, "auth.token_url"),
        (
            {"kind": "oauth-refresh-token", "token_url": "https://x/t", "client_id": "x", "client_auth": "z"},
            "auth.client_auth",
        ),
    ],
)
def test_kinds_of_authentication_that_are_refused(auth: Any, place: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        checked_auth(auth)
    assert caught.value.details == place


@pytest.mark.parametrize("hosts", [["a b"], ["http://x"], ["x/y"], [""], "x", [7], ["fd00::1"], ["*"]])
def test_hosts_that_are_none(hosts: Any) -> None:
    with pytest.raises(InvalidValue):
        checked_hosts(hosts)


@pytest.mark.parametrize(
    "limits",
    [{"total": 1}, {"total_s": 0}, {"total_s": "1"}, {"retries": 1.5}, {"retries": True}, {"retries": 9}, []],
)
def test_limits_that_are_none(limits: Any) -> None:
    with pytest.raises(InvalidValue):
        checked_limits(limits)


@pytest.mark.parametrize(
    "secret", ["", "sesame\n", "sesame\r\nX: y", "ses\0ame", " sesame", "sesame ", "sésame"]
)
def test_secrets_that_no_header_can_carry(secret: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        checked_secret(Auth("bearer"), secret)
    assert "same" not in str(caught.value)


def test_what_the_owner_does_not_say_stays_or_is_taken_from_the_manifest() -> None:
    ask = Ask("x", "X", "because", "https://api.example.org", Auth("bearer"), ("GET", "POST"), ("/v1/**",))
    first = changed(None, ask, {})
    assert (first.base_url, first.auth.kind, first.methods, first.paths) == (
        "https://api.example.org",
        "bearer",
        ("GET", "POST"),
        ("/v1/**",),
    )
    second = changed(first, ask, {"methods": ["get"], "limits": {"retries": 0}})
    assert (second.methods, second.limits.retries, second.paths) == (("GET",), 0, ("/v1/**",))
    assert second.may_use("HEAD") and not second.may_use("POST")
    with pytest.raises(InvalidValue, match="base_url"):
        changed(None, None, {})
    with pytest.raises(InvalidValue, match="plain http"):
        changed(first, ask, {"base_url": "http://api.example.org"})
    named = changed(first, ask, {"base_url": "http://nas.local:81", "hosts": ["nas.local"]})
    assert named.names_host("http://NAS.local:81/x") and not named.names_host("http://nas.local.evil/x")


def test_headers_of_the_client() -> None:
    given = [
        ("Host", "evil"),
        ("Authorization", "Bearer ours"),
        ("apikey", "ours"),
        ("Cookie", "a=b"),
        ("Origin", "http://x"),
        ("Referer", "http://x/secret"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X_Forwarded_For", "1.2.3.4"),
        ("Forwarded", "x"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Content-Length", "5"),
        ("Expect", "100-continue"),
        ("Sec-Fetch-Site", "same-origin"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("x_http_method_override", "DELETE"),
        ("X-Original-URL", "/admin"),
        ("X-Api-Key", "theirs"),
        ("x_api_key", "theirs"),
        ("Proxy-Authorization", "x"),
        ("Accept", "application/json"),
        ("Content-Type", "text/plain"),
        ("X-Custom", "kept"),
        ("If-None-Match", '"a"'),
    ]
    assert [name for name, _ in to_send(given, reserved="X-Api-Key")] == [
        "Accept",
        "Content-Type",
        "X-Custom",
        "If-None-Match",
    ]
    assert to_another_origin((("Accept", "a"), ("X-Custom", "b"))) == (("Accept", "a"),)


@pytest.mark.parametrize(
    ("name", "value"), [("X", "a\r\nY: b"), ("X", "a\nb"), ("X", "a\0"), ("X: y", "a"), ("", "a")]
)
def test_a_header_that_would_be_two(name: str, value: str) -> None:
    with pytest.raises(BadRequest):
        to_send([(name, value)])


def test_headers_of_the_service() -> None:
    given = [
        ("Set-Cookie", "a=b"),
        ("Access-Control-Allow-Origin", "*"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("Clear-Site-Data", '"*"'),
        ("Service-Worker-Allowed", "/"),
        ("Content-Security-Policy", "x"),
        ("Refresh", "0;url=x"),
        ("WWW-Authenticate", "Basic"),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("Strict-Transport-Security", "x"),
        ("Server", "x"),
        ("Content-Type", "text/html"),
        ("ETag", '"1"'),
        ("Link", "<x>; rel=next"),
        ("X-RateLimit-Left", "3"),
    ]
    assert [name for name, _ in to_return(given)] == ["Content-Type", "ETag", "Link", "X-RateLimit-Left"]


HOME = Integration("https://api.example.org/v1", Auth("bearer"), ("GET",), ("/items/**",), ("nas.local",))


@pytest.mark.parametrize(
    ("location", "url", "is_home"),
    [
        ("/v1/items/2", "https://api.example.org/v1/items/2", True),
        ("2?x=1", "https://api.example.org/v1/items/2?x=1", True),
        ("https://api.example.org:443/v1/items", "https://api.example.org:443/v1/items", True),
        ("https://cdn.example.net/file", "https://cdn.example.net/file", False),
        ("//cdn.example.net/file", "https://cdn.example.net/file", False),
        ("http://nas.local/file", "http://nas.local/file", False),
    ],
)
def test_redirects(location: str, url: str, is_home: bool) -> None:
    here = Hop("GET", "https://api.example.org/v1/items/1")
    assert next_hop(here, 302, location, HOME, has_body=False) == Hop("GET", url, is_home)


def test_what_left_home_gets_no_secret_when_it_returns() -> None:
    away = Hop("GET", "https://cdn.example.net/file", False)
    assert not next_hop(away, 302, "https://api.example.org/v1/items", HOME, has_body=False).is_home


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "ftp://x/",
        "gopher://x/",
        "http://api.example.org/v1/items",
        "https://u:p@cdn.example.net/",
        "/v2/other",
        "/items/3",
        "/v1/admin",
        "/v1/items/../../x/%2e%2e",
        "https://[bad/",
        "https:///x",
        "https://ex ample/",
        "https://exämple.org/",
        "https://example.org\\@evil.example/",
        "https://exa%6dple.org/",
    ],
)
def test_redirects_that_are_refused(location: str) -> None:
    with pytest.raises(RedirectRefused):
        next_hop(Hop("GET", "https://api.example.org/v1/items/1"), 302, location, HOME, has_body=False)


@pytest.mark.parametrize(
    ("method", "status", "has_body", "then"),
    [
        ("POST", 303, True, "GET"),
        ("POST", 302, True, "GET"),
        ("POST", 301, True, "GET"),
        ("POST", 307, True, None),
        ("PUT", 302, True, None),
        ("GET", 307, False, "GET"),
        ("HEAD", 303, False, "HEAD"),
    ],
)
def test_methods_of_redirects(method: str, status: int, has_body: bool, then: str | None) -> None:
    here = Hop(method, "https://api.example.org/v1/items/1")
    if then is None:
        with pytest.raises(RedirectRefused):
            next_hop(here, status, "2", HOME, has_body=has_body)
    else:
        assert next_hop(here, status, "2", HOME, has_body=has_body).method == then


def test_the_breaker_opens_tries_and_closes() -> None:
    breaker = Breaker()
    for at in range(FAILURES):
        assert breaker.admits(at)
        breaker = breaker.trying().failed(at)
    opened = float(FAILURES - 1)
    assert (breaker.state(opened), breaker.admits(opened)) == ("open", False)
    later = opened + PAUSE_S
    assert (breaker.state(later), breaker.admits(later)) == ("half-open", True)
    trying = breaker.trying()
    assert not trying.admits(later), "one at a time"
    assert trying.failed(later).left_s(later) == 2 * PAUSE_S
    assert trying.gave_up().admits(later)
    assert trying.succeeded() == Breaker()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("Thu, 01 Jan 1970 00:00:09 GMT", 9.0),
        ("Thu, 01 Jan 1960 00:00:09 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        (None, None),
        ("9" * 30, None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert seconds_of(value, 0.0) == seconds


def test_pauses_grow_and_what_the_service_asks_for_is_honoured() -> None:
    assert [pause_before(n, None, 1.0, 0) for n in (1, 2, 3)] == [0.25, 1.0, 4.0]
    assert pause_before(1, None, 0.0, 0) == 0.125
    assert pause_before(1, "2", 0.0, 0) == 2.0
    assert pause_before(1, "3600", 0.0, 0) is None
