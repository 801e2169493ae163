"""The table: what was measured, against what, the goal and whether it was reached."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table. `reached` is None for a figure without a goal."""

    what: str
    ours: str
    theirs: str
    result: str
    goal: str
    reached: bool | None

    def cells(self) -> list[str]:
        verdict = {True: "yes", False: "**no**", None: ""}[self.reached]
        return [self.what, self.ours, self.theirs, self.result, self.goal, verdict]


HEADER = ["what", "localsrv", "beside", "ratio", "goal", "reached"]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [HEADER, ["---"] * len(HEADER), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine() -> str:
    """What it ran on, without saying whose machine it is."""
    return f"{os.cpu_count()} shared cores, {platform.system()}, Python {platform.python_version()}"


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the runs of ours ÷ theirs. Both sides of a run were measured one after the other,
    so a machine that slows down for a minute slows both."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def number(value: float) -> str:
    """A figure with as many digits as it deserves."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def at_least(
    what: str, unit: str, ours: Sequence[float], theirs: Sequence[float], beside: str, goal: float
) -> Row:
    """A row for rates: more is better, `goal` is the least allowed ratio."""
    ratio = paired(ours, theirs)
    return Row(
        what,
        f"{number(statistics.median(ours))} {unit}",
        f"{beside}: {number(statistics.median(theirs))} {unit}",
        f"{ratio:.2f}",
        f"≥ {goal:g}",
        ratio >= goal,
    )


def at_most(what: str, unit: str, values: Sequence[float], goal: float) -> Row:
    """A row for a cost without another side."""
    median = statistics.median(values)
    return Row(what, f"{number(median)} {unit}", "", "", f"≤ {goal:g} {unit}", median <= goal)
