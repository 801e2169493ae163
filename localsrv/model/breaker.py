"""A circuit breaker and the pauses between tries, as values: the caller brings clock and chance.

After `FAILURES` in a row the circuit opens and nothing is sent; when its pause is over, one request is let
through (half open). Its success closes the circuit, its failure opens it for twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

State = Literal["closed", "open", "half-open"]

FAILURES = 5
PAUSE_S = 15.0
LONGEST_PAUSE_S = 300.0

SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""Idempotent methods (RFC 9110, 9.2.2)."""
WORTH_REPEATING = frozenset({429, 502, 503, 504})
LONGEST_WAIT_S = 10.0
"""A service that asks for a longer wait gets it from the client, who is told."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """`opened_at` on the caller's clock, in seconds; None while closed. `is_trying`: one was let through."""

    failures: int = 0
    opened_at: float | None = None
    pause_s: float = PAUSE_S
    is_trying: bool = False

    def state(self, now: float) -> State:
        if self.opened_at is None:
            return "closed"
        return "half-open" if self.is_trying or self.left_s(now) <= 0 else "open"

    def left_s(self, now: float) -> float:
        """Seconds until a request is let through."""
        return 0.0 if self.opened_at is None else max(0.0, self.opened_at + self.pause_s - now)

    def admits(self, now: float) -> bool:
        return self.opened_at is None or (not self.is_trying and self.left_s(now) <= 0)

    def trying(self) -> Breaker:
        """A request goes out."""
        return self if self.opened_at is None else replace(self, is_trying=True)

    def gave_up(self) -> Breaker:
        """The request that went out ended without telling anything about the service."""
        return replace(self, is_trying=False)

    def succeeded(self) -> Breaker:
        return Breaker()

    def failed(self, now: float) -> Breaker:
        if self.opened_at is not None:
            longer = min(self.pause_s * 2, LONGEST_PAUSE_S) if self.is_trying else self.pause_s
            return Breaker(self.failures + 1, now, longer)
        failures = self.failures + 1
        return Breaker(failures, now if failures >= FAILURES else None)


def pause_before(attempt: int, retry_after: str | None, chance: float, now: float) -> float | None:
    """Seconds to wait before try number `attempt` (from 1 for the first repetition).

    `retry_after` is the header's value, `chance` from 0 to 1, `now` seconds since 1970. None when the service
    asks for longer than `LONGEST_WAIT_S`.
    """
    asked = seconds_of(retry_after, now)
    if asked is not None:
        return asked if asked <= LONGEST_WAIT_S else None
    most: float = min(LONGEST_WAIT_S, 0.25 * 4 ** (attempt - 1))
    return most * (0.5 + chance / 2)


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """`Retry-After` in seconds (RFC 9110, 10.2.3): a number or a date; None for neither."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def repeats(method: str, status: int) -> bool:
    """Whether an answer's status is worth another try of this method."""
    return method in SAFE_TO_REPEAT and status in WORTH_REPEATING
