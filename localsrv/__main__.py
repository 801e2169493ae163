"""`localsrv` and `python -m localsrv`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # before anything is imported
        from localsrv import __version__

        print(f"localsrv {__version__}")  # noqa: T201 - this is the answer
        return
    if sys.argv[1:] == ["--javascript"]:  # a child of the server (localsrv.javascript); small, so no click
        from localsrv.javascript import child

        child.main()
        return
    from localsrv.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
