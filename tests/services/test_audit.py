from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localsrv.model.scopes import Grant
from localsrv.services import audit as events
from localsrv.services.audit import LONGEST_TEXT, MOST_WAITING, SAME_WITHIN_S, Audit
from localsrv.store import audit as store
from localsrv.store.audit import AuditStore
from localsrv.store.system import System

GRANT = Grant("abc", "phone", "shop", frozenset({"*:read"}), "http://localhost:5173")


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    opened = await System.open(tmp_path / "system.db")
    yield opened
    await opened.close()


async def test_what_is_noted_is_read_at_once_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    system = await System.open(path)
    audit = Audit(AuditStore(system), Clock())
    audit.note(events.GRANT_CREATED, grant=GRANT, subject="abc", details={"scopes": "*:read", "days": 3})
    audit.note(events.SIGN_IN_FAILED, origin="http://evil.example")
    [failed, created] = await audit.page()
    assert (failed.event, failed.origin, failed.grant_id) == ("sign-in-failed", "http://evil.example", None)
    assert (created.who, created.app, created.origin) == ("phone", "shop", "http://localhost:5173")
    assert (created.at, created.count, created.details) == (1_800_000_000, 1, {"scopes": "*:read", "days": 3})
    audit.note(events.GRANT_REVOKED, grant=GRANT)
    await audit.close()
    await system.close()

    system = await System.open(path)
    found = await AuditStore(system).page()
    assert [e.event for e in found] == ["grant-revoked", "sign-in-failed", "grant-created"]
    await system.close()


async def test_it_is_written_without_being_read(system: System) -> None:
    written = asyncio.Event()

    class Watched(AuditStore):
        async def add(self, entries: object) -> None:
            await super().add(entries)  # type: ignore[arg-type]
            written.set()

    Audit(Watched(system)).note(events.SIGN_IN)
    async with asyncio.timeout(10):
        await written.wait()
    assert len(await AuditStore(system).page()) == 1


async def test_the_same_thing_again_only_counts(system: System) -> None:
    clock = Clock()
    audit = Audit(AuditStore(system), clock)
    for second in range(50):
        clock.now += 1 if second else 0
        audit.note(events.SIGN_IN_FAILED, origin="http://evil.example")
    audit.note(events.SIGN_IN_FAILED, origin="http://other.example")
    found = await audit.page()
    assert [(e.origin, e.count, e.until - e.at) for e in found] == [
        ("http://other.example", 1, 0),
        ("http://evil.example", 50, 49),
    ]
    clock.now += SAME_WITHIN_S
    audit.note(events.SIGN_IN_FAILED, origin="http://evil.example")
    assert len(await audit.page()) == 3
    await audit.close()


async def test_a_clock_that_goes_back_hides_nothing(system: System) -> None:
    clock = Clock()
    audit = Audit(AuditStore(system), clock)
    audit.note(events.SIGN_IN)
    await audit.page()
    clock.now -= 7200
    audit.note(events.SIGN_IN)
    found = await audit.page()
    assert [e.at for e in found] == [1_800_000_000 - 7200, 1_800_000_000]
    await audit.close()


async def test_long_and_unprintable_texts_are_tamed(system: System) -> None:
    audit = Audit(AuditStore(system))
    audit.note(events.REQUEST_MADE, origin="x" * 5000, subject="a\x1b[31m\nb", details={"name": "\0" * 3})
    [entry] = await audit.page()
    assert entry.origin is not None
    assert len(entry.origin) == LONGEST_TEXT
    assert entry.subject == "a\ufffd[31m\ufffdb"
    assert entry.details == {"name": "\ufffd" * 3}


async def test_a_flood_of_different_entries_is_bounded(system: System) -> None:
    audit = Audit(AuditStore(system))
    for number in range(MOST_WAITING + 10):
        audit.note(events.SIGN_IN_FAILED, origin=f"http://{number}.example")
    assert len(await audit.page(limit=2 * MOST_WAITING)) == MOST_WAITING


async def test_the_oldest_go_when_there_are_too_many(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEPT", 3)
    audit = Audit(AuditStore(system))
    for number in range(5):
        audit.note(events.SIGN_IN, subject=str(number))
    assert [e.subject for e in await audit.page()] == ["4", "3", "2"]


async def test_what_anybody_can_cause_pushes_nothing_else_out(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program without a token, which forges an Origin a time, must not empty the log of what it did."""
    monkeypatch.setattr(store, "KEPT_OF_ANYBODY", 3)
    monkeypatch.setattr(store, "KEPT", 5)
    audit = Audit(AuditStore(system), Clock())
    audit.note(events.GRANT_CREATED, grant=GRANT)
    anybodys = (
        events.SIGN_IN_FAILED, events.CODE_FAILED, events.REQUEST_MADE, events.REQUEST_MUTED,
        events.REQUEST_EXPIRED,
    )  # fmt: skip
    for number in range(10):
        audit.note(anybodys[number % len(anybodys)], origin=f"http://{number}.example")
        await audit.page()
    audit.note(events.GRANT_REVOKED, grant=GRANT)
    found = await audit.page()
    assert [e.event for e in found if e.grant_id] == ["grant-revoked", "grant-created"]
    assert [e.origin for e in found if not e.grant_id] == [f"http://{n}.example" for n in (9, 8, 7)]
    assert set(anybodys) == set(store.OF_ANYBODY)
    await audit.close()


async def test_a_disk_that_refuses_loses_no_entry(system: System, tmp_path: Path) -> None:
    audit = Audit(AuditStore(system), Clock())
    await system.run(lambda c: c.execute("ALTER TABLE audit RENAME TO elsewhere"))
    audit.note(events.SIGN_IN, subject="kept")
    with pytest.raises(Exception, match="audit"):
        await audit.page()
    await system.run(lambda c: c.execute("ALTER TABLE elsewhere RENAME TO audit"))
    audit.note(events.SIGN_IN, subject="kept")
    assert [(e.subject, e.count) for e in await audit.page()] == [("kept", 2)]
