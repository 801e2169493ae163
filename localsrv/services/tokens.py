"""Tokens of paired clients: access for an hour, renewed by refresh tokens that are good for one renewal.

Theory of operation. A refresh gives out the next *generation*: an access token and the next refresh token.
The one that was presented is *superseded*, and is *spent* only when a token of the next generation is used,
since that proves that the client has them. So:

- An answer that was lost locks nobody out: the client presents the superseded token again and gets another
  next generation, and the one that was lost ends, so that there is never more than one successor.
- A copied token is found out: when client and thief both present it, the one who comes second presents either
  a spent token, or one that ended because the other presented their common ancestor. Either ends the grant
  with all its tokens (RFC 9700, 4.14.2). There is no time in which a spent token is let pass.

What a grant allows is written with the grant; a refresh may ask for less for one access token (RFC 6749, 6),
never for more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from localsrv.base.errors import NotFound
from localsrv.model.scopes import Grant, implies
from localsrv.services.audit import TOKEN_REFRESHED, TOKEN_REUSED, Audit
from localsrv.services.grants import OWNER, Grants, new_grant, new_token, token_digest
from localsrv.store.grants import TokenRow

ACCESS_PREFIX = "lsa_"
REFRESH_PREFIX = "lsr_"
ACCESS_SECONDS = 3600
PAGE_SECONDS = 90 * 24 * 3600
"""How long a page of ours is let in after it last asked for more time (web/admin/session.py)."""
REFRESH_SECONDS = 90 * 24 * 3600
"""How long a client may stay away before it has to ask again."""


class RefusedToken(Exception):
    """A refresh token that is worth nothing: unknown, too old, spent, or of another client."""


class RefusedScope(Exception):
    """A refresh that asks for more than there is."""


@dataclass(frozen=True, slots=True)
class Issued:
    """What a client gets. `refresh` is None where access ends for good after `expires_in` seconds."""

    grant: Grant
    access: str
    refresh: str | None
    expires_in: int
    scopes: frozenset[str]


class Tokens:
    """Belongs to the event loop, as `grants`. Methods raise StorageError when nothing can be written."""

    def __init__(self, grants: Grants, audit: Audit) -> None:
        self._grants = grants
        self._audit = audit

    async def pair(
        self,
        program: str,
        app: str,
        scopes: frozenset[str],
        *,
        origin: str | None,
        expires_in: int | None = None,
        once: bool = False,
        is_page: bool = False,
    ) -> Issued:
        """A new grant of a program or page that asked for it. `once`: for an hour, and no refresh token.

        `is_page`: it is a page of ours, which gets what it would get for a one-time code.
        """
        if once:
            expires_in = min(expires_in or ACCESS_SECONDS, ACCESS_SECONDS)
        if is_page:
            seconds = min(expires_in or PAGE_SECONDS, PAGE_SECONDS)
            name = "page " + (origin or "").partition("://")[2]
            token, grant = await self._grants.create(
                name, app, scopes, origin=origin, expires_in=seconds, kind="page", program=program
            )
            return Issued(grant, token, None, seconds, scopes)
        grant = new_grant(program, app, scopes, origin, expires_in, "paired", program)
        access, row = _access(grant)
        refresh, rows = None, [row]
        if not once:
            refresh, refresh_row = _refresh(grant)
            rows.append(refresh_row)
        await self._grants.add(grant, rows)
        return Issued(grant, access, refresh, _seconds_left(row), scopes)

    async def refresh(
        self, token: str, scopes: frozenset[str] | None = None, *, origin: str | None = None
    ) -> Issued:
        """Renews a grant. `origin` is that of the page which asks, None for a program.

        Raises:
            RefusedToken: the grant has ended by now if the token was spent.
            RefusedScope: nothing was renewed.
        """
        digest = token_digest(token)
        ident = await self._grants.store.owner_of(digest)
        grant = None if ident is None else self._grants.by_id(ident)
        if grant is None or not _may_present(grant, origin):
            raise RefusedToken
        if scopes is not None and not all(implies(grant.scopes, scope) for scope in scopes):
            raise RefusedScope
        access, row = _access(grant, scopes)
        successor, successor_row = _refresh(grant)
        now = int(time.time())
        done = await self._grants.store.rotate(digest, row, successor_row, now)
        if done.outcome == "spent":
            await self._reused(grant)
        if done.outcome != "renewed":
            raise RefusedToken
        row = TokenRow(row.sha256, grant.id, "access", done.generation, scopes, now, row.expires_at)
        self._grants.replace_tokens(grant, row, done.ended)
        self._audit.note(TOKEN_REFRESHED, grant=grant)
        return Issued(grant, access, successor, _seconds_left(row), scopes or grant.scopes)

    async def revoke(self, token: str) -> Grant | None:
        """Ends the grant of an access or refresh token (RFC 7009); None when there is none to end.

        Keys and the owner's token are no such tokens: they stay.
        """
        found = self._grants.find(token)
        ident = found.id if found else await self._grants.store.owner_of(token_digest(token))
        grant = None if ident is None else self._grants.by_id(ident)
        if grant is None or grant.id == OWNER or grant.kind not in ("paired", "page"):
            return None
        return await self.end(grant)

    async def end(self, grant: Grant) -> Grant | None:
        """Ends a grant; None when somebody else just did."""
        try:
            return await self._grants.revoke(grant.id)
        except NotFound:
            return None

    async def end_by_id(self, ident: str) -> None:
        """Ends a grant that may have ended already."""
        grant = self._grants.by_id(ident)
        if grant is not None:
            await self.end(grant)

    async def _reused(self, grant: Grant) -> None:
        self._audit.note(TOKEN_REUSED, grant=grant)
        await self.end(grant)


def _may_present(grant: Grant, origin: str | None) -> bool:
    """A page's grant is renewed by that page, a program's by no page."""
    return origin == grant.origin


def _access(grant: Grant, scopes: frozenset[str] | None = None) -> tuple[str, TokenRow]:
    token, now = new_token(ACCESS_PREFIX), int(time.time())
    ends = now + ACCESS_SECONDS
    if grant.expires_at is not None:
        ends = min(ends, grant.expires_at)
    return token, TokenRow(token_digest(token), grant.id, "access", 0, scopes, now, ends)


def _refresh(grant: Grant) -> tuple[str, TokenRow]:
    token, now = new_token(REFRESH_PREFIX), int(time.time())
    return token, TokenRow(token_digest(token), grant.id, "refresh", 0, None, now, now + REFRESH_SECONDS)


def _seconds_left(row: TokenRow) -> int:
    return max(0, (row.expires_at or 0) - row.created_at)
