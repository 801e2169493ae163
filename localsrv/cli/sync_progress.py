"""Waiting for replications, with a line that tells a person how far they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from localsrv.cli import output

if TYPE_CHECKING:
    from localsrv.client import Client
    from localsrv.client.shapes import Replication

EVERY_S = 0.25
LONGEST_BEGIN_S = 10.0


def wait_for(client: Client, app: str, names: Sequence[str]) -> list[Replication]:
    """Returns when each is done, has failed, waits for its next try, or has caught up and listens.

    The line goes to standard error, and only to a terminal.
    """
    is_shown = sys.stderr.isatty()
    until = time.monotonic() + LONGEST_BEGIN_S
    while True:
        found = [client.replication(app, name) for name in names]
        if is_shown:
            click.echo(f"\r\x1b[K{line(found)}", nl=False, err=True)
        begins = any(is_beginning(one) for one in found) and time.monotonic() < until
        if all(is_settled(one) for one in found) and not begins:
            if is_shown:
                click.echo(err=True)
            return found
        time.sleep(EVERY_S)


def wait_for_begin(client: Client, app: str, name: str) -> None:
    """Returns when a replication has opened both sides, or cannot, or after a while: it goes on anyway."""
    until = time.monotonic() + LONGEST_BEGIN_S
    while time.monotonic() < until:
        found = client.replication(app, name)
        is_open = found["progress"]["changes_pending"] is not None
        if is_open if found["state"] == "running" else found["state"] != "initializing":
            return
        time.sleep(EVERY_S)


def is_settled(one: Replication) -> bool:
    if one["state"] == "running":
        caught_up = one["progress"]["changes_pending"] == 0
        return caught_up and bool(one["definition"].get("continuous"))
    return one["state"] != "initializing"


def is_beginning(one: Replication) -> bool:
    """Whether one that had failed is about to try again: it neither runs yet nor waits."""
    return one["state"] == "crashing" and one["next_try_at"] is None


def line(found: Sequence[Replication]) -> str:
    """`1,200 documents, 3.4 MB, 5,600 a second, 800 left`."""
    sums = [one["progress"] for one in found]
    left = [p["changes_pending"] for p in sums if p["changes_pending"] is not None]
    text = f"{sum(p['docs_written'] for p in sums):,} documents, {output.size(sum(p['bytes'] for p in sums))}"
    text += f", {sum(p['rate'] for p in sums):,.0f} a second"
    return text + (f", {sum(left):,} left" if left else "")
