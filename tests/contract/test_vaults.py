"""What every vault does, asked of each: the desktop's keyring on a real Secret Service, the sealed file, and
the list over both that services use."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from localsrv.base.errors import InvalidValue, LocalsrvError, VaultError
from localsrv.vault import MAX_SECRET, SealedFile
from tests.support.leaks import secret
from tests.support.secret_service import secret_service
from tests.support.vault_crashes import CASES
from tests.support.vault_kinds import Opened, keyring_of, opened

ROOT = Path(__file__).parents[2]
KINDS = ["os_keyring", "sealed_file", "vaults"]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with secret_service(tmp_path_factory.mktemp("session")) as found:
        yield found


@pytest.fixture(params=KINDS)
async def held(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    """A vault without secrets. The keyring is shared by the module, so tests leave nothing in it."""
    if request.param != "os_keyring":
        async with opened(request.param, tmp_path) as made:
            yield made
        return
    if sys.platform != "linux":
        pytest.skip("only on Linux: Secret Service")
    with keyring_of(request.getfixturevalue("session")):
        async with opened(request.param, tmp_path) as made:
            yield made


TEXTS = {
    "one character": "x",
    "what an entry holds": "x" * 1200,
    "one more": "x" * 1201,
    "characters of two units": "\N{KEY}" * 1200,
    "100 kB": "secret " * 14_300,
    "the most": "x" * MAX_SECRET,
    "the most in two bytes each": "é" * (MAX_SECRET // 2),
    "NUL": "a\0b",
    "line breaks": "\r\n-----BEGIN KEY-----\r\n\tabc\n\n",
    "spaces": "  \u00a0 ",
    "composed two ways": "é e\u0301",
    "right to left, joiners, separators": "\u202eאב\u200d\u2028\u2029\ufeff",
    "beyond the base plane": "\N{KEY}\U0010ffff",
    "JSON": '{"entries": {"a": null}}',
    "looks like one that was sealed": "localsrv-sealed 1 ../../x.sealed AAAA",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_a_secret_comes_back_as_it_was(held: Opened, text: str) -> None:
    assert await held.vault.get("a") is None
    await held.vault.set("a", text)
    assert await held.vault.get("a") == text
    assert await (await held.reopened()).get("a") == text, "also at the next start"
    await held.vault.set("a", "short")
    assert await held.vault.get("a") == "short"
    assert held.files() == [], "nothing of a long one stays behind"
    await held.vault.set("a", text)
    assert await held.vault.get("a") == text
    assert await held.vault.delete("a")
    assert await held.vault.get("a") is None
    assert not await held.vault.delete("a")
    assert held.files() == []
    assert held.vault.status.state == "ok"


@pytest.mark.parametrize("text", ["", "\ud800", "x" * (MAX_SECRET + 1), "é" * (MAX_SECRET // 2) + "x"])
async def test_what_is_no_secret_is_refused_and_changes_nothing(held: Opened, text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        await held.vault.set("a", text)
    assert (caught.value.code, await held.vault.get("a")) == ("bad-secret", None)
    await held.vault.set("a", "before")
    with pytest.raises(InvalidValue):
        await held.vault.set("a", text)
    assert await held.vault.get("a") == "before"
    assert await held.vault.delete("a")


NAMES = [
    "a",
    "/",
    "..",
    "../../x",
    "a b",
    " a",
    "é\N{KEY}",
    "x" * 300,
    "quote\"'`$(id)",
    "secret:*:a",
    "%2F",
    "*",
]


async def test_names_are_kept_apart(held: Opened) -> None:
    for name in NAMES:
        await held.vault.set(name, f"of {name}")
        await held.vault.set(f"{name[:299]}+", "x" * 1300)
    for name in NAMES:
        assert await held.vault.get(name) == f"of {name}"
    for name in NAMES:
        assert await held.vault.delete(f"{name[:299]}+")
        assert await held.vault.get(name) == f"of {name}"
        assert await held.vault.delete(name)
    assert held.files() == []


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "\r", "\t", "\x1b[2J", "x" * 301, "\ud800", "a\u2028b"])
async def test_what_is_no_name_is_refused(held: Opened, name: str) -> None:
    for call in (held.vault.get(name), held.vault.set(name, "x"), held.vault.delete(name)):
        with pytest.raises(InvalidValue) as caught:
            await call
        assert caught.value.code == "bad-secret-name"
        assert name == "" or name not in str(caught.value.as_dict())


async def test_two_at_once(held: Opened) -> None:
    texts = ["x" * size for size in (1, 1300, 1400, 2, 1500)]
    await asyncio.gather(
        *(held.vault.set(f"n{at}", text) for at, text in enumerate(texts)),
        *(held.vault.set("same", text) for text in texts),
    )
    for at, text in enumerate(texts):
        assert await held.vault.get(f"n{at}") == text
    assert await held.vault.get("same") in texts
    assert sum(await asyncio.gather(*(held.vault.delete("same") for _ in range(3)))) == 1
    for at in range(len(texts)):
        await held.vault.delete(f"n{at}")
    assert held.files() == []


async def test_a_caller_that_goes_away_undoes_nothing(held: Opened) -> None:
    """Its change is whole, or was not begun; the next one does not run beside it."""
    for turn in range(6):
        going = asyncio.create_task(held.vault.set("a", f"{turn}" * 1300))
        for _ in range(turn):
            await asyncio.sleep(0)
        going.cancel()
        after = "after" * 300
        await held.vault.set("a", after)
        assert await held.vault.get("a") == after
        assert len(held.files()) <= 1
    await held.vault.delete("a")


async def test_a_probe_leaves_nothing(held: Opened) -> None:
    await held.vault.set("a", "x")
    assert (await held.vault.probe()).state == "ok"
    assert await held.vault.get("a") == "x"
    await held.vault.delete("a")


async def test_no_secret_in_errors_logs_or_repr(held: Opened, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "localsrv")
    hidden = secret()
    await held.vault.set("short", hidden)
    await held.vault.set("long", hidden * 100)
    told = [repr(held.vault), repr(held.vault.status), str(vars(held.vault))]
    for refused in (hidden + "\ud800", hidden * 50_000):
        with pytest.raises(LocalsrvError) as caught:
            await held.vault.set("short", refused)
        told += [str(caught.value), repr(caught.value), str(caught.value.as_dict())]
    for file in held.files():  # what is sealed on disk, damaged
        path = held.folder / "large" / file
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(VaultError) as lost:
            await held.vault.get("long")
        told += [str(lost.value), repr(lost.value), str(lost.value.as_dict())]
    if not held.files():
        sealed = held.vault if isinstance(held.vault, SealedFile) else held.vault.sealed  # type: ignore[attr-defined]
        await sealed.lock()
        with pytest.raises(VaultError) as locked:
            await held.vault.get("long")
        told += [str(locked.value), repr(locked.value)]
        await held.reopened()
    told.append(caplog.text)
    assert not [text for text in told if hidden in text]
    on_disk = [file.read_bytes() for file in held.folder.rglob("*") if file.is_file()]
    assert not [content for content in on_disk if hidden.encode() in content]
    await held.vault.delete("short")
    await held.vault.delete("long")


async def test_what_lies_on_the_disk_is_for_the_owner_alone(held: Opened) -> None:
    await held.vault.set("a", "x" * 5000)
    kept = [f for f in held.folder.rglob("*") if f.name.endswith(".sealed")]
    assert kept
    if sys.platform != "win32":
        assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}
        assert {file.parent.stat().st_mode & 0o777 for file in kept} == {0o700}
    assert not [name for file in kept for name in file.parent.iterdir() if name.name.startswith(".")]
    await held.vault.delete("a")


# ── a power cut at every moment ────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: fork, and the Secret Service")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES)
def test_killed_between_any_two_steps(case: str, session: dict[str, str], tmp_path: Path) -> None:
    """The old secret or the new one is there, nothing else is touched, and it can go on."""
    environment = os.environ | session | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTHON_KEYRING_BACKEND", None)
    command = [sys.executable, "-W", "error", "-m", "tests.support.vault_crashes", case, str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    assert int(done.stdout) >= 2, "it died often enough to prove something"
