"""Dates and times as texts that sort by time: what a column holds and what a filter's literal becomes.

A document keeps what its client wrote (`1996-07-04 00:00:00`, `…T10:00:00+02:00`); only the column beside it
is brought to one form, and a literal to the same, so that texts compare as moments do.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from types import MappingProxyType

from localsrv.model.schema import FieldType


def _date(text: str) -> str:
    return datetime.datetime.fromisoformat(text).date().isoformat()


def _time(text: str) -> str:
    return datetime.time.fromisoformat(text).isoformat()


def _timestamp(text: str) -> str:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=None).isoformat()


def _instant(text: str) -> str:
    # `+00:00` and not `Z`: `+` sorts before the `.` of a fraction, so 10:00:00 stays before 10:00:00.5.
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.isoformat() + "+00:00"
    return moment.astimezone(datetime.UTC).isoformat()


SORTABLE: Mapping[FieldType, Callable[[str], str]] = MappingProxyType(
    {
        FieldType.DATE: _date,
        FieldType.TIME: _time,
        FieldType.TIMESTAMP: _timestamp,
        FieldType.TIMESTAMPTZ: _instant,
    }
)
"""Each raises ValueError or OverflowError for a text that is not of its type.

`timestamptz` becomes UTC (without an offset UTC is meant, as in PostgREST); `timestamp` drops an offset, as
PostgreSQL does; a `date` drops the time.
"""


def sortable(kind: FieldType, text: str) -> str:
    """A stored text in its type's sortable form; one that is not of the type stays as it is."""
    try:
        return SORTABLE[kind](text)
    except (ValueError, OverflowError):
        return text
