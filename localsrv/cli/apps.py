"""`localsrv app add|list|remove|info|port`."""

from __future__ import annotations

from pathlib import Path

import click

from localsrv.cli import output
from localsrv.cli.arguments import app_argument
from localsrv.client.shapes import AppInfo


@click.group()
def app() -> None:
    """Add, list, show and remove apps."""


@app.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--id", "app_id", metavar="ID", help="Create an empty app with this id instead.")
@click.option("--title", help="The empty app's title.")
@output.json_option
def add(folder: Path | None, app_id: str | None, title: str | None, as_json: bool) -> None:
    """Add the app in FOLDER (with app.toml and ui/), or update it.

    An update migrates the collections and keeps the data. A wrong manifest is refused whole, with file, line
    and reason.
    """
    if (folder is None) == (app_id is None):
        raise click.UsageError("Give either FOLDER or --id.")
    if title is not None and app_id is None:
        raise click.UsageError("--title goes with --id; an app in a folder has its title in app.toml.")
    if folder is not None and not folder.is_dir():
        raise click.UsageError(f"There is no folder {folder}. An empty app needs none: app add --id ID.")
    with output.client() as client:
        if folder is not None:
            info = client.add_app(str(folder.resolve()))
        else:
            info = client.create_app(str(app_id), title)
    if as_json:
        output.print_json(info)
        return
    for change in info.get("changes") or ["nothing changed"]:
        click.echo(f"{info['id']}: {change}")
    click.echo(address(info))


@app.command("list")
@output.json_option
def list_apps(as_json: bool) -> None:
    """List the apps."""
    with output.client() as client:
        apps = client.apps()
    if as_json:
        output.print_json(apps)
        return
    rows = [
        [a["id"], a["title"], len(a["collections"]), output.size(a["size_bytes"]), address(a)] for a in apps
    ]
    output.print_table(["app", "title", "collections", "size", "address"], rows, shorten="title")


@app.command()
@app_argument()
@output.json_option
def info(app_id: str, as_json: bool) -> None:
    """Show one app with its collections."""
    with output.client() as client:
        found = client.app(app_id)
    if as_json:
        output.print_json(found)
        return
    _print_app(found)


def address(app: AppInfo) -> str:
    """Where a person finds an app: its pages, or without any the base of its faces, known to all programs."""
    return app["url"] if app["has_ui"] else app["path_url"]


def _print_app(found: AppInfo) -> None:
    click.echo(
        output.shown(found["title"] or found["id"]) + (f" {found['version']}" if found["version"] else "")
    )
    click.echo(f"  page     {found['url'] if found['has_ui'] else 'has none'}")
    click.echo(f"  data     {found['path_url']}/rest/v1/<collection>")
    click.echo(f"  size     {output.size(found['size_bytes'])}")
    click.echo(f"  changed  {found['updated_at'] or 'never'}")
    click.echo()
    rows = [[c["name"], c["documents"]] for c in found["collections"]]
    output.print_table(["collection", "documents"], rows)


@app.command()
@app_argument()
@click.option("--on", is_flag=True, help="Give it one: the one it had, or a free one.")
@click.option("--off", is_flag=True, help="Take it away. Pages opened there lose their access.")
@click.option("--port", type=click.IntRange(1024, 65535), metavar="PORT", help="Give it this one.")
@output.json_option
def port(app_id: str, on: bool, off: bool, port: int | None, as_json: bool) -> None:
    """Show, give or take an app's own port, for browsers that do not find *.localhost.

    It holds at once, and is kept in config.toml. Where the system does not find *.localhost, an app with
    pages gets one by itself.
    """
    if on + off + (port is not None) > 1:
        raise click.UsageError("Give one of --on, --off and --port.")
    with output.client() as client:
        if off:
            found = client.take_port(app_id)
        elif on or port is not None:
            found = client.give_port(app_id, port)
        else:
            found = client.app(app_id)
    if as_json:
        output.print_json({name: found[name] for name in ("id", "url", "port", "port_error")})
        return
    own = "no port of its own" if found["port"] is None else f"port {found['port']}"
    click.echo(f"{found['id']}: {own}, {found['url']}")
    if found["port_error"] is not None:
        click.echo(f"  {found['port_error']['message']} {found['port_error']['hint'] or ''}".rstrip())


@app.command()
@app_argument()
@click.option("--delete-data", is_flag=True, help="Delete its documents, files and secrets too, for good.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.json_option
def remove(app_id: str, delete_data: bool, yes: bool, as_json: bool) -> None:
    """Remove an app. Its data stays in its folder unless --delete-data is given."""
    with output.client() as client:
        if delete_data and not yes:
            documents = sum(c["documents"] for c in client.app(app_id)["collections"])
            click.confirm(f"Delete {documents} documents of {app_id} for good?", abort=True, err=True)
        gone = client.remove_app(app_id, delete_data=delete_data)
    if as_json:
        output.print_json(gone)
    else:
        click.echo(f"Removed {gone['removed']}; its data was {gone['data']}.")
