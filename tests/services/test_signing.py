"""Signed URLs: one path, one grant, not for long."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from localsrv.base.errors import Forbidden
from localsrv.model.scopes import Grant
from localsrv.services.signing import Signer
from tests.support.vaults import MemoryVault

GRANT = Grant("g1", "page", "shop", frozenset({"*:read"}))
SEGMENTS = ["api", "v1", "a/b", "é ü.jpg"]


def signed(signer: Signer, seconds: int = 60) -> dict[str, str]:
    url = urlsplit(signer.sign(SEGMENTS, GRANT, seconds))
    assert url.path == "/api/v1/a%2Fb/%C3%A9%20%C3%BC.jpg"
    return dict(parse_qsl(url.query))


def test_a_signed_url_names_its_grant() -> None:
    signer = Signer()
    assert signer.verify(SEGMENTS, signed(signer)) == "g1"


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "0" * 64},
        {"signature": "é"},
        {"signature": ""},
        {"key": "g2"},
        {"expires": "9999999999"},
        {"expires": ""},
    ],
)
def test_forgeries(change: dict[str, str]) -> None:
    signer = Signer()
    with pytest.raises(Forbidden):
        signer.verify(SEGMENTS, {**signed(signer), **change})


@pytest.mark.parametrize(
    "segments", [["api", "v1", "a", "b", "é ü.jpg"], ["api", "v1", "a/b"], ["api", "v1", "a/b/é ü.jpg"], []]
)
def test_another_path(segments: list[str]) -> None:
    signer = Signer()
    with pytest.raises(Forbidden):
        signer.verify(segments, signed(signer))


async def test_the_key_is_made_in_the_vault_and_outlives_the_process() -> None:
    vault = MemoryVault()
    first, later, elsewhere = Signer(vault), Signer(vault), Signer(MemoryVault())
    assert vault.secrets == {}, "nothing is asked of the vault before the first need"
    for signer in (first, later, elsewhere):
        await signer.ready()
    assert set(vault.secrets) == {"signing-key"}
    assert later.verify(SEGMENTS, signed(first)) == "g1"
    with pytest.raises(Forbidden):
        elsewhere.verify(SEGMENTS, signed(first))


async def test_without_a_vault_the_key_is_the_process_own_and_stays_good() -> None:
    vault = MemoryVault()
    vault.is_absent = True
    signer, other = Signer(vault), Signer()
    await signer.ready()
    before = signed(signer)
    vault.is_absent = False
    await signer.ready()
    assert vault.secrets == {}, "a vault that failed is left in peace"
    signer.retry()
    await signer.ready()
    assert set(vault.secrets) == {"signing-key"}
    assert signer.verify(SEGMENTS, before) == signer.verify(SEGMENTS, signed(signer)) == "g1"
    with pytest.raises(Forbidden):
        other.verify(SEGMENTS, before)


@pytest.mark.parametrize("broken", ["", "short", "not base64!", "ünïcode", "A" * 400])
async def test_what_is_no_key_is_replaced(broken: str) -> None:
    vault = MemoryVault()
    vault.secrets["signing-key"] = broken
    signer = Signer(vault)
    await signer.ready()
    assert vault.secrets["signing-key"] != broken
    assert signer.verify(SEGMENTS, signed(signer)) == "g1"


def test_time() -> None:
    now = [1000.0]
    signer = Signer(clock=lambda: now[0])
    query = signed(signer, 60)
    now[0] = 1059.9
    assert signer.verify(SEGMENTS, query) == "g1"
    now[0] = 1060.0
    with pytest.raises(Forbidden):
        signer.verify(SEGMENTS, query)
    assert signed(signer, 10**9)["expires"] == str(1060 + 3600)
