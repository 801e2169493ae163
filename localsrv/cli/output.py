"""What commands share: `--json`, tables, sizes, and the client."""

from __future__ import annotations

import json
import shutil
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from localsrv.base.paths import Paths

if TYPE_CHECKING:
    from localsrv.client import Client

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def client() -> Client:
    """The running server's client, or one of a server that is started now for this command."""
    from localsrv.client import ensure_running

    found, started = ensure_running(Paths.from_environment())
    if started:
        click.echo(f"Started localsrv at {found.server.url} (end it with: localsrv stop).", err=True)
    return found


def running_client() -> Client:
    """The running server's client. Raises NotRunning."""
    from localsrv.client import connect

    return connect(Paths.from_environment())


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


SHORTEST = 8
"""Columns that a shortened value keeps."""


def columns() -> int:
    """How wide the terminal is; 80 where there is none to ask."""
    return max(shutil.get_terminal_size().columns, 40)


def say(label: str, text: str, *, indent: int | None = None, may_break: bool = False) -> None:
    """A line that begins with `label`; what does not fit goes below it, indented as far as the label.

    Addresses, paths and other long words stay whole, unless they `may_break`.
    """
    lines = textwrap.wrap(
        shown(text),
        columns(),
        initial_indent=label,
        subsequent_indent=" " * (width(label) if indent is None else indent),
        break_long_words=may_break,
        break_on_hyphens=False,
    )
    for line in lines or [label.rstrip()]:
        click.echo(line)


def advise(label: str, error: Mapping[str, str | None]) -> None:
    """An error as a person reads it: what is wrong, and below it what to do."""
    say(label, error.get("message") or "")
    if error.get("hint"):
        say(" " * width(label), error.get("hint") or "")


def print_table(
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    shorten: str | None = None,
    below: Sequence[Sequence[str]] = (),
) -> None:
    """Columns as wide as their widest value, numbers to the right; a line break or control shows escaped.

    The column `shorten` gives way when the table is wider than the terminal. `below` has for each row what is
    said of it on lines of its own.
    """
    texts = [[shown(value) for value in row] for row in rows]
    are_numbers = [
        bool(rows) and all(isinstance(row[at], int | float | None) for row in rows)
        for at in range(len(names))
    ]
    widths = [
        max(width(name), *(width(row[at]) for row in texts)) if texts else width(name)
        for at, name in enumerate(names)
    ]
    if shorten is not None:
        at = names.index(shorten)
        over = sum(widths) + 2 * (len(widths) - 1) - columns()
        widths[at] = min(widths[at], max(widths[at] - over, width(shorten), SHORTEST))
        for row in texts:
            row[at] = shortened(row[at], widths[at])
    for number, row in enumerate([list(names), ["-" * size for size in widths], *texts], -2):
        cells = [
            _padded(text, size, right=is_number)
            for text, size, is_number in zip(row, widths, are_numbers, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())
        for line in below[number] if below and number >= 0 else ():
            say("    ", line)


def shortened(text: str, most: int) -> str:
    """A text that takes at most `most` columns; `…` stands for what is left out at its end."""
    if width(text) <= most:
        return text
    while width(text) > most - 1:
        text = text[:-1]
    return text + "…"


def shown(value: Any) -> str:
    """A value for a person's eyes, safe for a terminal: no control character of the data reaches it."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def _padded(text: str, size: int, *, right: bool) -> str:
    space = " " * (size - width(text))
    return space + text if right else text + space


def size(count: int) -> str:
    """Bytes for a person: `1.5 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def moment(text: str | None) -> str:
    """A time as the server tells it, for a person: `2026-11-22 22:49`, in UTC."""
    return "" if text is None else text[:16].replace("T", " ")


def duration(seconds: float) -> str:
    """A time span for a person: `2 days 3 h`."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} day{'s' * (days != 1)} {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
