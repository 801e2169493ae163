"""One-time codes: one use, and not for long."""

from __future__ import annotations

import pytest

from localsrv.base.errors import Forbidden
from localsrv.services import codes as module
from localsrv.services.codes import Codes


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_code_works_once() -> None:
    codes = Codes()
    code = codes.create("shop")
    assert codes.redeem(code).app == "shop"
    with pytest.raises(Forbidden):
        codes.redeem(code)
    assert codes.redeem(codes.create(None)).app is None


@pytest.mark.parametrize(("waited", "works"), [(119.9, True), (120.0, False)])
def test_a_code_lives_two_minutes(waited: float, works: bool) -> None:
    clock = Clock()
    codes = Codes(clock)
    code = codes.create("shop")
    clock.now = waited
    if works:
        assert codes.redeem(code).app == "shop"
    else:
        with pytest.raises(Forbidden):
            codes.redeem(code)


@pytest.mark.parametrize("code", ["", "x", "\ud800", "é"])
def test_unknown_codes(code: str) -> None:
    with pytest.raises(Forbidden):
        Codes().redeem(code)


def test_many_codes_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CODES", 3)
    codes = Codes()
    made = [codes.create("shop") for _ in range(5)]
    assert len(codes._codes) == 3
    with pytest.raises(Forbidden):
        codes.redeem(made[0])
    assert codes.redeem(made[-1]).app == "shop"
