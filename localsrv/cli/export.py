"""`localsrv export`: an app's documents as a file, read through the running server."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from localsrv.base.errors import BadRequest, NotFound
from localsrv.cli import output
from localsrv.client import Client
from localsrv.client.shapes import CollectionInfo
from localsrv.importing.export import (
    Exported,
    Supply,
    export_folder,
    export_sqlite,
    export_text,
    whole_or_nothing,
)
from localsrv.importing.sources import FORMATS, SQLITE_SUFFIXES
from localsrv.model.schema_parse import parse_collection

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}


@click.command()
@click.option("--app", required=True, metavar="NAME", help="The app to export.")
@click.option("--collection", multiple=True, metavar="NAME", help="Only this collection; several times.")
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), help="What to write; else the ending of -o says it."
)
@click.option("-o", "--output", "target", metavar="FILE|FOLDER",
              help="Where to write; `-` is standard output. Default: `-` for text, NAME.db.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is there.")
@output.json_option
def export(
    app: str, collection: tuple[str, ...], kind: str | None, target: str | None, force: bool, as_json: bool
) -> None:
    """Export an app's documents as SQLite, CSV, TSV, JSON or NDJSON.

    What was imported gets its own table and column names, types, keys and values back. CSV, TSV and NDJSON
    hold one collection: several go to a folder, one file each.
    """
    kind = kind or _kind_of(target)
    with output.client() as client:
        supplies = _supplies(client, app, collection)
        listed = _Progress()
        destination = target or (f"{app}.db" if kind == "sqlite" else "-")
        if kind == "sqlite" and destination == "-":
            raise click.UsageError("SQLite cannot be written to standard output: name a file with -o.")
        if destination == "-":
            if kind != "json" and len(supplies) != 1:
                raise click.UsageError(
                    f"{kind} holds one collection: choose it with --collection, or name a folder with -o."
                )
            exported = export_text(sys.stdout.buffer, supplies, kind, listed.told)
        else:
            exported = _to_file(Path(destination), supplies, kind, force, listed)
        listed.end()
    _report(exported, destination, as_json)


def _kind_of(target: str | None) -> str:
    suffix = Path(target).suffix.lower() if target else ""
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if suffix and suffix not in SQLITE_SUFFIXES:
        raise click.UsageError(f"The ending `{suffix}` does not tell the format: add --format.")
    return "sqlite"


def _supplies(client: Client, app: str, wanted: Iterable[str]) -> list[Supply]:
    infos = {c["name"]: c for c in client.collections(app)}
    names = list(dict.fromkeys(wanted)) or list(infos)
    for name in names:
        if name not in infos:
            known = ", ".join(f"`{n}`" for n in infos)
            raise NotFound(
                f"`{app}` has no collection `{name}`.",
                code="no-collection",
                hint=f"It has {known or 'none'}.",
            )
    if not names:
        raise BadRequest(f"`{app}` has no collections.", code="nothing-to-export")
    return [_supply(client, app, infos[name]) for name in names]


def _supply(client: Client, app: str, info: CollectionInfo) -> Supply:
    name = info["name"]

    def documents() -> Iterable[dict[str, Any]]:
        return client.documents(app, name)

    def fetch(document: str, attachment: str) -> bytes:
        return client.attachment(app, name, document, attachment)

    return Supply(parse_collection(name, info["definition"], couch_name=True), documents, fetch)


def _to_file(target: Path, supplies: list[Supply], kind: str, force: bool, listed: _Progress) -> Exported:
    is_folder = kind in ("csv", "tsv", "ndjson") and (len(supplies) != 1 or target.is_dir())
    if kind == "json" and target.is_dir():
        target = target / "export.json"
    with whole_or_nothing(target, force=force) as temporary:
        if kind == "sqlite":
            return export_sqlite(temporary, supplies, listed.told)
        if is_folder:
            return export_folder(temporary, supplies, kind, listed.told)
        with temporary.open("wb") as stream:
            return export_text(stream, supplies, kind, listed.told)


class _Progress:
    """One line on the terminal that counts up."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._shown = False

    def told(self, collection: str, done: int) -> None:
        if self._stream.isatty():
            click.echo(f"\r\033[K{collection}: {done:,} documents", nl=False, file=self._stream)
            self._shown = True

    def end(self) -> None:
        if self._shown:
            click.echo("\r\033[K", nl=False, file=self._stream)


def _report(exported: Exported, destination: str, as_json: bool) -> None:
    to_stdout = destination == "-"
    if as_json:
        body = {
            "output": None if to_stdout else str(Path(destination).absolute()),
            "documents": exported.documents,
            "notices": exported.notices,
        }
        if to_stdout:  # the data is there already
            import json

            click.echo(json.dumps(body, ensure_ascii=False), err=True)
        else:
            output.print_json(body)
        return
    for notice in exported.notices:
        click.echo(f"Note: {output.shown(notice)}", err=True)
    if not to_stdout:
        total, collections = sum(exported.documents.values()), len(exported.documents)
        count = f"{total:,} {'document' if total == 1 else 'documents'}"
        count += f" of {collections} {'collection' if collections == 1 else 'collections'}"
        where = f"the folder {destination}" if Path(destination).is_dir() else destination
        click.echo(f"Wrote {count} to {where}.")
