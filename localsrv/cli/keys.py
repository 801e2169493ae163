"""`localsrv key create|list|revoke`."""

from __future__ import annotations

import re

import click

from localsrv.cli import output
from localsrv.cli.arguments import Group

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@click.group(cls=Group)
def key() -> None:
    """Make, list and revoke keys for programs and pages."""


@key.command()
@click.argument("name")
@click.option("--app", "app", default="*", show_default=True, help="The app it is for; `*` is all.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="`<collection>:read`, `<collection>:write`, `*:read`, `*:write`, `sync`, `admin` and others "
    "(docs/cli.md); several times. Default: `*:read` and `*:write`.",
)
@click.option(
    "--origin", metavar="ORIGIN", help="Web origin that alone may use it, as http://localhost:5173."
)
@click.option(
    "--expires", metavar="TIME", help="How long it lives: 90s, 15m, 12h, 30d, 8w. Default: for ever."
)
@click.option(
    "--publishable",
    is_flag=True,
    help="A key that an app's own pages may show to everybody: for named collections of one app.",
)
@output.json_option
def create(
    name: str,
    app: str,
    scopes: tuple[str, ...],
    origin: str | None,
    expires: str | None,
    publishable: bool,
    as_json: bool,
) -> None:
    """Make a key called NAME and print its token, which cannot be seen again."""
    expires_in = None if expires is None else seconds(expires)
    if publishable and not scopes:
        raise click.UsageError("--publishable needs --scope, as items:read: everybody can read the key.")
    with output.client() as client:
        made = client.create_key(
            name,
            app,
            scopes or ("*:read", "*:write"),
            origin=origin,
            expires_in=expires_in,
            publishable=publishable,
        )
    if as_json:
        output.print_json(made)
        return
    note = "It is no secret; only the app's own pages can use it:" if publishable else "Keep the token safe:"
    click.echo(f"Key {made['id']} for {made['app']} with {', '.join(made['scopes'])}. {note}", err=True)
    click.echo(made["token"])


def seconds(text: str) -> int:
    """How long `30d` is. Raises click.UsageError."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", text)
    if found is None:
        raise click.UsageError(f"--expires cannot be `{text}`: write a number and s, m, h, d or w, as 30d.")
    return int(found[1]) * _UNITS[found[2]]


@key.command("list")
@output.json_option
def list_keys(as_json: bool) -> None:
    """List the keys, without their tokens."""
    with output.client() as client:
        keys = client.keys()
    if as_json:
        output.print_json(keys)
        return
    if not keys:
        click.echo("There are no keys. Make one: localsrv key create NAME")
        return
    rows = [
        [k["id"], k["name"], k["app"], output.moment(k["last_used_at"]), output.moment(k["expires_at"])]
        for k in keys
    ]
    below = [[" ".join(k["scopes"]), *([f"from {k['origin']} alone"] if k["origin"] else [])] for k in keys]
    output.print_table(["id", "name", "app", "last used", "expires"], rows, shorten="name", below=below)


@key.command()
@click.argument("key_id", metavar="ID")
@output.json_option
def revoke(key_id: str, as_json: bool) -> None:
    """End the key with this ID at once."""
    with output.client() as client:
        client.revoke_key(key_id)
    if as_json:
        output.print_json({"revoked": key_id})
    else:
        click.echo(f"Revoked {key_id}.")
