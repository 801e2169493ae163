"""Dates and times in forms that sort."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localsrv.model.moments import sortable
from localsrv.model.schema import FieldType as F


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (F.DATE, "2024-01-02", "2024-01-02"),
        (F.DATE, "20240102", "2024-01-02"),
        (F.DATE, "2024-01-02 10:00:00", "2024-01-02"),
        (F.TIME, "08:05", "08:05:00"),
        (F.TIMESTAMP, "1996-07-04 00:00:00", "1996-07-04T00:00:00"),
        (F.TIMESTAMP, "1996-07-04", "1996-07-04T00:00:00"),
        (F.TIMESTAMP, "1996-07-04T00:00:00+05:00", "1996-07-04T00:00:00"),
        (F.TIMESTAMPTZ, "2026-01-02T10:00:00+02:00", "2026-01-02T08:00:00+00:00"),
        (F.TIMESTAMPTZ, "2026-01-02T10:00:00Z", "2026-01-02T10:00:00+00:00"),
        (F.TIMESTAMPTZ, "2026-01-02 10:00", "2026-01-02T10:00:00+00:00"),
        (F.TIMESTAMPTZ, "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        (F.DATE, "tomorrow", "tomorrow"),
        (F.TIMESTAMP, "", ""),
    ],
)
def test_sortable(kind: F, text: str, expected: str) -> None:
    assert sortable(kind, text) == expected


_MOMENTS = st.datetimes(
    min_value=datetime.datetime(2, 1, 1),
    max_value=datetime.datetime(9998, 1, 1),
    timezones=st.timezones(no_cache=True) | st.just(datetime.UTC),
)


@given(_MOMENTS, _MOMENTS)
def test_instants_sort_as_time_does(left: datetime.datetime, right: datetime.datetime) -> None:
    texts = [sortable(F.TIMESTAMPTZ, m.isoformat()) for m in (left, right)]
    assert (texts[0] < texts[1]) == (left.astimezone(datetime.UTC) < right.astimezone(datetime.UTC))
