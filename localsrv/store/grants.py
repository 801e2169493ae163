"""The tables `grants` and `tokens` of the server's own file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from localsrv.model.scopes import Grant
from localsrv.store.driver import Connection
from localsrv.store.system import System

KEPT_SPENT = 1000
"""Spent refresh tokens of one grant that are remembered, the newest: one that comes again is a stolen one."""

_COLUMNS = "id, name, app, scopes, origin, created_at, expires_at, last_used_at, kind, program"

Use = Literal["access", "refresh"]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token; see the table. Times are seconds since 1970."""

    sha256: bytes
    grant_id: str
    use: Use = "access"
    generation: int = 0
    scopes: frozenset[str] | None = None
    created_at: int = 0
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A grant with its access tokens, and the key itself if it is a publishable one."""

    grant: Grant
    tokens: tuple[TokenRow, ...]
    public_key: str | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of a refresh token that was presented.

    `outcome`: `renewed`; `unknown`, also for one that is too old; or `spent`, for one whose successor was
    used already. `ended` are the access tokens that the renewal ended.
    """

    outcome: Literal["renewed", "unknown", "spent"]
    grant_id: str = ""
    generation: int = 0
    ended: tuple[bytes, ...] = ()


class GrantStore:
    """Every method raises StorageError when the disk or the file refuses."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def all(self) -> list[Known]:
        """Every grant, oldest first."""

        def work(c: Connection) -> list[Known]:
            tokens: dict[str, list[TokenRow]] = {}
            sql = "SELECT sha256, grant_id, use, generation, scopes, created_at, expires_at FROM tokens"
            for row in c.execute(f"{sql} WHERE use = 'access' ORDER BY created_at"):
                tokens.setdefault(row[1], []).append(_token(row))
            rows = c.execute(f"SELECT public_key, {_COLUMNS} FROM grants ORDER BY created_at, id")
            return [Known(_grant(row[1:]), tuple(tokens.get(row[1], ())), row[0]) for row in rows]

        return await self._system.run(work)

    async def add(self, grant: Grant, tokens: Sequence[TokenRow], public_key: str | None = None) -> None:
        """Adds a grant and its tokens, all or nothing."""
        row = (
            grant.id,
            grant.name,
            grant.app,
            _scopes_text(grant.scopes),
            grant.origin,
            grant.created_at,
            grant.expires_at,
            grant.last_used_at,
            grant.kind,
            grant.program,
            public_key,
        )
        sql = f"INSERT INTO grants ({_COLUMNS}, public_key) VALUES ({','.join('?' * len(row))})"

        def work(c: Connection) -> None:
            c.execute(sql, row)
            _insert_tokens(c, tokens)

        await self._system.transaction(work)

    async def delete(self, ids: Sequence[str]) -> None:
        """Deletes grants with their tokens."""
        rows = [(i,) for i in ids]
        await self._system.transaction(lambda c: c.executemany("DELETE FROM grants WHERE id = ?", rows))

    async def delete_ended(self, now: int) -> None:
        """Deletes what can never be used again: grants that are over, and paired ones that nobody renewed."""
        await self._system.transaction(
            lambda c: c.execute(
                "DELETE FROM grants WHERE expires_at <= :now OR kind = 'paired' AND NOT EXISTS"
                " (SELECT 1 FROM tokens WHERE grant_id = grants.id AND spent_at IS NULL"
                "  AND (tokens.expires_at IS NULL OR tokens.expires_at > :now))",
                {"now": now},
            )
        )

    async def touch(self, used: Mapping[str, int]) -> None:
        """Notes when grants were last used: id → time."""
        rows = [(at, i) for i, at in used.items()]
        sql = "UPDATE grants SET last_used_at = ? WHERE id = ?"
        await self._system.transaction(lambda c: c.executemany(sql, rows))

    async def extend(self, ident: str, expires_at: int) -> None:
        """Moves a grant's end."""
        sql = "UPDATE grants SET expires_at = ? WHERE id = ?"
        await self._system.transaction(lambda c: c.execute(sql, (expires_at, ident)))

    # ── refresh tokens (services/tokens.py says how they turn) ─────────────────────────────────────────────

    async def owner_of(self, sha256: bytes) -> str | None:
        """The id of the grant that a refresh token belongs to, spent or not."""

        def work(c: Connection) -> str | None:
            row = c.execute(
                "SELECT grant_id FROM tokens WHERE sha256 = ? AND use = 'refresh'", (sha256,)
            ).fetchone()
            return None if row is None else str(row[0])

        return await self._system.run(work)

    async def rotate(self, sha256: bytes, access: TokenRow, refresh: TokenRow, now: int) -> Rotation:
        """Renews the grant of a refresh token: the two given take their place in it.

        Of `access` and `refresh`, the grant and the generation are set here. Older tokens than the one that
        is presented end, and so does what an earlier presentation of the same one gave out.
        """

        def work(c: Connection) -> Rotation:
            found = c.execute(
                "SELECT grant_id, generation, expires_at, spent_at FROM tokens"
                " WHERE sha256 = ? AND use = 'refresh'",
                (sha256,),
            ).fetchone()
            if found is None:
                return Rotation("unknown")
            grant_id, generation, expires_at, spent_at = found
            if spent_at is not None:
                return Rotation("spent", grant_id)
            if expires_at is not None and expires_at <= now:
                return Rotation("unknown", grant_id)
            others = "grant_id = ? AND generation <> ? AND use"
            ended = c.execute(
                f"SELECT sha256 FROM tokens WHERE {others} = 'access'", (grant_id, generation)
            ).fetchall()
            c.execute(f"DELETE FROM tokens WHERE {others} = 'access'", (grant_id, generation))
            c.execute(
                f"UPDATE tokens SET spent_at = ? WHERE {others} = 'refresh' AND spent_at IS NULL",
                (now, grant_id, generation),
            )
            _insert_tokens(c, (access, refresh), grant_id, generation + 1)
            _forget_spent(c, grant_id)
            return Rotation("renewed", grant_id, generation + 1, tuple(row[0] for row in ended))

        return await self._system.transaction(work)

    async def confirm(self, grant_id: str, generation: int, now: int) -> None:
        """A token of this generation was used, so its client has it: older refresh tokens are spent."""
        await self._system.transaction(
            lambda c: c.execute(
                "UPDATE tokens SET spent_at = ?"
                " WHERE grant_id = ? AND generation < ? AND use = 'refresh' AND spent_at IS NULL",
                (now, grant_id, generation),
            )
        )


def _insert_tokens(
    c: Connection, tokens: Sequence[TokenRow], grant_id: str | None = None, generation: int | None = None
) -> None:
    rows = [
        (
            t.sha256,
            grant_id or t.grant_id,
            t.use,
            t.generation if generation is None else generation,
            None if t.scopes is None else _scopes_text(t.scopes),
            t.created_at,
            t.expires_at,
        )
        for t in tokens
    ]
    c.executemany(
        "INSERT INTO tokens (sha256, grant_id, use, generation, scopes, created_at, expires_at)"
        " VALUES (?,?,?,?,?,?,?)",
        rows,
    )


def _forget_spent(c: Connection, grant_id: str) -> None:
    c.execute(
        "DELETE FROM tokens WHERE sha256 IN (SELECT sha256 FROM tokens"
        " WHERE grant_id = ? AND use = 'refresh' AND spent_at IS NOT NULL"
        " ORDER BY generation DESC LIMIT -1 OFFSET ?)",
        (grant_id, KEPT_SPENT),
    )


def _scopes_text(scopes: frozenset[str]) -> str:
    return orjson.dumps(sorted(scopes)).decode()


def _grant(row: tuple[Any, ...]) -> Grant:
    ident, name, app, scopes, *rest = row
    return Grant(ident, name, app, frozenset(orjson.loads(scopes)), *rest)


def _token(row: tuple[Any, ...]) -> TokenRow:
    sha256, grant_id, use, generation, scopes, created_at, expires_at = row
    held = None if scopes is None else frozenset(orjson.loads(scopes))
    return TokenRow(sha256, grant_id, use, generation, held, created_at, expires_at)
