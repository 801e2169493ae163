"""Grants on a real system file: they outlive the process, end when told to, and leak nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from localsrv.base.errors import NotFound
from localsrv.services import grants as module
from localsrv.services.grants import Grants, new_token
from localsrv.store.system import System

READ = frozenset({"*:read"})


async def reopened(path: Path, owner: str = "owner-token") -> tuple[System, Grants]:
    system = await System.open(path)
    return system, await Grants.open(system, owner)


def test_tokens_hold_256_bits() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(t.startswith("lsk_") and len(t) == 4 + 43 for t in tokens)


async def test_a_grant_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    system, grants = await reopened(path)
    token, made = await grants.create("page", "shop", READ, origin="http://a.example")
    assert grants.find(token) == made
    assert grants.holds("http://a.example")
    await grants.close()
    await system.close()
    assert token.encode() not in path.read_bytes()

    system, grants = await reopened(path)
    found = grants.find(token)
    assert found is not None
    assert found.last_used_at is not None, "its use was written when the server left"
    assert (found.id, found.app, found.scopes, found.origin) == (made.id, "shop", READ, "http://a.example")
    await grants.revoke(made.id)
    assert grants.find(token) is None
    assert grants.by_id(made.id) is None
    assert not grants.holds("http://a.example")
    await grants.close()
    await system.close()

    system, grants = await reopened(path)
    assert grants.find(token) is None
    assert grants.all() == []
    await system.close()


async def test_the_owners_token_is_in_no_file(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    system, grants = await reopened(path, "first-owner")
    owner = grants.find("first-owner")
    assert owner is not None
    assert owner.allows(None, "admin")
    assert grants.all() == []
    with pytest.raises(NotFound):
        await grants.revoke(owner.id)
    await grants.close()
    await system.close()
    system, grants = await reopened(path, "second-owner")
    assert grants.find("first-owner") is None
    await system.close()


async def test_expired_grants_are_refused_and_then_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "system.db"
    system, grants = await reopened(path)
    token, made = await grants.create("page", "shop", READ, origin="http://a.example", expires_in=60)
    monkeypatch.setattr(module.time, "time", lambda: made.created_at + 60.0)
    assert grants.find(token) is None
    assert grants.by_id(made.id) is None
    assert not grants.holds("http://a.example")
    await grants.close()
    await system.close()
    system, grants = await reopened(path)
    assert await grants.store.all() == []
    await system.close()


async def test_watchers_learn_of_the_end_once(tmp_path: Path) -> None:
    system, grants = await reopened(tmp_path / "system.db")
    token, made = await grants.create("page", "shop", READ)
    _, other = await grants.create("page", "other", READ)
    ended: list[str] = []
    with grants.watch(made, lambda: ended.append("a")), grants.watch(made, lambda: ended.append("b")):
        with grants.watch(made, lambda: ended.append("left before")):
            pass
        await grants.revoke(other.id)
        assert ended == []
        await grants.revoke(made.id)
        assert ended == ["a", "b"]
    assert grants.find(token) is None
    await system.close()


async def test_use_is_written_only_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, grants = await reopened(tmp_path / "system.db")
    token, made = await grants.create("page", "shop", READ)
    written: list[dict[str, int]] = []

    async def touch(used: dict[str, int]) -> None:
        written.append(dict(used))

    monkeypatch.setattr(grants.store, "touch", touch)
    for _ in range(100):
        grants.find(token)
    await asyncio.sleep(0)
    assert written == []
    later = made.created_at + 2.0 * module.TOUCH_SECONDS
    monkeypatch.setattr(module.time, "time", lambda: later)
    for _ in range(100):
        grants.find(token)
    await grants.close()
    assert written[0] == {made.id: int(later)}
    assert len(written) <= 2
    assert grants.all()[0].last_used_at == int(later)
    await system.close()


async def test_removing_an_app_ends_its_grants(tmp_path: Path) -> None:
    system, grants = await reopened(tmp_path / "system.db")
    gone, _ = await grants.create("page", "shop", READ, origin="http://a.example")
    kept, _ = await grants.create("page", "*", READ)
    grants.forget_app("shop")
    assert grants.find(gone) is None
    assert not grants.holds("http://a.example")
    assert grants.find(kept) is not None
    await system.close()
