"""Grants and tokens on disk: files of older versions, all or nothing, and how refresh tokens turn."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from localsrv.base.errors import StorageError
from localsrv.model.scopes import Grant
from localsrv.services.grants import Grants, token_digest
from localsrv.store.driver import sqlite3
from localsrv.store.grants import KEPT_SPENT, GrantStore, Known, Rotation, TokenRow
from localsrv.store.system import System

PAIRED = Grant("g1", "Notes", "shop", frozenset({"b:read", "a:read"}), "http://a.example", 10, 9999,
               kind="paired", program="Notes 2")  # fmt: skip


def digest(name: str) -> bytes:
    return token_digest(name)


def access(name: str, grant: str = "", expires_at: int | None = 500) -> TokenRow:
    return TokenRow(digest(name), grant, "access", created_at=10, expires_at=expires_at)


def refresh(name: str, grant: str = "", expires_at: int | None = 5000) -> TokenRow:
    return TokenRow(digest(name), grant, "refresh", created_at=10, expires_at=expires_at)


async def test_a_file_of_the_version_before_keeps_its_keys_and_pages(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    folder = resources.files("localsrv.store") / "sql" / "system"
    connection = sqlite3.connect(path)
    for name in ("0001-grants-and-apps.sql", "0002-replications.sql"):
        connection.executescript((folder / name).read_text("utf-8"))
    rows = [
        ("k1", digest("key"), "my key", "*", '["*:read"]', None, 5, 7, None),
        ("p1", digest("page"), "page shop.localhost:4680", "shop", '["*:read","*:write"]',
         "http://shop.localhost:4680", 6, None, 99_999_999_999),
        ("k2", digest("bound"), "page of mine", "shop", '["*:read"]', "http://localhost:1", 7, None, None),
    ]  # fmt: skip
    connection.executemany(
        "INSERT INTO grants (id, token_sha256, name, app, scopes, origin, created_at, last_used_at,"
        " expires_at) VALUES (?,?,?,?,?,?,?,?,?)",
        rows,
    )
    connection.execute("INSERT INTO apps VALUES ('shop', 'Shop', NULL, 1, 1)")
    connection.execute("PRAGMA user_version = 2")
    connection.commit()
    connection.close()

    system = await System.open(path)
    grants = await Grants.open(system, "owner")
    assert [(g.id, g.kind, g.name, g.app, g.origin, g.created_at, g.last_used_at) for g in grants.all()] == [
        ("k1", "key", "my key", "*", None, 5, 7),
        ("p1", "page", "page shop.localhost:4680", "shop", "http://shop.localhost:4680", 6, None),
        ("k2", "key", "page of mine", "shop", "http://localhost:1", 7, None),
    ]
    for token, ident in (("key", "k1"), ("page", "p1"), ("bound", "k2")):
        found = grants.find(token)
        assert found is not None and found.id == ident
    assert [app.id for app in await system.apps()] == ["shop"]
    await grants.revoke("k1")
    await system.delete_app("shop")
    assert await grants.store.all() == []
    assert await system.run(lambda c: c.execute("SELECT count(*) FROM tokens").fetchone()) == (0,)
    await grants.close()
    await system.close()
    assert list(tmp_path.glob("system.before-*.db"))


async def test_grants_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    system = await System.open(path)
    store = GrantStore(system)
    public = Grant("g2", "page", "shop", frozenset({"a:read"}), created_at=11, kind="publishable")
    await store.add(PAIRED, [access("a", "g1"), refresh("r", "g1")])
    await store.add(public, [access("lsp_x", "g2", None)], "lsp_x")
    await store.touch({"g1": 15, "unknown": 1})
    await system.close()

    system = await System.open(path)
    store = GrantStore(system)
    assert await store.all() == [
        Known(PAIRED.used(15), (access("a", "g1"),)),
        Known(public, (access("lsp_x", "g2", None),), "lsp_x"),
    ]
    assert await store.owner_of(digest("r")) == "g1"
    assert await store.owner_of(digest("a")) is None
    await store.delete(["g1", "unknown"])
    assert await store.owner_of(digest("r")) is None
    await system.close()


async def test_ordinary_tools_read_it(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    system = await System.open(path)
    await GrantStore(system).add(PAIRED, [access("a", "g1")])
    await system.close()
    connection = sqlite3.connect(path)
    row = connection.execute(
        "SELECT grants.scopes, sha256 FROM grants JOIN tokens ON grant_id = id"
    ).fetchone()
    assert row == ('["a:read","b:read"]', digest("a"))
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


BAD_ROWS = [
    ("the same token", PAIRED, [access("taken", "g1")]),
    ("twice the same", PAIRED, [access("b", "g1"), refresh("b", "g1")]),
    ("no digest", PAIRED, [TokenRow(b"short", "g1")]),
    ("another's token", PAIRED, [access("b", "g3")]),
]


@pytest.mark.parametrize(("name", "grant", "tokens"), BAD_ROWS, ids=[row[0] for row in BAD_ROWS])
async def test_a_failed_change_changes_nothing(
    tmp_path: Path, name: str, grant: Grant, tokens: list[TokenRow]
) -> None:
    system = await System.open(tmp_path / "system.db")
    store = GrantStore(system)
    await store.add(Grant("g0", "first", "*", frozenset({"admin"})), [access("taken", "g0")])
    with pytest.raises(StorageError):
        await store.add(grant, tokens)
    assert [known.grant.id for known in await store.all()] == ["g0"]
    await system.close()


async def opened(tmp_path: Path) -> tuple[System, GrantStore]:
    system = await System.open(tmp_path / "system.db")
    store = GrantStore(system)
    await store.add(PAIRED, [access("a0", "g1"), refresh("r0", "g1")])
    return system, store


async def live(store: GrantStore) -> set[bytes]:
    return {row.sha256 for known in await store.all() for row in known.tokens}


async def test_a_refresh_gives_the_next_generation(tmp_path: Path) -> None:
    system, store = await opened(tmp_path)
    done = await store.rotate(digest("r0"), access("a1"), refresh("r1"), 20)
    assert done == Rotation("renewed", "g1", 1)
    assert await live(store) == {digest("a0"), digest("a1")}, "requests under way keep the older one"
    await store.confirm("g1", 1, 21)
    assert await store.rotate(digest("r0"), access("x"), refresh("y"), 22) == Rotation("spent", "g1")
    done = await store.rotate(digest("r1"), access("a2"), refresh("r2"), 23)
    assert done == Rotation("renewed", "g1", 2, (digest("a0"),))
    assert await live(store) == {digest("a1"), digest("a2")}
    assert await store.rotate(digest("r0"), access("x"), refresh("y"), 24) == Rotation("spent", "g1")
    assert await store.rotate(digest("a2"), access("x"), refresh("y"), 24) == Rotation("unknown")
    await system.close()


async def test_a_lost_answer_is_given_anew_and_the_lost_tokens_end(tmp_path: Path) -> None:
    system, store = await opened(tmp_path)
    await store.rotate(digest("r0"), access("lost"), refresh("lost too"), 20)
    done = await store.rotate(digest("r0"), access("a1"), refresh("r1"), 21)
    assert done == Rotation("renewed", "g1", 1, (digest("lost"),))
    assert await live(store) == {digest("a0"), digest("a1")}
    spent = await store.rotate(digest("lost too"), access("x"), refresh("y"), 22)
    assert spent == Rotation("spent", "g1")
    # using the next refresh token proves as much as using the access token
    assert (await store.rotate(digest("r1"), access("a2"), refresh("r2"), 23)).outcome == "renewed"
    assert (await store.rotate(digest("r0"), access("x"), refresh("y"), 24)).outcome == "spent"
    await system.close()


async def test_a_refresh_token_ends_when_it_was_not_used_for_long(tmp_path: Path) -> None:
    system, store = await opened(tmp_path)
    assert await store.rotate(digest("r0"), access("x"), refresh("y"), 5000) == Rotation("unknown", "g1")
    assert (await store.rotate(digest("r0"), access("x"), refresh("y"), 4999)).outcome == "renewed"
    await system.close()


async def test_what_can_never_be_used_again_is_deleted(tmp_path: Path) -> None:
    system, store = await opened(tmp_path)  # access until 500, refresh until 5000, all of it until 9999
    await store.add(Grant("g2", "key", "*", frozenset({"admin"})), [access("k", "g2", None)])
    await store.add(Grant("g3", "key", "*", frozenset({"admin"}), expires_at=50), [access("l", "g3", None)])
    left = []
    for now in (49, 50, 4999, 5000):
        await store.delete_ended(now)
        left.append(sorted(known.grant.id for known in await store.all()))
    assert left == [["g1", "g2", "g3"], ["g1", "g2"], ["g1", "g2"], ["g2"]]
    await system.close()


async def test_what_is_remembered_of_spent_tokens_is_bounded(tmp_path: Path) -> None:
    system, store = await opened(tmp_path)
    rows = [(digest(f"old {n}"), n) for n in range(KEPT_SPENT + 50)]
    await system.transaction(
        lambda c: c.executemany(
            "INSERT INTO tokens (sha256, grant_id, use, generation, created_at, spent_at)"
            " VALUES (?, 'g1', 'refresh', -?, 1, 2)",
            rows,
        )
    )
    assert (await store.rotate(digest("r0"), access("a"), refresh("r1"), 20)).outcome == "renewed"
    count = await system.run(
        lambda c: c.execute("SELECT count(*) FROM tokens WHERE spent_at IS NOT NULL").fetchone()[0]
    )
    assert count == KEPT_SPENT
    assert (await store.rotate(digest("old 0"), access("x"), refresh("y"), 20)).outcome == "spent"
    await system.close()
