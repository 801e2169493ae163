"""What happens once a server that was started by hand answers: the sample app, and a page to look at."""

from __future__ import annotations

import click

from localsrv import sample
from localsrv.base.errors import LocalsrvError
from localsrv.base.server_file import RunningServer
from localsrv.cli import ending, output
from localsrv.cli.browser import has_display, open_in_browser
from localsrv.client import Client


def welcome(server: RunningServer, with_sample: bool, open_app: str | None, as_json: bool) -> None:
    """Adds the sample app if wanted, then shows its page, or the one of `open_app` ("" is the first page).

    Runs beside the server, which goes on when this fails: the reason is told.
    """
    try:
        with Client(server) as client:
            shown = open_app or None
            if with_sample:
                sample.install(client)
                shown = open_app or sample.APP_ID
            url = client.create_code(shown)["url"]
    except LocalsrvError as error:
        ending.failure(error)
        return
    if as_json:
        output.print_json({"open": url})
    else:
        click.echo(f"{'Inventory' if shown == sample.APP_ID else 'Page'}: {url}")
    if has_display():
        open_in_browser(url)
