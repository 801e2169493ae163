"""Arguments that complete themselves in a shell, from a server that runs already; groups with whole help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from localsrv.base.errors import LocalsrvError

Command = TypeVar("Command", bound=Callable[..., Any])

_PATIENCE_S = 1.0


class Group(click.Group):
    """Commands of one noun. Help tells the first sentence of each, whole: click cuts what fits on no line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(limit=1000)) for name, one in named if one and not one.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _apps(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of apps. Nothing when no server runs: pressing Tab starts none."""
    from localsrv.base.paths import Paths
    from localsrv.client import connect

    try:
        with connect(Paths.from_environment(create=False), timeout_s=_PATIENCE_S) as client:
            return [app["id"] for app in client.apps() if app["id"].startswith(incomplete)]
    except LocalsrvError:
        return []


def app_argument(*, required: bool = True) -> Callable[[Command], Command]:
    """The argument APP, as `app_id`."""
    return click.argument(
        "app_id", metavar="APP" if required else "[APP]", required=required, shell_complete=_apps
    )
