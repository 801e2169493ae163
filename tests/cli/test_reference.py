"""docs/cli.md tells every command, option and exit code, and nothing that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from localsrv.cli import COMMANDS, ending, main

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text("utf-8")


def commands(
    command: click.Command = main, name: str = "localsrv", context: click.Context | None = None
) -> Iterator[tuple[str, click.Command]]:
    context = context or click.Context(main, info_name="localsrv")
    if not isinstance(command, click.Group):
        yield name, command
        return
    for part in command.list_commands(context):
        found = command.get_command(context, part)
        assert found is not None
        yield from commands(found, f"{name} {part}", context)


ALL = dict(commands())


def section(name: str) -> str:
    found = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/cli.md has no section for {name}"
    return found[1]


def options(command: click.Command) -> list[str]:
    named = [param for param in command.params if isinstance(param, click.Option)]
    return [max(param.opts, key=len) for param in named]


def test_every_command_is_there() -> None:
    assert {name.split()[1] for name in ALL} == set(COMMANDS)
    assert set(re.findall(r"^### (localsrv .*)$", PAGE, re.MULTILINE)) == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_there(name: str) -> None:
    told = re.findall(r"^\| `(--[a-z-]+)", section(name), re.MULTILINE)
    assert sorted(told) == sorted(set(options(ALL[name])) - {"--json"})


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_json_and_a_text(name: str) -> None:
    assert "--json" in options(ALL[name])
    for param in ALL[name].params:
        assert not isinstance(param, click.Option) or param.help, f"{name} {param.name} has no help"
    assert ALL[name].help


def test_every_exit_code_is_there() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE))
    assert rows == {str(code): text for code, text in ending.MEANINGS.items()}
