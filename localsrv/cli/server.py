"""`localsrv status`, `stop` and `open`."""

from __future__ import annotations

import click

from localsrv.base.errors import LocalsrvError
from localsrv.base.paths import Paths
from localsrv.cli import output
from localsrv.cli.apps import address
from localsrv.cli.arguments import app_argument
from localsrv.cli.browser import has_display, open_in_browser
from localsrv.cli.ending import NOT_RUNNING
from localsrv.client import NotRunning, connect
from localsrv.client.shapes import CouchdbInfo
from localsrv.client.starting import wait_until_stopped


@click.command()
@output.json_option
def status(as_json: bool) -> None:
    """Show the running server: address, apps, collections, vault.

    Ends with code 3 when no server runs.
    """
    paths = Paths.from_environment(create=False)
    try:
        with connect(paths) as client:
            found = client.status()
    except NotRunning as error:
        if not as_json:
            raise
        output.print_json({"running": False, "message": error.message, "data_dir": str(paths.data)})
        raise click.exceptions.Exit(NOT_RUNNING) from None
    if as_json:
        output.print_json({"running": True, **found})
        return
    vault = found["vault"]
    click.echo(f"localsrv {found['version']} at {found['url']}")
    click.echo(f"  running for  {output.duration(found['uptime_s'])} (process {found['pid']})")
    click.echo(f"  data         {found['data_dir']}")
    click.echo(f"  settings     {found['config_file']}")
    click.echo(f"  log          {found['log_file']}")
    click.echo(f"  SQLite       {found['sqlite_version']}")
    output.say("  vault        ", vault["message"])
    tell_couchdb(found.get("couchdb"), "  CouchDB      ")
    click.echo()
    rows = [
        [
            app["id"],
            len(app["collections"]),
            sum(collection["documents"] for collection in app["collections"]),
            output.size(app["size_bytes"]),
            address(app),
        ]
        for app in found["apps"]
    ]
    output.print_table(["app", "collections", "documents", "size", "address"], rows, shorten="app")
    for app in found["apps"]:
        if (why := app["error"]) is not None:
            output.say(f"{app['id']}: ", " ".join(filter(None, (why["message"], why["hint"]))))


def tell_couchdb(found: CouchdbInfo | None, label: str) -> None:
    """Where the sync face's own port is, or why it is not."""
    if found is None:
        return
    if found["error"] is not None:
        output.say(label, f"NOT at {found['url']} (app {found['app']})")
        output.advise(" " * len(label), found["error"])
    else:
        output.say(label, f"{found['url']} (app {found['app']})")


@click.command()
@output.json_option
def stop(as_json: bool) -> None:
    """Stop the running server once its requests in flight are done.

    A server that does not run is stopped already: that is no error.
    """
    paths = Paths.from_environment(create=False)
    try:
        with connect(paths) as client:
            url = client.server.url
            client.stop()
    except NotRunning:
        if as_json:
            output.print_json({"stopped": False, "was_running": False})
        else:
            click.echo("localsrv is not running.")
        return
    if not wait_until_stopped(paths):
        raise LocalsrvError(f"The server at {url} is still finishing.", code="late-stop")
    if as_json:
        output.print_json({"stopped": True, "was_running": True})
    else:
        click.echo(f"Stopped the server at {url}.")


@click.command("open")
@app_argument(required=False)
@click.option("--print", "only_print", is_flag=True, help="Print the address and open nothing.")
@output.json_option
def open_page(app_id: str | None, only_print: bool, as_json: bool) -> None:
    """Open an app's page, or without APP the first page of localsrv.

    The address holds a one-time code, valid for two minutes, that gives the page its access. It is printed,
    and opened in the browser when there is a display.
    """
    with output.client() as client:
        code = client.create_code(app_id)
        has_pages = app_id is None or client.app(app_id)["has_ui"]
    if as_json:
        output.print_json(code)
    else:
        click.echo(code["url"])
        if not has_pages:
            click.echo(f"{app_id} has no pages. localsrv app info {app_id} says where its data is.", err=True)
    if not only_print and not as_json and has_display():
        open_in_browser(code["url"])
