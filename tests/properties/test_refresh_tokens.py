"""Refresh tokens in the hands of a client whose answers get lost, and of a thief who copied some of them.

Whatever happens in whatever order: there is one successor at a time, a client that is alone is never locked
out, and of two who go on with what came of one token, not both can.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from localsrv.services.audit import Audit
from localsrv.services.grants import Grants
from localsrv.services.tokens import Issued, RefusedToken, Tokens
from localsrv.store.audit import AuditStore
from localsrv.store.system import System

STEPS = st.lists(
    st.sampled_from(["refresh", "lose", "use", "steal", "thief refreshes", "thief uses"]), max_size=14
)


@dataclass
class Party:
    """Somebody with a pair of tokens. `refusals` counts how often its refresh token was refused."""

    pair: Issued | None = None
    refusals: int = 0

    async def refresh(self, tokens: Tokens, *, is_lost: bool = False) -> None:
        if self.pair is None or self.pair.refresh is None:
            return
        try:
            issued = await tokens.refresh(self.pair.refresh)
        except RefusedToken:
            self.refusals += 1
            return
        if not is_lost:
            self.pair = issued

    def use(self, grants: Grants) -> bool:
        return self.pair is not None and grants.find(self.pair.access) is not None


async def play(folder: Path, steps: list[str]) -> None:
    system = await System.open(folder / "system.db")
    audit = Audit(AuditStore(system))
    grants = await Grants.open(system, "owner", audit)
    tokens = Tokens(grants, audit)
    client, thief = Party(await tokens.pair("x", "shop", frozenset({"*:read"}), origin=None)), Party()
    for step in steps:
        match step:
            case "refresh" | "lose":
                await client.refresh(tokens, is_lost=step == "lose")
            case "use":
                client.use(grants)
            case "steal":
                thief = Party(client.pair)
            case "thief refreshes":
                await thief.refresh(tokens)
            case "thief uses":
                thief.use(grants)
        await grants.close()  # what is written later is written now
        live = await system.run(
            lambda c: c.execute(
                "SELECT count(*), count(DISTINCT generation) FROM tokens"
                " WHERE use = 'refresh' AND spent_at IS NULL"
            ).fetchone()
        )
        assert live[0] == live[1] <= 2, "one successor, and the one that it came from"
    if "steal" not in steps:
        assert client.refusals == 0
        await client.refresh(tokens)
        assert client.use(grants), "a client that is alone is never locked out"
    else:
        # both go on, one after the other: two cannot live on the same tokens
        for party in (client, thief, client, thief):
            await party.refresh(tokens)
            party.use(grants)
        assert not (client.use(grants) and thief.use(grants))
    await grants.close()
    await audit.close()
    await system.close()


@settings(deadline=None)
@given(STEPS)
def test_one_lives_on_and_never_two(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), steps))
