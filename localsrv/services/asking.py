"""What a client asks for and what the person allows, as values; and OAuth's errors."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from localsrv.base.errors import LocalsrvError
from localsrv.model.redirect_uris import Redirect

INTERVAL_S = 2
"""How long a client waits between two questions."""

Status = Literal["waiting", "approved", "refused", "expired", "done"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks for. `app` None leaves the choice to the person.

    `own_page` says that it is a page of the app itself, or the first page, at its own origin: it gets a
    page's token. `redirect`, `state`, `challenge` and `issuer` are there for a redirect alone, and so is
    `sent_by`: the page that sent the browser here, where it was another one.
    """

    client_id: str
    scopes: frozenset[str]
    app: str | None = None
    origin: str | None = None
    own_page: bool = False
    redirect: Redirect | None = None
    state: str | None = None
    challenge: str | None = None
    issuer: str = ""
    sent_by: str | None = None

    @property
    def asker(self) -> str:
        """Who is counted and muted together."""
        return self.sent_by or self.origin or f"program {self.client_id.casefold()}"

    @property
    def is_programs(self) -> bool:
        """Whether no page is behind it, as far as the browser tells."""
        return self.origin is None and self.sent_by is None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the person allowed. `expires_in` in seconds, None for ever; `once` for an hour at most."""

    app: str
    scopes: frozenset[str]
    once: bool = False
    expires_in: int | None = None


@dataclass(slots=True, eq=False)
class Request:
    """One that waits, or whose end is remembered until `ends`. `user_code` is None for a redirect."""

    id: str
    asked: Asked
    user_code: str | None
    ends: float
    created_at: int
    status: Status = "waiting"
    decision: Decision | None = None
    interval: float = INTERVAL_S
    polled_at: float | None = None
    code_ends: float | None = None
    grant_id: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class OAuthError(LocalsrvError):
    """What a client is told in OAuth's own words: `error` is one of RFC 6749, RFC 8628 or RFC 7009."""

    status = 400
    code = "oauth"

    def __init__(
        self, error: str, message: str, *, status: int = 400, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message, details=error)
        self.error = error
        self.status = status  # type: ignore[misc] # some errors have one of their own
        self.retry_after_s = retry_after_s
        self.code = {"invalid_grant": "bad-token", "temporarily_unavailable": "too-many-codes"}.get(
            error, "oauth"
        )
