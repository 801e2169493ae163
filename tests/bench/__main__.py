"""`python -m tests.bench [--runs N] [--seconds S] [--only NAME …]`: measure and print the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench import measures, report, sync_measures, trust_measures
from tests.bench.measures import Settings
from tests.bench.sides import ROOT

MEASURES = measures.MEASURES | sync_measures.MEASURES | trust_measures.MEASURES


def main() -> int:
    """Runs the chosen measures; exit code 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often each side is measured (3)")
    parser.add_argument("--seconds", type=float, default=5, help="how long each load lasts (5)")
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    arguments = parser.parse_args()
    executable = ROOT / "dist" / "localsrv" / ("localsrv.exe" if sys.platform == "win32" else "localsrv")
    rows = []
    with tempfile.TemporaryDirectory(prefix="localsrv-bench-") as folder:
        frozen = executable if executable.exists() else None
        settings = Settings(Path(folder), arguments.runs, arguments.seconds, frozen)
        for name in arguments.only:
            print(f"bench: {name} …", file=sys.stderr, flush=True)
            found = MEASURES[name](settings)
            print(report.table(found), file=sys.stderr, flush=True)
            rows += found
    print(f"\n{report.machine()}; medians of {arguments.runs} runs of {arguments.seconds:g} s\n")
    print(report.table(rows))
    return 0 if all(row.reached is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
