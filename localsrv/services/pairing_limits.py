"""How much may be asked for: who is muted, how many wait, how many codes may be wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from localsrv.services.asking import Asked, OAuthError

MOST_WAITING = 50
MOST_OF_ONE = 3
MOST_OF_PROGRAMS = 20
"""Of programs together: what they call themselves is theirs to choose."""
REFUSALS = 2
MUTED_S = 3600
WRONG_CODES = 10
WRONG_WITHIN_S = 600
_MOST_REMEMBERED = 1000


class Limits:
    """Belongs to the event loop. `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refusals: dict[str, list[float]] = {}
        self._wrong: list[float] = []

    def check(self, asked: Asked, waiting: Sequence[Asked]) -> None:
        """Raises OAuthError when this one may not ask now."""
        if (left := self._muted_for(asked.asker)) > 0:
            raise OAuthError(
                "access_denied",
                "The owner of this computer refused twice. Ask again in an hour.",
                status=403,
                retry_after_s=int(left) + 1,
            )
        own = sum(other.asker == asked.asker for other in waiting)
        programs = sum(other.is_programs for other in waiting)
        if (
            own >= MOST_OF_ONE
            or len(waiting) >= MOST_WAITING
            or (asked.is_programs and programs >= MOST_OF_PROGRAMS)
        ):
            raise OAuthError(
                "temporarily_unavailable",
                "Too many requests wait for the owner's decision already.",
                status=429,
                retry_after_s=60,
            )

    def refused(self, asker: str) -> bool:
        """Counts a refusal; whether the asker is muted by it."""
        now = self._clock()
        recent = [at for at in self._refusals.pop(asker, []) if now - at < MUTED_S]
        if len(self._refusals) >= _MOST_REMEMBERED:
            del self._refusals[next(iter(self._refusals))]
        self._refusals[asker] = [*recent, now]
        return len(recent) + 1 >= REFUSALS

    def forgive(self, asker: str) -> None:
        """One that was allowed begins anew."""
        self._refusals.pop(asker, None)

    def _muted_for(self, asker: str) -> float:
        refusals = self._refusals.get(asker, [])
        return refusals[-1] + MUTED_S - self._clock() if len(refusals) >= REFUSALS else 0.0

    def check_guesses(self) -> None:
        """Raises OAuthError when too many codes were wrong lately."""
        if len(self._recent_wrong()) >= WRONG_CODES:
            raise OAuthError(
                "temporarily_unavailable",
                "Too many wrong codes. Decide by the list of requests, or wait some minutes.",
                status=429,
                retry_after_s=WRONG_WITHIN_S,
            )

    def guessed_wrong(self) -> bool:
        """Counts a wrong code; whether that was one too many."""
        self._wrong = [*self._recent_wrong(), self._clock()]
        return len(self._wrong) >= WRONG_CODES

    def _recent_wrong(self) -> list[float]:
        now = self._clock()
        return [at for at in self._wrong if now - at < WRONG_WITHIN_S]
