"""`localsrv audit`."""

from __future__ import annotations

import shutil
from typing import IO, TYPE_CHECKING

import click

from localsrv.cli import output

if TYPE_CHECKING:
    from localsrv.client.shapes import AuditEntry


@click.command()
@click.option("--event", metavar="EVENT", help="Only entries of this event, such as sign-in-failed.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@click.option(
    "--export", "file", type=click.File("wb"), help="Write all of it to FILE as NDJSON; - is stdout."
)
@output.json_option
def audit(event: str | None, limit: int, file: IO[bytes] | None, as_json: bool) -> None:
    """Show what happened around trust: sign-ins, requests, grants, secrets; the newest last."""
    with output.client() as client:
        if file is not None:
            with client.audit_export(event) as lines:
                shutil.copyfileobj(lines, file)
            return
        found = client.audit(event=event, limit=limit)
    if as_json:
        output.print_json(found)
    elif not found:
        click.echo("Nothing happened yet.")
    else:
        for entry in reversed(found):
            output.say("", _line(entry), indent=4)


def _line(entry: AuditEntry) -> str:
    """Two short texts: when and what; then who, where and about what, as far as known."""
    times = f" x{entry['count']}" if entry["count"] > 1 else ""
    about = [
        f"{name} {output.shown(value)}"
        for name, value in (
            ("by", entry["who"]),
            ("app", entry["app"]),
            ("from", entry["origin"]),
            ("about", entry["subject"]),
            *entry["details"].items(),
        )
        if value is not None
    ]
    return f"{output.moment(entry['at'])}  {entry['event']}{times}" + (
        f"  {', '.join(about)}" if about else ""
    )
