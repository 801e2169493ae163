"""Values and declared types: what fits, what it becomes, and that the rest is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from localsrv.base.errors import InvalidValue
from localsrv.model.schema import FieldType
from localsrv.model.values import fitted


@pytest.mark.parametrize(
    ("kind", "value", "becomes"),
    [
        ("text", 5, "5"),
        ("text", True, "true"),
        ("integer", "5", 5),
        ("integer", 2.0, 2),
        ("number", "1e3", 1000.0),
        ("decimal", " 12345678901234567890.10 ", "12345678901234567890.10"),
        ("decimal", "1e1000", "1e1000"),
        ("decimal", ".5", ".5"),
        ("boolean", "yes", True),
        ("date", "2024-02-29", "2024-02-29"),
        ("uuid", "{123E4567-E89B-12D3-A456-426614174000}", "123e4567-e89b-12d3-a456-426614174000"),
        ("json", [1, {"a": None}], [1, {"a": None}]),
        ("integer", None, None),
    ],
)
def test_fits(kind: str, value: Any, becomes: Any) -> None:
    found = fitted(FieldType(kind), "f", value)
    assert found == becomes and type(found) is type(becomes)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("uuid", value) for value in (5, 1.5, True, [], {}, "x", "")),
        *(("date", value) for value in (5, [], "2024-02-30", "", "infinity")),
        *(("timestamptz", value) for value in (5, {}, "2024-01-01T25:00:00Z", "now")),
        *(("integer", value) for value in (True, 1.5, [], {}, "x", "٣", 2**63, "9223372036854775808")),
        *(("number", value) for value in (True, [], "x", "nan", "1e400")),
        *(("decimal", value) for value in (True, [], "x", "1_000", "١٢", "NaN", "sNaN", "Infinity", "", ".")),
        # few characters that would be a gigabyte when they are written out
        *(("decimal", value) for value in ("1e999999999", "1e-999999999", "1e99999999999999999999")),
        *(("boolean", value) for value in (1, [], "maybe", "")),
        *(("text", value) for value in ([], {})),
    ],
)
def test_is_refused_and_named(kind: str, value: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        fitted(FieldType(kind), "f", value)
    assert kind in caught.value.message
    assert "`f`" in (caught.value.details or "")


def test_refused_values_are_shown_as_json() -> None:
    with pytest.raises(InvalidValue) as caught:
        fitted(FieldType.INTEGER, "f", True)
    assert '"true"' in caught.value.message
