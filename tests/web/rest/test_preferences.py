"""`Prefer` and `Accept` as values."""

from __future__ import annotations

from typing import Any

import pytest

from localsrv.base.errors import LocalsrvError
from localsrv.model.query import Count
from localsrv.web.rest.media import ARRAY, CSV, JSON, OBJECT, Form, negotiate
from localsrv.web.rest.preferences import NONE, Preferences, Return, parse_preferences


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], {}),
        ([""], {}),
        (["return=representation"], {"returns": Return.REPRESENTATION}),
        (["return=headers-only, count=exact"], {"returns": Return.HEADERS_ONLY, "count": Count.EXACT}),
        (["count=planned", "tx=rollback"], {"count": Count.PLANNED, "rollback": True}),
        (["Return=minimal,return=representation"], {}),
        (["resolution=merge-duplicates"], {"resolution": "merge"}),
        (["resolution=ignore-duplicates,missing=default"], {"resolution": "ignore", "missing_default": True}),
        (["handling=strict,max-affected=5"], {"strict": True, "max_affected": 5}),
        (["max-affected=5"], {}),
        (["handling=lenient,nonsense,return=everything"], {}),
        (["handling=strict,timezone=UTC"], "invalid-preferences"),
        (["handling=strict,max-affected=many"], "invalid-preferences"),
        (["handling=strict", "nonsense"], "invalid-preferences"),
    ],
)
def test_preferences(headers: list[str], expected: Any) -> None:
    if isinstance(expected, str):
        with pytest.raises(LocalsrvError) as caught:
            parse_preferences(headers)
        assert caught.value.code == expected
        return
    found = parse_preferences(headers)
    assert found == Preferences(**expected, applied=found.applied)
    known = ("return", "count", "resolution", "missing", "tx", "handling", "max-affected")
    assert all(token.partition("=")[0] in known for token in found.applied)


def test_nothing_preferred_is_one_value() -> None:
    assert parse_preferences([""]) is NONE


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, Form(JSON)),
        ("", Form(JSON)),
        ("*/*", Form(JSON)),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Form(JSON)),
        ("application/vnd.pgrst.object+json", Form(OBJECT)),
        ("application/vnd.pgrst.object+json;nulls=stripped", Form(OBJECT, True)),
        ("application/vnd.pgrst.array+json; nulls=stripped", Form(ARRAY, True)),
        ("text/csv", Form(CSV)),
        ("text/csv;q=0.2, application/json;q=0.3", Form(JSON)),
        ("text/csv;q=0, application/json", Form(JSON)),
        ("text/csv;q=x", None),
        ("image/png", None),
        ("application/json;q=0", None),
    ],
)
def test_accept(accept: str | None, expected: Form | None) -> None:
    if expected is None:
        with pytest.raises(LocalsrvError) as caught:
            negotiate(accept)
        assert (caught.value.status, caught.value.code) == (406, "not-acceptable")
    else:
        assert negotiate(accept) == expected
