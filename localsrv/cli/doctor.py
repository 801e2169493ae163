"""`localsrv doctor`: looks for what is wrong on this machine and says what to do about it.

Reads alone: it starts no server and changes nothing, but for a probe file in each folder and an entry in the
keyring (where that is the vault), both removed at once.
"""

from __future__ import annotations

from dataclasses import asdict

import click

from localsrv.base.paths import Paths
from localsrv.cli import output
from localsrv.server import checks

_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command()
@output.json_option
def doctor(as_json: bool) -> None:
    """Check SQLite, folders, settings, ports, vault, disk, app files, clock and names.

    Ends with code 1 when a check fails; warnings are no failure.
    """
    paths = Paths.from_environment(create=False)
    found = [check(paths) for check in checks.ALL]
    if as_json:
        output.print_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            output.say(f"{_MARKS[finding.state]}  {finding.check}: ", finding.message, indent=6)
            if finding.advice:
                output.say("      ", finding.advice)
    if any(finding.state == "fail" for finding in found):
        raise click.exceptions.Exit(1)
