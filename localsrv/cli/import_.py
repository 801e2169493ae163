"""`localsrv import`: a file read here, its documents stored by the running server."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from localsrv.base.errors import BadRequest, LocalsrvError
from localsrv.cli import output
from localsrv.cli.import_progress import ForPeople, ForPrograms, Listener
from localsrv.cli.import_sending import known_keys, send
from localsrv.client import NotRunning
from localsrv.importing.mapping import plan_import
from localsrv.importing.plans import Choices
from localsrv.importing.sources import FORMATS, Options, open_source, spooled
from localsrv.model.schema import APP_ID


@click.command("import")
@click.argument("file", metavar="FILE")
@click.option(
    "--app", required=True, metavar="NAME", help="The app to import into; created if there is none."
)
@click.option("--title", help="The new app's title.")
@click.option("--collection", multiple=True, metavar="NAME",
              help="The collection for a CSV, TSV or JSON file; or those to take of many.")  # fmt: skip
@click.option("--key", metavar="A,B", help="Columns that identify a row, where the file declares none.")
@click.option("--rename", multiple=True, metavar="TABLE=NAME", help="Another collection name for a table.")
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), help="What the file is, if its content does not tell."
)
@click.option("--encoding", help="Encoding of a text file, if not UTF-8 (for example cp1252).")
@click.option("--delimiter", help="Delimiter of a CSV file, if it is not found.")
@click.option("--no-header", is_flag=True, help="The first line of a CSV file is data already.")
@click.option("--empty", type=click.Choice(["null", "text"]), default="null", show_default=True,
              help="What an empty cell of a text column means.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would become of the file, and store nothing.")
@output.json_option
def import_(
    file: str,
    app: str,
    title: str | None,
    collection: tuple[str, ...],
    key: str | None,
    rename: tuple[str, ...],
    kind: str | None,
    encoding: str | None,
    delimiter: str | None,
    no_header: bool,
    empty: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import FILE (SQLite, CSV, TSV, JSON or NDJSON; `-` is standard input) into an app.

    Tables become collections, columns fields, BLOBs attachments. Importing a file again changes only what
    changed in it; after an interruption, run it again. With --json, progress and result are one JSON a line.
    """
    options = Options(
        kind, collection[0] if collection else None, encoding, _delimiter(delimiter), not no_header
    )
    listener: Listener = ForPrograms() if as_json else ForPeople()
    with _told(listener), _file(file) as (path, name):
        _check_app(app)
        if name is None and not collection:
            options = Options(kind, "items", encoding, options.delimiter, not no_header)
        with open_source(path, options, name=name or "standard input") as source:
            is_single = source.format in ("csv", "tsv") or (
                len(source.tables) == 1 and source.format != "sqlite"
            )
            choices = Choices(
                only=() if is_single else collection,
                key=tuple(k.strip() for k in key.split(",") if k.strip()) if key else (),
                renamed=_renamed(rename),
                empty_text=empty == "text",
            )
            if dry_run:
                plan = plan_import(source, replace(choices, known=_known_now(app)), listener.reading)
                listener.mapping(plan)
                listener.result({"dry_run": True, "app": app, "mapping": plan.as_json()})
                return
            with output.client() as client:
                choices = replace(choices, known=known_keys(client, app))
                plan = plan_import(source, choices, listener.reading)
                listener.mapping(plan)
                result = send(client, source, plan, app, title, listener)
            listener.result(result)


def _check_app(app: str) -> None:
    if not APP_ID.match(app):
        raise BadRequest(
            f"`{app}` cannot be an app's name.",
            code="bad-app-name",
            hint="Use a-z, 0-9 and -, starting with a letter, at most 41.",
        )


def _known_now(app: str) -> dict[str, tuple[str, ...]]:
    """The keys of the app's collections, if a server runs: a dry run starts none."""
    try:
        with output.running_client() as client:
            return known_keys(client, app)
    except NotRunning:
        return {}


@contextlib.contextmanager
def _told(listener: Listener) -> Iterator[None]:
    """Errors are events too, for the program that reads the events."""
    try:
        yield
    except LocalsrvError as error:
        if isinstance(listener, ForPrograms):
            listener.error(error.as_dict())
        raise
    finally:
        if isinstance(listener, ForPeople):
            listener.end()


@contextlib.contextmanager
def _file(name: str) -> Iterator[tuple[Path, str | None]]:
    """(path, name); standard input is kept in a file for as long, and has no name."""
    if name != "-":
        path = Path(name)
        yield path, path.name
        return
    with spooled(sys.stdin.buffer) as path:
        yield path, None


def _delimiter(text: str | None) -> str | None:
    if text is None:
        return None
    text = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if len(text) != 1 or text in '"\r\n\0':
        raise click.UsageError("--delimiter must be one character (or `tab`).")
    return text


def _renamed(given: tuple[str, ...]) -> dict[str, str]:
    renamed = {}
    for pair in given:
        table, separator, name = pair.rpartition("=")
        if not separator or not table or not name:
            raise click.UsageError("--rename must be TABLE=NAME.")
        renamed[table] = name
    return renamed
