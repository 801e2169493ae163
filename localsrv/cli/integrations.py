"""`localsrv integration list|set|test|clear|rm`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from localsrv.cli import ending, output
from localsrv.cli.passphrases import MOST_BYTES, as_text, ask, can_ask
from localsrv.client.connection import ApiError

if TYPE_CHECKING:
    from localsrv.client import Client
    from localsrv.client.shapes import Integration

_app = click.option("--app", default="default", show_default=True, help="The app that may call it.")
_name = click.argument("name")


@click.group()
def integration() -> None:
    """Let apps call outside services with keys that they never see."""


@integration.command("list")
@click.option("--app", metavar="APP", help="Only those of this app.")
@output.json_option
def list_all(app: str | None, as_json: bool) -> None:
    """List what apps ask for, what you set up, and how it fares."""
    with output.client() as client:
        apps = [one["id"] for one in client.apps()] if app is None else [app]
        found = [one for name in apps for one in client.integrations(name)]
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo("No app asks for an outside service.")
        return
    columns = ["app", "name", "to", "signs in by", "state", "calls", "kept"]
    output.print_table(columns, [[one["app"], *_row(one)] for one in found])
    for one in found:
        _tell_more(one)


def _row(one: Integration) -> list[Any]:
    settings, health = one["settings"], one["health"]
    if settings is None or health is None:
        return [one["name"], None, None, "not set up", None, None]
    kept = f"{health['cached']}, {output.size(health['cached_bytes'])}"
    return [
        one["name"],
        settings["base_url"],
        settings["auth"]["kind"],
        health["state"],
        health["calls"],
        kept,
    ]


def _tell_more(one: Integration) -> None:
    """What a table has no room for: why an app asks, and what is wrong."""
    asked, health = one["asked"], one["health"]
    if asked is not None and one["settings"] is None:
        click.echo(f"\n{one['title']}: {output.shown(asked['why'])}")
        click.echo(f"  {' '.join(asked['methods'])} {' '.join(asked['paths'])} at {asked['base_url'] or '?'}")
        click.echo(f"  Set it up: localsrv integration set {one['name']} --app {one['app']}")
    if one["more_asked"]:
        click.echo(f"\n{one['title']} asks for more than you allowed: {' '.join(one['more_asked'])}")
    if health is not None and health["last_error"]:
        click.echo(f"\n{one['title']} failed at {health['last_error_at']}: {health['last_error']}")


@integration.command("set")
@_name
@_app
@click.option("--url", metavar="URL", help="Where the service is, as https://api.example.org/v1.")
@click.option("--auth", metavar="KIND", help="How one signs in there: see docs/integrations.md.")
@click.option(
    "--param", "params", multiple=True, metavar="NAME=VALUE", help="What that needs; several times."
)
@click.option("--method", "methods", multiple=True, metavar="METHOD", help="What is allowed; several times.")
@click.option(
    "--path", "paths", multiple=True, metavar="PATTERN", help="Which paths, as /v1/**; several times."
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="A host that may be reached though it is not public; several times, or '' for none.",
)
@click.option(
    "--limit", "limits", multiple=True, metavar="NAME=NUMBER", help="As total_s=900; several times."
)
@click.option("--cache/--no-cache", "cache", default=None, help="Whether answers are kept.")
@click.option("--secret", "asks_secret", is_flag=True, help="Ask for the secret again.")
@click.option("--secret-stdin", is_flag=True, help="Read the secret from standard input.")
@click.option("--client-secret", "asks_client", is_flag=True, help="Ask for an OAuth client's secret, too.")
@output.json_option
def set_up(
    name: str,
    app: str,
    url: str | None,
    auth: str | None,
    params: tuple[str, ...],
    methods: tuple[str, ...],
    paths: tuple[str, ...],
    hosts: tuple[str, ...],
    limits: tuple[str, ...],
    cache: bool | None,
    asks_secret: bool,
    secret_stdin: bool,
    asks_client: bool,
    as_json: bool,
) -> None:
    """Set up NAME, or change what is said.

    What is not said stays, or is taken from what the app suggests. The secret is asked for where one is
    needed, and kept in the vault.
    """
    body: dict[str, Any] = {}
    given = {"base_url": url, "methods": list(methods), "paths": list(paths), "cache": cache}
    body |= {member: value for member, value in given.items() if value not in (None, [])}
    if hosts:
        body["hosts"] = [host for host in hosts if host]
    if limits:
        body["limits"] = {limit: _number(limit, text) for limit, text in _pairs(limits, "--limit").items()}
    if secret_stdin:
        body["secret"] = _from_stdin()
    with output.client() as client:
        if auth is not None or params:
            body["auth"] = _auth(client, app, name, auth, _pairs(params, "--param"))
        if asks_secret:
            body["secret"] = _asked(f"Secret of {name}")
        if asks_client:
            body["client_secret"] = _asked(f"Client secret of {name}")
        made = _put(client, app, name, body)
    if as_json:
        output.print_json(made)
        return
    settings = made["settings"]
    assert settings is not None
    allowed = f"{' '.join(settings['methods'])} {' '.join(settings['paths'])}"
    click.echo(f"{app} may call {name} at {settings['base_url']}: {allowed}.")


def _put(client: Client, app: str, name: str, body: dict[str, Any]) -> Integration:
    """Sets it, and asks for the secret if the server says that it takes one."""
    try:
        return client.set_integration(app, name, body)
    except ApiError as error:
        if error.code != "secret-needed":
            raise
        if not can_ask():
            raise click.UsageError(f"{error.message} Pipe it in with --secret-stdin.") from None
        click.echo(error.message, err=True)
    return client.set_integration(app, name, {**body, "secret": _asked(f"Secret of {name}")})


def _asked(question: str) -> str:
    if not can_ask():
        raise click.UsageError("Nobody can be asked here: give the secret with --secret-stdin.")
    return ask(question)


def _from_stdin() -> str:
    return as_text(sys.stdin.buffer.read(MOST_BYTES + 1)).removesuffix("\n").removesuffix("\r")


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if any(not name or not equals for name, equals, _ in pairs):
        raise click.UsageError(f"{option} takes NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def _number(name: str, text: str) -> float:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise click.UsageError(f"--limit {name} takes a number.") from None


def _auth(client: Client, app: str, name: str, kind: str | None, params: dict[str, str]) -> dict[str, str]:
    """The kind with its parameters: those that were said, over those that are known of the same kind."""
    found = next((one for one in client.integrations(app) if one["name"] == name), None)
    known = (found["settings"] or found["asked"] or {}) if found else {}
    before: dict[str, str] = dict(known.get("auth") or {"kind": "none"})
    kind = kind or before["kind"]
    return {**(before if before["kind"] == kind else {}), **params, "kind": kind}


@integration.command()
@_name
@_app
@click.option("--path", "where", default="", metavar="PATH", help="What to ask for, below the base.")
@output.json_option
def test(name: str, app: str, where: str, as_json: bool) -> int:
    """Ask NAME's service once, and say how that went."""
    with output.client() as client:
        tried = client.test_integration(app, name, where)
    if as_json:
        output.print_json(tried)
    elif tried["error"] is not None:
        words = (tried["error"]["message"], tried["error"]["hint"])
        click.echo(" ".join(word for word in words if word), err=True)
    else:
        click.echo(f"{name} answers {tried['status']} after {tried['ms']} ms.")
    return ending.OK if tried["ok"] else ending.FAILED


@integration.command()
@_name
@_app
@output.json_option
def clear(name: str, app: str, as_json: bool) -> None:
    """Forget the answers that were kept of NAME."""
    with output.client() as client:
        count = client.clear_integration(app, name)
    if as_json:
        output.print_json({"cleared": count})
    else:
        click.echo(f"Forgot {count} {'answer' if count == 1 else 'answers'} of {name}.")


@integration.command()
@_name
@_app
@output.json_option
def rm(name: str, app: str, as_json: bool) -> None:
    """Forget NAME: its settings, its secret and its answers."""
    with output.client() as client:
        client.remove_integration(app, name)
    if as_json:
        output.print_json({"removed": name})
    else:
        click.echo(f"Removed {name} of {app}.")
