"""Settings: which source wins, what is refused, and how the refusal is worded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from localsrv.base import config
from localsrv.base.config import Settings
from localsrv.base.errors import ConfigError


def test_defaults_pass_their_own_checks(tmp_path: Path) -> None:
    settings = config.load(tmp_path / "config.toml", {})
    assert settings == Settings()
    for name, field in config.TABLE.items():
        assert field.metadata["check"](getattr(settings, name)) == getattr(settings, name)


@pytest.mark.parametrize(
    ("text", "environ", "flags", "expected"),
    [
        ("", {}, {}, {"port": 4680}),
        ("port = 5000", {}, {}, {"port": 5000}),
        ("port = 5000", {"LOCALSRV_PORT": "6000"}, {}, {"port": 6000}),
        ("port = 5000", {"LOCALSRV_PORT": "6000"}, {"port": 0}, {"port": 0}),
        ("port = 5000", {}, {"port": None}, {"port": 5000}),
        ('hosts = ["127.0.0.1"]', {}, {}, {"hosts": ("127.0.0.1",)}),
        ("", {"LOCALSRV_HOSTS": "::1, 127.0.0.1"}, {}, {"hosts": ("::1", "127.0.0.1")}),
        ("", {"LOCALSRV_ALLOWED_ORIGINS": ""}, {}, {"allowed_origins": ()}),
        (
            'allowed_origins = ["http://LocalHost:5173"]',
            {},
            {},
            {"allowed_origins": ("http://localhost:5173",)},
        ),
        ('allowed_origins = ["tauri://localhost"]', {}, {}, {"allowed_origins": ("tauri://localhost",)}),
        ('allowed_hosts = ["desk.local"]', {}, {}, {"allowed_hosts": ("desk.local",)}),
        ("query_timeout_s = 3", {}, {}, {"query_timeout_s": 3.0}),
        ("", {"LOCALSRV_QUERY_TIMEOUT_S": "2.5"}, {}, {"query_timeout_s": 2.5}),
        ("[app_ports]\nshop = 4681\nold = 0", {}, {}, {"app_ports": (("shop", 4681), ("old", 0))}),
        ("app_ports = { shop = 4681 }", {}, {}, {"app_ports": (("shop", 4681),)}),
        ("", {"LOCALSRV_APP_PORTS": "shop=4681, a=0"}, {}, {"app_ports": (("shop", 4681), ("a", 0))}),
        ("", {"LOCALSRV_HOME": "/x", "LOCALSRV_TOKEN": "x"}, {}, {}),
    ],
)
def test_the_last_source_wins(
    tmp_path: Path, text: str, environ: dict[str, str], flags: dict[str, Any], expected: dict[str, Any]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert config.load(file, environ, flags) == dataclasses.replace(Settings(), **expected)


@pytest.mark.parametrize(
    ("text", "environ", "flags", "message", "where", "hint"),
    [
        ("# hello\nprot = 1", {}, {}, "Unknown setting `prot`", "config.toml, line 2", "`port`"),
        ("log_level = 'info'\n[logs]\nx=1", {}, {}, "Unknown setting `logs`", "line 2", "`log_files`"),
        ("qqqqqq = 1", {}, {}, "Unknown setting `qqqqqq`", "line 1", "docs/settings.md"),
        ("\n\nport = 'x'", {}, {}, "`port` cannot be 'x'", "line 3", "a whole number from 0 to 65535"),
        ("port = 65536", {}, {}, "`port` cannot be 65536", "line 1", "65535"),
        ("port = true", {}, {}, "`port` cannot be True", "line 1", "whole number"),
        ("port = 1.5", {}, {}, "`port` cannot be 1.5", "line 1", "whole number"),
        ("log_level = 'loud'", {}, {}, "`log_level`", "line 1", "debug, info"),
        ("hosts = ['0.0.0.0']", {}, {}, "`hosts`", "line 1", "loopback"),
        ("hosts = ['localhost']", {}, {}, "`hosts`", "line 1", "loopback"),
        ("hosts = []", {}, {}, "`hosts`", "line 1", "loopback"),
        ("hosts = [1]", {}, {}, "`hosts`", "line 1", "loopback"),
        ("allowed_hosts = ['a b']", {}, {}, "`allowed_hosts`", "line 1", "host names"),
        ("allowed_hosts = 'a'", {}, {}, "`allowed_hosts`", "line 1", "list"),
        ("allowed_origins = ['*']", {}, {}, "`allowed_origins`", "line 1", "origins"),
        ("allowed_origins = ['http://*.a']", {}, {}, "`allowed_origins`", "line 1", "origins"),
        ("allowed_origins = ['http://a/']", {}, {}, "`allowed_origins`", "line 1", "without a path"),
        ("allowed_origins = ['null']", {}, {}, "`allowed_origins`", "line 1", "origins"),
        ("query_timeout_s = nan", {}, {}, "`query_timeout_s`", "line 1", "seconds"),
        ("app_ports = 1", {}, {}, "`app_ports` cannot be 1", "line 1", "a table of apps"),
        ("[app_ports]\nshop = 80", {}, {}, "`app_ports.shop` cannot be 80", "line 2", "1024 to 65535"),
        ("\n[app_ports]\na = 4681\nb = 4681", {}, {}, "`app_ports.b` cannot", "line 4", "than a's"),
        ('[app_ports]\n"Shop" = 4681', {}, {}, "`app_ports.Shop`", "line 2", "the id of an app"),
        ("app_ports.shop = true", {}, {}, "`app_ports.shop` cannot be True", "line 1", "a port"),
        ("log_files = 1\napp_ports = { shop = 'x' }", {}, {}, "`app_ports.shop`", "line 2", "a port"),
        ("[app_ports]\nshop = 4680", {}, {}, "`app_ports.shop` and `port`", "config.toml", "another port"),
        ("[app_ports]\nshop = 5000", {}, {"port": 5000}, "are both 5000", "config.toml", "another port"),
        ("", {"LOCALSRV_APP_PORTS": "shop"}, {}, "`app_ports.shop`", "variable LOCALSRV_APP_PORTS", "a port"),
        ("couchdb_port = 80", {}, {}, "`couchdb_port` cannot be 80", "line 1", "1024 to 65535, or 0"),
        ("couchdb_port = 4680", {}, {}, "`couchdb_port` is 4680", "config.toml", "another port"),
        (
            "couchdb_port = 5984\napp_ports.shop = 5984",
            {},
            {},
            "`couchdb_port` is 5984",
            "config.toml",
            "another port",
        ),
        ("couchdb_app = 'Shop'", {}, {}, "`couchdb_app` cannot be 'Shop'", "line 1", "the id of an app"),
        ("vault = 'plain'", {}, {}, "`vault` cannot be 'plain'", "line 1", "os_keyring or sealed_file"),
        ("", {"LOCALSRV_VAULT": "none"}, {}, "`vault`", "variable LOCALSRV_VAULT", "sealed_file"),
        ("couchdb_cookie = 'on'", {}, {}, "`couchdb_cookie` cannot be 'on'", "line 1", "true or false"),
        ("", {"LOCALSRV_COUCHDB_COOKIE": "x"}, {}, "`couchdb_cookie`", "variable LOCALSRV_COUCHDB", "false"),
        ("port = ", {}, {}, "not valid TOML", "config.toml", None),
        ("port = 1\nport = 2", {}, {}, "not valid TOML", "config.toml", None),
        ("", {"LOCALSRV_PROT": "1"}, {}, "`prot`", "environment variable LOCALSRV_PROT", "`port`"),
        (
            "",
            {"LOCALSRV_PORT": "x"},
            {},
            "`port` cannot be 'x'",
            "environment variable LOCALSRV_PORT",
            "whole",
        ),
        ("", {}, {"port": 70000}, "`port`", "option --port", "65535"),
        ("", {}, {"log_level": "x"}, "`log_level`", "option --log-level", "debug"),
    ],
)
def test_refusals_say_what_where_and_how(
    tmp_path: Path,
    text: str,
    environ: dict[str, str],
    flags: dict[str, Any],
    message: str,
    where: str,
    hint: str | None,
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(file, environ, flags)
    assert message in caught.value.message
    assert where in (caught.value.details or "")
    assert (hint is None) or hint in (caught.value.hint or "")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"port = 1\n\xff")
    with pytest.raises(ConfigError, match="UTF-8") as caught:
        config.load(file, {})
    assert "byte 9" in (caught.value.details or "")


def test_every_setting_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    missing = [name for name in config.TABLE if f"| `{name}` |" not in page]
    assert missing == []
    for name, field in config.TABLE.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert field.metadata["text"] in row, f"docs/settings.md explains {name} in other words"
        assert f"| `{config.as_toml(field.default)}` |" in row
        assert f"`LOCALSRV_{name.upper()}`" in row
