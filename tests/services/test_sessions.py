"""Cookies of the sync face's own port: what they stand for, and when they end."""

from __future__ import annotations

from pathlib import Path

import pytest

from localsrv.services.grants import Grants, new_token
from localsrv.services.sessions import SECONDS, Sessions
from localsrv.store.system import System


async def test_a_cookie_stands_for_a_grant_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = await System.open(tmp_path / "system.db")
    grants = await Grants.open(system, new_token())
    sessions = Sessions(grants)
    owner = grants.by_id("owner")
    assert owner is not None
    value = sessions.make(owner)
    assert sessions.find(value) == owner == sessions.find(f'"{value}"')
    ident, until, proof = value.split(":")
    forged = [
        "", "x", ":", "::", value[:-1], value + "0", f"{ident}:{until}", f"{ident}:{int(until) + 1}:{proof}",
        f"other:{until}:{proof}", f"{ident}:{until}:ä", "ä:1:2",
    ]  # fmt: skip
    assert [sessions.find(text) for text in forged] == [None] * len(forged)
    assert Sessions(grants).find(value) is None  # another process
    now = int(until) - SECONDS
    monkeypatch.setattr("localsrv.services.sessions.time.time", lambda: now + SECONDS + 1)
    assert sessions.find(value) is None
    await grants.close()
    await system.close()
