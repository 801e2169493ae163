"""localsrv without its guard, credential lookup and scope check: what those cost is measured beside it.

Never to be used for anything else: whoever reaches the port may do everything.
"""

from __future__ import annotations

import sys
from typing import Any

from localsrv.web import quick_import  # noqa: F401 - before anything imports aiohttp, as the server does

# isort: split
from localsrv import cli
from localsrv.model.scopes import ADMIN, ALL, Grant
from localsrv.web.auth import Authenticator
from localsrv.web.guard import Guard

_ANYBODY = Grant("anybody", "anybody", ALL, frozenset({ADMIN}))


def _nothing(*_: Any) -> None:
    return None


def _anybody(*_: Any) -> Grant:
    return _ANYBODY


def main() -> int:
    Guard.preflight = Guard.cors_origin = _nothing  # type: ignore[method-assign, assignment]
    Authenticator.grant = _anybody  # type: ignore[method-assign, assignment]
    return cli.run()


if __name__ == "__main__":
    sys.exit(main())
