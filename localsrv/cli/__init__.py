"""The command line. Every command is a module of its own, imported when it is used."""

from __future__ import annotations

import sys
from importlib import import_module, util

import click

from localsrv import __version__
from localsrv.base.errors import LocalsrvError
from localsrv.cli import arguments, ending

COMMANDS: dict[str, str] = {
    "serve": "serve:serve",
    "status": "server:status",
    "stop": "server:stop",
    "open": "server:open_page",
    "app": "apps:app",
    "key": "keys:key",
    "grants": "grants:grants",
    "requests": "requests:requests",
    "approve": "requests:approve",
    "refuse": "requests:refuse",
    "secrets": "secrets:secrets",
    "vault": "vault:vault",
    "integration": "integrations:integration",
    "audit": "audit:audit",
    "import": "import_:import_",
    "export": "export:export",
    "query": "query:query",
    "sync": "sync:sync",
    "conflicts": "conflicts:conflicts",
    "doctor": "doctor:doctor",
    "completion": "completion:completion",
}
"""Command → `module:attribute` below this package, in the order of the help."""


class Commands(arguments.Group):
    """A group whose commands are imported when they are named: a start pays for its own command alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, place in COMMANDS.items() if _exists(place)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None or not _exists(place):
            return None
        module, _, attribute = place.partition(":")
        command = getattr(import_module(f"{__name__}.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            import difflib

            nearest = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean `{nearest[0]}`?" if nearest else ""
            raise click.UsageError(f"There is no command `{args[0]}`.{hint}", ctx) from None


def _exists(place: str) -> bool:
    return util.find_spec(f"{__name__}.{place.partition(':')[0]}") is not None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Documentation: docs/cli.md",
)
@click.version_option(__version__, "-V", "--version", message="localsrv %(version)s")
def main() -> None:
    """The backend that lives on your own computer."""


def run(arguments: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code. Errors become one line on standard error."""
    ending.use_utf8()
    try:
        code = main.main(arguments, prog_name="localsrv", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else ending.OK
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return ending.USAGE
    except click.UsageError as error:
        return ending.usage_error(error)
    except click.ClickException as error:
        return ending.failure(LocalsrvError(error.format_message(), code="usage"), ending.USAGE)
    except (click.Abort, KeyboardInterrupt):
        return ending.interrupted()
    except BrokenPipeError:
        return ending.broken_pipe()
    except SystemExit as leaving:
        # Without its standalone mode click leaves so after completing, with 0, and at a broken pipe, with 1.
        return ending.broken_pipe() if leaving.code else ending.OK
    except LocalsrvError as error:
        return ending.failure(error)
    except OSError as error:
        return ending.failure(ending.from_os(error))
    except Exception as error:
        return ending.unexpected(error)
