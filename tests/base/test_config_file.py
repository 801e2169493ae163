"""Changing config.toml leaves what a person wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from localsrv.base import config, config_file
from localsrv.base.errors import ConfigError


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "port = 4681\n"),
        ("", "port = 4681\n"),
        ("# mine\nlog_level = 'debug'\n", "port = 4681\n# mine\nlog_level = 'debug'\n"),
        ("# mine\nport = 1  # old\nlog_files = 2", "# mine\nport = 4681\nlog_files = 2\n"),
        ("[app_ports]\nport = 5000\n", "port = 4681\n[app_ports]\nport = 5000\n"),
    ],
)
def test_writing_the_port_keeps_the_rest(tmp_path: Path, before: str | None, after: str) -> None:
    file = tmp_path / "config.toml"
    if before is not None:
        file.write_text(before)
    config_file.write_port(file, 4681)
    assert file.read_text() == after
    assert config.load(file, {}).port == 4681


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, 'vault = "sealed_file"\n'),
        ("vault_timeout_s = 9\n", 'vault = "sealed_file"\nvault_timeout_s = 9\n'),
        ("log_files = 2\n'vault' = 'os_keyring' # mine\n", 'log_files = 2\nvault = "sealed_file"\n'),
    ],
)
def test_writing_the_vault_keeps_the_rest(tmp_path: Path, before: str | None, after: str) -> None:
    file = tmp_path / "config.toml"
    if before is not None:
        file.write_text(before)
    config_file.write_vault(file, "sealed_file")
    assert file.read_text() == after
    assert config.load(file, {}).vault == "sealed_file"


TABLE = "# mine\nlog_files = 2\n\n[app_ports]  # theirs\nold = 5000 # kept\n"


@pytest.mark.parametrize(
    ("before", "app", "port", "after"),
    [
        (None, "shop", 4681, "[app_ports]\nshop = 4681\n"),
        (None, "shop", None, ""),
        ("log_files = 2", "shop", 4681, "log_files = 2\n\n[app_ports]\nshop = 4681\n"),
        (TABLE, "shop", 4681, TABLE.replace("theirs\n", "theirs\nshop = 4681\n")),
        (TABLE, "old", 0, TABLE.replace("old = 5000 # kept", "old = 0")),
        (TABLE, "old", None, TABLE.replace("old = 5000 # kept\n", "")),
        (TABLE, "shop", None, TABLE),
        ("[app_ports]\n'shop' = 4682\n", "shop", 4681, "[app_ports]\nshop = 4681\n"),
    ],
)
def test_writing_an_apps_port_keeps_the_rest(
    tmp_path: Path, before: str | None, app: str, port: int | None, after: str
) -> None:
    file = tmp_path / "config.toml"
    if before is not None:
        file.write_text(before)
    config_file.write_app_port(file, app, port)
    assert file.read_text() == after
    assert dict(config.load(file, {}).app_ports).get(app) == port


@pytest.mark.parametrize(
    "text", ["app_ports = { old = 5000 }\n", "app_ports.old = 5000\n", "app_ports = 1\n"]
)
def test_what_cannot_be_changed_is_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="cannot be changed") as caught:
        config_file.write_app_port(file, "shop", 4681)
    assert caught.value.details == str(file)
    assert file.read_text() == text
