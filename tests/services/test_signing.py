"""Signed URLs: one path, one grant, not for long."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from localsrv.base.errors import Forbidden
from localsrv.model.scopes import Grant
from localsrv.services.signing import Signer

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


def test_another_process_or_key() -> None:
    with pytest.raises(Forbidden):
        Signer().verify(SEGMENTS, signed(Signer()))
    key = bytes(32)
    assert Signer(key).verify(SEGMENTS, signed(Signer(key))) == "g1"
    with pytest.raises(ValueError, match="32"):
        Signer(b"short")


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
