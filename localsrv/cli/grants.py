"""`localsrv grants list|revoke`: everyone who has access, whichever way they got it."""

from __future__ import annotations

import click

from localsrv.cli import output


@click.group()
def grants() -> None:
    """List and end every access: keys, pages, paired programs."""


@grants.command("list")
@click.option(
    "--kind",
    type=click.Choice(["key", "page", "paired", "publishable"]),
    help="Only this kind.",
)
@click.option("--app", "app", metavar="APP", help="Only for this app.")
@output.json_option
def list_grants(kind: str | None, app: str | None, as_json: bool) -> None:
    """List who has access: to what, from where, since when, last used, until when."""
    with output.client() as client:
        found = client.grants(kind=kind, app=app)
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo("Nobody has such access." if kind or app else "Nobody has access.")
        return
    rows = [[g["id"], g["kind"], g["name"], g["app"], output.moment(g["last_used_at"])] for g in found]
    below = [
        [
            " ".join(g["scopes"]),
            *([f"from {g['origin']} alone"] if g["origin"] else []),
            f"since {output.moment(g['created_at'])}"
            + (f", until {output.moment(g['expires_at'])}" if g["expires_at"] else ""),
        ]
        for g in found
    ]
    output.print_table(["id", "kind", "name", "app", "last used"], rows, shorten="name", below=below)


@grants.command()
@click.argument("grant_id", metavar="ID")
@output.json_option
def revoke(grant_id: str, as_json: bool) -> None:
    """End the access with this ID at once, with what is open by it."""
    with output.client() as client:
        client.revoke_grant(grant_id)
    if as_json:
        output.print_json({"revoked": grant_id})
    else:
        click.echo(f"Revoked {grant_id}.")
