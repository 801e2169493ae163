"""JSON Schemas: what they refuse and say, and that neither a pattern nor a reference reaches beyond them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from localsrv.base.errors import ConfigError, SchemaViolation
from localsrv.store.json_schema import checker


@pytest.mark.parametrize(
    ("schema", "good", "bad", "part"),
    [
        ({"required": ["a"]}, {"a": 1}, {}, "'a' is a required property"),
        ({"properties": {"a": {"pattern": "^x+$"}}}, {"a": "xx"}, {"a": "xx\n"}, "does not match '^x+$'"),
        ({"properties": {"a": {"pattern": "[a-z]"}}}, {"a": "1b"}, {"a": "5"}, "does not match"),
        ({"patternProperties": {"^n_": {"type": "integer"}}}, {"n_a": 1, "b": "x"}, {"n_a": "x"}, "integer"),
        (
            {"patternProperties": {"^n_": {}}, "additionalProperties": False},
            {"n_a": 1},
            {"m_a": 1},
            "must not contain",
        ),
        ({"properties": {"a": {"format": "date"}}}, {"a": "2024-01-02"}, {"a": "2024-01-0x"}, "a"),
        ({"properties": {"a": {"format": "email"}}}, {"a": "a@b.c"}, {"a": "a"}, "a"),
        ({"properties": {"a": {"format": "uri"}}}, {"a": "http://b.c/"}, {"a": "a b"}, "a"),
    ],
)
def test_checks_and_explains(schema: dict[str, Any], good: Any, bad: Any, part: str) -> None:
    check = checker(schema)
    check(good)
    with pytest.raises(SchemaViolation) as caught:
        check(bad)
    assert part in caught.value.message


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
        {"patternProperties": {"^(a+)+$": False}, "additionalProperties": {"type": "integer"}},
        {"propertyNames": {"pattern": "^(a|a)*$"}},
        {"properties": {"a": {"format": "email"}}},
    ],
)
def test_no_pattern_hangs(schema: dict[str, Any]) -> None:
    hostile = "a@" + "a." * 20_000 + "@" if "email" in str(schema) else "a" * 20_000 + "!"
    begun = time.process_time()
    with pytest.raises(SchemaViolation):
        checker(schema)({"a": hostile, hostile: "x"})
    assert time.process_time() - begun < 5, "Python's re would take years"


@pytest.mark.parametrize(
    "reference",
    ["http://127.0.0.1:1/x.json", "https://x.example/x.json", "file:///etc/hostname", "ftp://x/x", "x.json"],
)
def test_references_stay_inside(reference: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checker({"properties": {"a": {"$ref": reference}}})
    assert "only references inside" in caught.value.message


@pytest.mark.parametrize(
    "schema", [{"type": "nope"}, {"properties": {"a": {"pattern": "("}}}, {"minimum": []}]
)
def test_a_wrong_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        checker(schema)


@pytest.mark.parametrize("pattern", ["(?=a)", r"(a)\1"])
def test_patterns_are_of_re2(pattern: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checker({"properties": {"a": {"pattern": pattern}}})
    assert pattern in caught.value.message and "RE2" in (caught.value.hint or "")


def test_a_schema_that_never_ends_is_a_refusal() -> None:
    with pytest.raises(SchemaViolation):
        checker({"$ref": "#"})({})
