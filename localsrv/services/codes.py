"""One-time codes: how a page gets its token. In memory, 120 seconds, one use.

`localsrv open` puts a code in the address that it opens; the page swaps it for a token that is bound to the
page's origin. A code in a browser's history is worth nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from localsrv.base.errors import Forbidden

CODE_SECONDS = 120
MOST_CODES = 1000


@dataclass(frozen=True, slots=True)
class Code:
    """What a code stands for: an app, or with None the dashboard."""

    app: str | None
    expires_at: float


class Codes:
    """`clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._codes: dict[bytes, Code] = {}

    def create(self, app: str | None) -> str:
        """A new code. The oldest are dropped when there are very many."""
        now = self._clock()
        self._codes = {k: c for k, c in self._codes.items() if c.expires_at > now}
        while len(self._codes) >= MOST_CODES:
            del self._codes[next(iter(self._codes))]
        code = secrets.token_urlsafe(24)
        self._codes[_digest(code)] = Code(app, now + CODE_SECONDS)
        return code

    def redeem(self, code: str) -> Code:
        """What the code stands for. It is spent, whatever comes of it.

        Raises:
            Forbidden: never given out, used already, or too old.
        """
        found = self._codes.pop(_digest(code), None)
        if found is None or found.expires_at <= self._clock():
            raise Forbidden(
                "This code was used already or is too old.",
                code="bad-code",
                hint="Open the page again: localsrv open",
            )
        return found


def _digest(code: str) -> bytes:
    return sha256(code.encode("utf-8", "surrogatepass")).digest()
