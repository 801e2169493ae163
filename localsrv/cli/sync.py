"""`localsrv sync add|list|now|pause|resume|remove|log`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from localsrv.cli import ending, output
from localsrv.cli.sync_progress import wait_for, wait_for_begin

if TYPE_CHECKING:
    from localsrv.client import Client
    from localsrv.client.shapes import Replication

_app = click.option("--app", default="default", show_default=True, help="The app whose databases these are.")
_wait = click.option("--wait", is_flag=True, help="Wait until everything there is now was moved.")
_name = click.argument("name")


@click.group()
def sync() -> None:
    """Keep databases in step with other servers: CouchDB, PouchDB Server, another localsrv."""


@sync.command()
@click.argument("database")
@click.argument("address")
@_app
@click.option("--name", help="What to call it. Default: the database's name.")
@click.option("--pull", "direction", flag_value="pull", help="Only bring changes here.")
@click.option("--push", "direction", flag_value="push", help="Only send changes there.")
@click.option("--once", is_flag=True, help="Once, instead of from now on.")
@click.option("--create", is_flag=True, help="Make the database over there if it is missing.")
@click.option("--user", metavar="NAME", help="Who signs in over there. The password is asked for.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead.")
@click.option(
    "--id", "ids", multiple=True, metavar="ID", help="Only the document with this id; several times."
)
@click.option("--selector", metavar="JSON", help="Only documents that this Mango selector matches.")
@_wait
@output.json_option
def add(
    database: str,
    address: str,
    app: str,
    name: str | None,
    direction: str | None,
    once: bool,
    create: bool,
    user: str | None,
    password_stdin: bool,
    ids: tuple[str, ...],
    selector: str | None,
    wait: bool,
    as_json: bool,
) -> int:
    """Keep DATABASE in step with the one at ADDRESS, such as https://host:5984/name, both ways.

    Credentials go to the vault. The database here is made if it is missing.
    """
    there: Any = address
    if user is not None:
        there = {"url": address, "auth": {"basic": {"username": user, "password": _password(password_stdin)}}}
    elif password_stdin:
        raise click.UsageError("--password-stdin needs --user.")
    options: dict[str, Any] = {"continuous": not once}
    if ids:
        options["doc_ids"] = list(ids)
    if selector is not None:
        options["selector"] = _selector(selector)
    made: list[Replication] = []
    with output.client() as client:
        ways = (direction,) if direction else _in_order(client, app, database)
        for way in ways:
            ident = (name or database) + ("" if direction else f"-{way}")
            source, target = (there, database) if way == "pull" else (database, there)
            body = {"source": source, "target": target, "create_target": way == "pull" or create, **options}
            made.append(client.create_replication(app, body, ident))
            if way != ways[-1]:
                wait_for_begin(client, app, ident)
        made.sort(key=lambda one: one["id"])
        if wait:
            made = wait_for(client, app, [one["id"] for one in made])
    return _tell(made, as_json, waited=wait)


def _in_order(client: Client, app: str, database: str) -> tuple[str, ...]:
    """Both ways; first the one that has something to begin with and makes the database at its other end."""
    is_here = any(one["name"] == database for one in client.collections(app))
    return ("push", "pull") if is_here else ("pull", "push")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("No terminal to ask for the password on. Give it with --password-stdin.")
    return str(click.prompt("Password", hide_input=True, err=True))


def _selector(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise click.UsageError('--selector must be a JSON object, as {"type": "invoice"}.')
    return found


@sync.command("list")
@_app
@output.json_option
def list_all(app: str, as_json: bool) -> None:
    """List what is kept in step, and how that fares."""
    with output.client() as client:
        found = client.replications(app)
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo(f"Nothing is kept in step in {app}.")
        return
    columns = ["name", "state", "written", "refused", "bytes", "per second", "left"]
    output.print_table(columns, [_row(one) for one in found], shorten="name")
    for one in found:
        source, target = (output.shown(_side(one["definition"].get(side))) for side in ("source", "target"))
        click.echo(f"\n{output.shown(one['id'])}\n  from {source}\n  to   {target}")
        if one["error"]:
            _tell_problem("  problem: ", one)


def _tell_problem(label: str, one: Replication) -> None:
    """What is wrong, and below it what to do and when it is tried again."""
    output.say(label, str(one["error"]), indent=4)
    if one["hint"]:
        output.say("    ", one["hint"])
    if one["next_try_at"]:
        output.say("    ", f"It is tried again at {one['next_try_at']}, or with localsrv sync now.")


def _row(one: Replication) -> list[Any]:
    progress = one["progress"]
    return [
        one["id"],
        one["state"],
        progress["docs_written"],
        progress["doc_write_failures"],
        output.size(progress["bytes"]),
        round(progress["rate"]),
        progress["changes_pending"],
    ]


def _side(value: Any) -> Any:
    return value.get("url") if isinstance(value, dict) else value


@sync.command()
@_name
@_app
@_wait
@output.json_option
def now(name: str, app: str, wait: bool, as_json: bool) -> int:
    """Try NAME at once; what was done or had failed begins again."""
    with output.client() as client:
        found = [client.replicate_now(app, name)]
        if wait:
            found = wait_for(client, app, [name])
    return _tell(found, as_json, waited=wait)


@sync.command()
@_name
@_app
@output.json_option
def pause(name: str, app: str, as_json: bool) -> int:
    """Stop NAME until it is resumed, also over a restart."""
    with output.client() as client:
        return _tell([client.pause_replication(app, name)], as_json)


@sync.command()
@_name
@_app
@output.json_option
def resume(name: str, app: str, as_json: bool) -> int:
    """Let NAME go on."""
    with output.client() as client:
        return _tell([client.resume_replication(app, name)], as_json)


@sync.command()
@_name
@_app
@output.json_option
def remove(name: str, app: str, as_json: bool) -> None:
    """Forget NAME and its credentials; the documents stay."""
    with output.client() as client:
        client.remove_replication(app, name)
    if as_json:
        output.print_json({"removed": name})
    else:
        click.echo(f"Removed {name}.")


@sync.command()
@_name
@_app
@click.option("--limit", default=50, show_default=True, help="How many entries.")
@output.json_option
def log(name: str, app: str, limit: int, as_json: bool) -> None:
    """Say what happened to NAME, newest first."""
    with output.client() as client:
        entries = client.replication_log(app, name, limit)
    if as_json:
        output.print_json(entries)
        return
    if not entries:
        click.echo(f"Nothing has happened to {name} yet.")
    for entry in entries:
        output.say(
            f"{entry['at']}  ", f"{entry['kind']}: {entry['text']}" if entry["text"] else entry["kind"]
        )


def _tell(found: list[Replication], as_json: bool, *, waited: bool = False) -> int:
    """Says how replications fare, and returns the exit code: one that failed is the command's failure.

    So is, when it was `waited` for, one that will be tried again: what was to be moved is not there.
    """
    if as_json:
        output.print_json(found)
    for one in [] if as_json else found:
        written = one["progress"]["docs_written"]
        fares = f"{one['state']}, {written:,} {'document' if written == 1 else 'documents'} written"
        is_past = one["state"] in ("initializing", "paused", "completed")  # what was wrong before
        if is_past or not one["error"]:
            click.echo(f"{one['id']}: {fares}")
        else:
            _tell_problem(f"{one['id']}: {one['state']}, ", one)
    failures = ("failed", "crashing") if waited else ("failed",)
    return ending.FAILED if any(one["state"] in failures for one in found) else ending.OK
