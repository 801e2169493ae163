"""Redirect URIs: which may be used, whom they prove, and who may redeem what went there."""

from __future__ import annotations

import pytest

from localsrv.base.errors import InvalidValue
from localsrv.model.redirect_uris import parse_redirect

CHROME = "a" * 32

GOOD = [
    # the URI, where it goes, whom an answer there proves, and who may redeem the code
    ("http://127.0.0.1:7777/cb", "loopback", None, {None, "http://127.0.0.1:7777"}),
    ("http://127.0.0.1/cb", "loopback", None, {None, "http://127.0.0.1"}),
    ("http://[::1]:7777/", "loopback", None, {None, "http://[::1]:7777"}),
    ("http://localhost:5173/cb?a=b", "loopback", None, {None, "http://localhost:5173"}),
    ("http://shop.localhost:4680/", "loopback", None, {None, "http://shop.localhost:4680"}),
    ("https://localhost:5173/cb", "loopback", None, {None, "https://localhost:5173"}),
    ("https://notes.example/cb", "web", "https://notes.example", {"https://notes.example"}),
    ("https://Notes.Example:443/cb", "web", "https://notes.example", {"https://notes.example"}),
    ("https://notes.example:8443", "web", "https://notes.example:8443", {"https://notes.example:8443"}),
    (f"https://{CHROME}.chromiumapp.org/", "extension", f"chrome-extension://{CHROME}",
     {None, f"chrome-extension://{CHROME}"}),
    ("https://abc123.extensions.allizom.org/", "extension", None, {None, "moz-extension://1-2-3"}),
    ("com.example.notes:/callback", "scheme", None, {None, "app://notes", "http://tauri.localhost"}),
    ("app://notes/callback", "scheme", None, {None, "app://notes"}),
    ("tauri://localhost/callback", "scheme", None, {None, "tauri://localhost"}),
]  # fmt: skip


@pytest.mark.parametrize(("uri", "where", "proven", "redeemers"), GOOD, ids=[row[0] for row in GOOD])
def test_where_answers_may_go(uri: str, where: str, proven: str | None, redeemers: set[str | None]) -> None:
    redirect = parse_redirect(uri)
    assert (redirect.uri, redirect.where, redirect.proven) == (uri, where, proven)
    assert all(redirect.may_redeem(origin) for origin in redeemers)
    if where != "scheme":
        assert not redirect.may_redeem("https://evil.example")
        assert not redirect.may_redeem("http://localhost:1")


BAD = [
    "", "nonsense", "/cb", "//evil.example/cb", "http://evil.example/cb", "http://10.0.0.1/cb",
    "http://127.0.0.1.evil.example/cb", "http://localhost.evil.example/cb", "http://evil.example#127.0.0.1",
    "http://127.0.0.1:7777/cb#x", "http://127.0.0.1:99999/cb", "http://127.0.0.1:x/cb", "http://:80/",
    "http://user@127.0.0.1/cb", "http://127.0.0.1@evil.example/cb", "https://a@notes.example/",
    "https://", "https:///cb", "https://notes.example\\@evil.example/", "https://notes.example/ cb",
    "https://notes.example/\ncb", "https://notes.example/\u00e9", "http://0.0.0.0/cb", "http://[::]/",
    "http://2130706433/", "javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "file:///etc/x",
    "blob:https://a.example/1", "about:blank", "vbscript:x", "ms-msdt:/x", "search-ms:x", "mailto:a@b.c",
    "view-source:https://a.example", "ftp://a.example/", "chrome://settings", "intent://x", "x:y",
    "https://" + "a" * 2000,
]  # fmt: skip


@pytest.mark.parametrize("uri", BAD)
def test_where_no_answer_goes(uri: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_redirect(uri)
    assert caught.value.code == "bad-redirect"


def test_an_answer_is_added_to_the_query() -> None:
    redirect = parse_redirect("http://127.0.0.1:1/cb?a=b%20c&d=")
    assert (
        redirect.with_answer(code="x/y&z", state=None, iss="http://localhost:4680")
        == "http://127.0.0.1:1/cb?a=b+c&d=&code=x%2Fy%26z&iss=http%3A%2F%2Flocalhost%3A4680"
    )
    assert parse_redirect("com.example.a:/cb").with_answer(code="x") == "com.example.a:/cb?code=x"
