"""`localsrv query`: read-only SQL on an app's file."""

from __future__ import annotations

import sys
from typing import Any

import click

from localsrv.cli import output
from localsrv.cli.arguments import app_argument


@click.command()
@app_argument()
@click.argument("sql")
@click.option("--param", "-p", "params", multiple=True, metavar="[NAME=]VALUE",
              help="A value for `?`, or for `:name`; several times. Numbers are numbers.")  # fmt: skip
@click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to print the rows.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="Most rows."
)
@output.json_option
def query(app_id: str, sql: str, params: tuple[str, ...], kind: str, limit: int, as_json: bool) -> None:
    """Run a read-only SQL query on an APP's file; `-` reads the SQL from standard input.

    Collections are tables, their declared fields columns; `_body` holds the whole document as JSON. Example:
    localsrv query inventory "SELECT ProductName FROM products WHERE UnitPrice > ?" -p 50
    """
    text = sys.stdin.read() if sql == "-" else sql
    with output.client() as client:
        found = client.query(app_id, text, _parameters(params), limit=limit)
    columns, rows = found["columns"], found["rows"]
    if as_json or kind == "json":
        output.print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif kind == "csv":
        _print_csv(columns, rows)
    else:
        output.print_table(columns, rows)
    if found["truncated"]:
        click.echo(f"Only the first {limit} rows are shown; see --limit.", err=True)


def _parameters(params: tuple[str, ...]) -> list[Any] | dict[str, Any]:
    named = [param.partition("=") for param in params]
    if params and all(separator and name.isidentifier() for name, separator, _ in named):
        return {name: _value(value) for name, _, value in named}
    return [_value(param) for param in params]


def _value(text: str) -> Any:
    """An integer or decimal as SQL would read it; anything else, a leading zero included, is text."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text:
            return number
    return text


def _print_csv(columns: list[str], rows: list[list[Any]]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\r\n" if sys.platform == "win32" else "\n")
    writer.writerow(columns)
    writer.writerows(rows)
