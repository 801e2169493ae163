"""Scopes and grants: what covers what."""

from __future__ import annotations

import pytest

from localsrv.base.errors import InvalidValue
from localsrv.model.scopes import Grant, parse_app, parse_origin, parse_scopes

ALLOWS = [
    # the grant's app and scopes, the app and scope asked for, whether it is covered
    ("shop", {"items:read"}, "shop", "items:read", True),
    ("shop", {"items:read"}, "shop", "items:write", False),
    ("shop", {"items:write"}, "shop", "items:read", False),
    ("shop", {"items:read"}, "shop", "others:read", False),
    ("shop", {"items:read"}, "shop", "*:read", False),
    ("shop", {"items:read"}, "other", "items:read", False),
    ("shop", {"items:read"}, None, "admin", False),
    ("shop", {"*:read"}, "shop", "items:read", True),
    ("shop", {"*:read"}, "shop", "*:read", True),
    ("shop", {"*:read"}, "shop", "items:write", False),
    ("shop", {"*:read", "*:write"}, "shop", "admin", False),
    ("shop", {"*:read", "*:write", "sync"}, "shop", "_replicator:read", False),
    ("shop", {"*:read", "*:write", "sync"}, "shop", "_replicator:write", False),
    ("shop", {"_replicator:read", "_replicator:write"}, "shop", "_replicator:write", False),
    ("shop", {"admin"}, "shop", "_replicator:read", True),
    ("shop", {"admin"}, "shop", "admin", True),
    ("shop", {"admin"}, "shop", "items:write", True),
    ("shop", {"admin"}, None, "admin", False),
    ("shop", {"admin"}, "other", "admin", False),
    ("shop", {"sync"}, "shop", "sync", True),
    ("shop", {"sync"}, "shop", "items:read", True),
    ("shop", {"sync"}, "shop", "a/b-c$:write", True),
    ("shop", {"sync"}, "shop", "*:read", True),
    ("shop", {"sync"}, "shop", "*:write", True),
    ("shop", {"sync"}, "shop", "admin", False),
    ("shop", {"sync"}, "other", "items:read", False),
    ("shop", {"sync"}, None, "sync", False),
    ("shop", {"*:read", "*:write"}, "shop", "sync", False),
    ("shop", {"admin"}, "shop", "sync", True),
    ("shop", {"a/b-c$:read"}, "shop", "a/b-c$:read", True),
    ("*", {"items:read"}, "shop", "items:read", True),
    ("*", {"items:read"}, None, "admin", False),
    ("*", {"admin"}, None, "admin", True),
    ("*", {"admin"}, "shop", "*:write", True),
]


@pytest.mark.parametrize(("app", "scopes", "asked_app", "asked", "covered"), ALLOWS)
def test_what_a_grant_covers(
    app: str, scopes: set[str], asked_app: str | None, asked: str, covered: bool
) -> None:
    assert Grant("g", "test", app, frozenset(scopes)).allows(asked_app, asked) is covered


def test_expiry() -> None:
    assert not Grant("g", "test", "*", frozenset()).is_expired(1e12)
    grant = Grant("g", "test", "*", frozenset(), expires_at=100)
    assert [grant.is_expired(t) for t in (99, 100, 101)] == [False, True, True]


ORIGINS = [
    (None, None),
    ("http://localhost:5173", "http://localhost:5173"),
    ("HTTP://LocalHost:5173/", "http://localhost:5173"),
    ("http://shop.example:80", "http://shop.example"),
    ("https://shop.example:443", "https://shop.example"),
    ("https://shop.example:8443", "https://shop.example:8443"),
    ("http://[::1]:3000", "http://[::1]:3000"),
    ("tauri://localhost", "tauri://localhost"),
    ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
]


@pytest.mark.parametrize(("text", "origin"), ORIGINS)
def test_origins(text: str | None, origin: str | None) -> None:
    assert parse_origin(text) == origin


BAD_ORIGINS = [
    "", "null", "NULL", "*", "http://*", "http://a.example/path", "a.example", "file://x", "data://x",
    "http://a b", "http://user@a.example", "http://a.example:999999", "http://a.example?x", 5,
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_ORIGINS)
def test_what_is_no_origin(value: object) -> None:
    with pytest.raises(InvalidValue):
        parse_origin(value)


@pytest.mark.parametrize(
    "value", [None, "admin", [], ["*"], ["read"], ["Items:read"], ["a:b"], ["a:read\n"], [1]]
)
def test_what_is_no_list_of_scopes(value: object) -> None:
    with pytest.raises(InvalidValue):
        parse_scopes(value)


def test_apps_and_scopes() -> None:
    assert parse_scopes(["admin", "*:read", "a_1:write", "admin"]) == {"admin", "*:read", "a_1:write"}
    assert [parse_app(a) for a in ("*", "shop", "my-app-2")] == ["*", "shop", "my-app-2"]
    for value in ("", "Shop", "a b", "../a", "a\n", None, 5):
        with pytest.raises(InvalidValue):
            parse_app(value)
