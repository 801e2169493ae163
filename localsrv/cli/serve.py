"""`localsrv serve`: the server in the foreground."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from localsrv.base.config import Settings
from localsrv.base.lock import AlreadyRunning, Holder
from localsrv.base.paths import HOME_VARIABLE, Paths
from localsrv.base.server_file import RunningServer, find
from localsrv.cli import output

if TYPE_CHECKING:
    from localsrv.server.vaults import SealedFile

_OTHER_PORT = (
    "Port {taken} is another program's. Yours is {port} from now on (it is in config.toml): "
    "read it wherever the documentation says {taken}."
)


@click.command()
@click.option("--port", type=int, metavar="PORT", help="Port to listen on; 0 takes a free one.")
@click.option("--home", metavar="FOLDER", help="Keep everything below this folder, as LOCALSRV_HOME does.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--open", "open_app", metavar="APP", flag_value="", is_flag=False,
              help="Open an app's page once the server answers; without APP the first page.")  # fmt: skip
@click.option("--offer-sample", is_flag=True, help="At the first start, offer the sample app Inventory.")
@click.option(
    "--sample", type=click.Choice(["yes", "no"]), help="Add the sample app, or not, without asking."
)
@click.option("--vault-passphrase-fd", "descriptor", type=click.IntRange(0), metavar="N",
              help="Unlock the sealed vault with the first line of the open file descriptor N.")  # fmt: skip
@output.json_option
def serve(
    port: int | None,
    home: str | None,
    log_level: str | None,
    open_app: str | None,
    offer_sample: bool,
    sample: str | None,
    descriptor: int | None,
    as_json: bool,
) -> None:
    """Run the server until Ctrl-C or `localsrv stop`.

    One server at a time uses a data folder: a second start says where the first one runs and ends with 0.
    """
    if home is not None:
        os.environ[HOME_VARIABLE] = home
    paths = Paths.from_environment()
    from localsrv.server.process import Start, run  # the largest import; a wrong option is told without it

    start = Start.from_environment(paths, {"port": port, "log_level": log_level})
    start = replace(start, sealed=_unlocked(start.settings, paths, descriptor))
    with_sample = _wants_sample(paths, offer_sample, sample)

    async def on_ready(server: RunningServer) -> None:
        if as_json:
            output.print_json({"url": server.url, "port": server.port, "pid": server.pid})
        else:
            click.echo(f"localsrv {server.version} at {server.url}  (Ctrl-C stops it)")
            if start.settings.port not in (0, server.port):
                output.say("", _OTHER_PORT.format(taken=start.settings.port, port=server.port))
            if start.settings.couchdb_port:
                await asyncio.to_thread(_tell_couchdb, paths)
        sys.stdout.flush()
        if with_sample or open_app is not None:
            from localsrv.cli.first_start import welcome

            await asyncio.to_thread(welcome, server, with_sample, open_app, as_json)

    try:
        run(start, on_ready)
    except AlreadyRunning as error:
        _tell_running(paths, error.holder, with_sample, open_app, as_json)
        if port is not None and not as_json and (server := find(paths)) is not None and server.port != port:
            click.echo("--port changes nothing here: localsrv stop ends that server.", err=True)


def _unlocked(settings: Settings, paths: Paths, descriptor: int | None) -> SealedFile | None:
    """The vault's file, unlocked by what a descriptor gives or a person types; None where it is not used."""
    if settings.vault != "sealed_file":
        if descriptor is not None:
            raise click.UsageError('--vault-passphrase-fd is for the setting `vault = "sealed_file"`.')
        return None
    from localsrv.cli.passphrases import ask, can_ask, passphrases
    from localsrv.server import vaults

    def tell(text: str) -> None:
        click.echo(text, err=True)

    if descriptor is not None:
        return vaults.unlocked(paths, passphrases(descriptor, "Passphrase")[0], tell)
    if not can_ask() or find(paths) is not None:  # a second start only says where the first one runs
        return None
    return vaults.ask_until_unlocked(paths, lambda question: ask(question, may_be_empty=True), tell)


def _tell_couchdb(paths: Paths) -> None:
    from localsrv.cli.server import tell_couchdb
    from localsrv.client import connect

    with connect(paths) as client:
        tell_couchdb(client.status()["couchdb"], "CouchDB ")


def _wants_sample(paths: Paths, offer: bool, answer: str | None) -> bool:
    """Whether to add the sample app: as told, or at the very first start as a person says."""
    if answer is not None:
        return answer == "yes"
    if not offer or paths.device_file.exists():
        return False
    if not sys.stdin.isatty():  # nobody can be asked, so the answer is the one that Enter gives
        click.echo("Adding the sample app Inventory (localsrv app remove inventory takes it away).")
        return True
    return click.confirm("Add the sample app Inventory (a small shop's products and stock)?", default=True)


def _tell_running(
    paths: Paths, holder: Holder, with_sample: bool, open_app: str | None, as_json: bool
) -> None:
    server = find(paths)
    if as_json:
        url = None if server is None else server.url
        output.print_json({"already_running": True, "url": url, "pid": holder.pid})
    elif server is None:
        click.echo(f"localsrv is starting or ending (process {holder.pid}).")
    else:
        click.echo(f"localsrv is already running at {server.url} (process {server.pid}).")
    if server is not None and (with_sample or open_app is not None):
        from localsrv.cli.first_start import welcome

        welcome(server, with_sample, open_app, as_json)
