"""What an import says while it runs: to a person on the terminal, or to a program as one JSON a line."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Protocol, TextIO

import click

from localsrv.cli import output
from localsrv.importing.plans import ImportPlan

EVERY_S = 0.2
SHOWN_VIOLATIONS = 10


class Listener(Protocol):
    """Told of each step, in this order; `progress` many times."""

    def reading(self, table: str, rows: int) -> None: ...
    def mapping(self, plan: ImportPlan) -> None: ...
    def app(self, app: str, created: bool, changes: list[str]) -> None: ...
    def progress(self, collection: str, done: int, total: int) -> None: ...
    def result(self, result: dict[str, Any]) -> None: ...


class ForPrograms:
    """NDJSON on standard output: `{"event": "mapping" | "app" | "progress" | "result" | "error", …}`."""

    def __init__(self) -> None:
        self._last = 0.0

    def _say(self, event: str, **body: Any) -> None:
        click.echo(json.dumps({"event": event, **body}, ensure_ascii=False))

    def reading(self, table: str, rows: int) -> None:
        if self._is_time():
            self._say("reading", table=table, rows=rows)

    def mapping(self, plan: ImportPlan) -> None:
        self._say("mapping", mapping=plan.as_json())

    def app(self, app: str, created: bool, changes: list[str]) -> None:
        self._say("app", app=app, created=created, changes=changes)

    def progress(self, collection: str, done: int, total: int) -> None:
        if done == total or self._is_time():
            self._say("progress", collection=collection, done=done, total=total)

    def result(self, result: dict[str, Any]) -> None:
        self._say("result", result=result)

    def error(self, body: dict[str, Any]) -> None:
        self._say("error", error=body)

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._last < EVERY_S:
            return False
        self._last = now
        return True


class ForPeople:
    """A table of the mapping, a bar per collection, a table of the counts. Bars go to standard error."""

    def __init__(self) -> None:
        self._stream: TextIO = sys.stderr
        self._bar: Any = None
        self._collection = ""
        self._done = 0

    def reading(self, table: str, rows: int) -> None:
        if self._stream.isatty():
            click.echo(f"\rReading {output.shown(table)}: {rows:,} rows", nl=False, file=self._stream)

    def mapping(self, plan: ImportPlan) -> None:
        if self._stream.isatty():
            click.echo("\r\033[K", nl=False, file=self._stream)
        for notice in plan.notices:
            click.echo(f"Note: {output.shown(notice)}", err=True)

    def app(self, app: str, created: bool, changes: list[str]) -> None:
        if created:
            click.echo(f"Created the app {app}.")

    def progress(self, collection: str, done: int, total: int) -> None:
        if not self._stream.isatty():
            return
        if collection != self._collection:
            self.end()
            self._collection, self._done = collection, 0
            self._bar = click.progressbar(
                length=total, label=collection[:30].ljust(30), file=self._stream, show_pos=True
            )
            self._bar.__enter__()
        self._bar.update(done - self._done)
        self._done = done
        if done == total:
            self.end()

    def end(self) -> None:
        """Leaves the last bar's line."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar, self._collection = None, ""

    def result(self, result: dict[str, Any]) -> None:
        if result["dry_run"]:
            show_mapping(result["mapping"])
            return
        counted = ("created", "updated", "unchanged", "violation_count")
        rows = [[c["collection"], *(c[name] for name in counted)] for c in result["collections"]]
        output.print_table(["collection", "created", "updated", "unchanged", "violations"], rows)
        for collection in result["collections"]:
            for violation in collection["violations"][:SHOWN_VIOLATIONS]:
                text = f"{collection['collection']} {violation['id']}: {violation['message']}"
                click.echo(f"Rule broken, stored all the same: {output.shown(text)}", err=True)


def show_mapping(mapping: dict[str, Any]) -> None:
    """The mapping as tables, and what was to be said of it."""
    for collection in mapping["collections"]:
        definition = collection["definition"]
        key = definition.get("key", [])
        to = {f: r["to"] for r in definition.get("relations", []) for f in r["fields"]}
        origin = (
            f" (from {output.shown(collection['table'])})"
            if collection["table"] != collection["collection"]
            else ""
        )
        click.echo(f"{collection['collection']}{origin}: {collection['rows']:,} documents")
        rows = []
        for field in collection["fields"]:
            about = [
                "key" if field["field"] in key else "",
                f"→ {to[field['field']]}" if field["field"] in to else "",
                f"from {field['column']}" if field["column"] != field["field"] else "",
            ]
            rows.append([field["field"], field["type"], ", ".join(a for a in about if a)])
        output.print_table(["field", "type", ""], rows)
        click.echo()
    click.echo("Nothing was stored: this was a dry run.")
