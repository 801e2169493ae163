"""JSON from outside: what is taken, and what is refused rather than bent."""

from __future__ import annotations

import json
from decimal import Decimal
from math import isfinite
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localsrv.base.errors import BadRequest, InvalidValue, LocalsrvError
from localsrv.model.json_text import MAX_NESTING, InexactNumber, dump, parse_json, parse_marking


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.10", 1.1),
        ("0.30000000000000004", 0.30000000000000004),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ('[5e-324, 1e-100, 0e-999, "pre-1e-400", "1e-400"]', [5e-324, 1e-100, 0.0, "pre-1e-400", "1e-400"]),
        ("100000000000000000000000.0", 1e23),
        ('"12345678901234567890123"', "12345678901234567890123"),
        ('["\\\\u0000", "\\"1234567890123456789012"]', ["\\u0000", '"1234567890123456789012']),
        ("[" * MAX_NESTING + "]" * MAX_NESTING, None),
        ('{"a":"[[[[{{{{"}', {"a": "[[[[{{{{"}),
        (json.dumps(["[" * 200]), ["[" * 200]),
        (json.dumps([{"a": [1]}] * 300), [{"a": [1]}] * 300),
    ],
)
def test_taken(text: str, value: Any) -> None:
    found = parse_json(text.encode())
    if value is not None:
        assert found == value
        assert parse_json(dump(found)) == value


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "invalid-json"),
        (b"  ", "invalid-json"),
        (b"{", "invalid-json"),
        (b"NaN", "invalid-json"),
        (b"-Infinity", "invalid-json"),
        (b"1e400", "inexact-number"),
        ('["é", -1e400]'.encode(), "inexact-number"),
        (b"1" * 5000, "inexact-number"),
        (b"1e-400", "inexact-number"),
        (b"0.5E-999999999999999999999", "inexact-number"),
        (b'"\xff"', "invalid-json"),
        (b'"\\ud800"', "invalid-json"),
        (b'{"a":1,}', "invalid-json"),
        (b"[" * 101 + b"]" * 101, "invalid-json"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "invalid-json"),
        (b"[" * 5000 + b"]" * 5000, "invalid-json"),
        (b'["{", ' + b"[" * 101 + b"]" * 101 + b"]", "invalid-json"),
        (b"9223372036854775808", "inexact-number"),
        (b"[-9223372036854775809]", "inexact-number"),
        (b'{"a":18446744073709551616}', "inexact-number"),
        (b"0.1234567890123456789", "inexact-number"),
        (b"123456789012345.123456", "inexact-number"),
        (b'"a\\u0000b"', "nul"),
        (b'{"a":[{"\\u0000":1}]}', "nul"),
    ],
)
def test_refused(data: bytes, code: str) -> None:
    with pytest.raises((BadRequest, InvalidValue)) as caught:
        parse_json(data)
    assert caught.value.code == code
    assert caught.value.message


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"[" * 100_000, "deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "deep"),
        (b'["[[[", ' + b"[]," * 500 + b"x]", "not valid JSON"),
        (b'{"a": 1,\n "b": "\xff"}', "line 2, byte 8"),
        (b"[1" + b"0" * 400 + b"]", "64 bits"),
        (b"[1e400]", "range of a double"),
        (b"[NaN]", "line 1, column 2"),
    ],
)
def test_refusals_say_what_and_where(data: bytes, part: str) -> None:
    with pytest.raises((BadRequest, InvalidValue)) as caught:
        parse_json(data)
    assert part in f"{caught.value.message} {caught.value.details}"


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        parse_json(data)
    except LocalsrvError as error:
        assert error.status == 400


_STRINGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _STRINGS,
    lambda inner: st.lists(inner) | st.dictionaries(_STRINGS, inner),
    max_leaves=20,
)


@given(_JSON)
def test_what_json_can_hold_comes_back_equal(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(dump(value)) == value


def test_inexact_numbers_are_marked_where_they_stand() -> None:
    data = b'[{"a":1},{"b":[123456789012345678901,"123456789012345678901",0.5]},{"c":1.00000000000000000001}]'
    first, second, third = parse_marking(data)
    assert first == {"a": 1} and second["b"][1:] == ["123456789012345678901", 0.5]
    assert isinstance(second["b"][0], InexactNumber) and second["b"][0].text == "123456789012345678901"
    assert isinstance(third["c"], InexactNumber)
    with pytest.raises(orjson.JSONEncodeError):
        orjson.dumps(second)
    assert parse_marking(b'{"rev":"1-12345678901234567890123456789012","n":1}')["n"] == 1


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("100000000000000000000", True),  # 1e20, as JavaScript writes it
        ("123456789012345680000", True),
        ("-123456789012345680000", True),
        ("123456789012345678901", False),
        ("18446744073709551615", False),
        ("9223372036854775807", True),
        ("1" + "0" * 400, False),
    ],
)
def test_whole_numbers_beyond_64_bits_that_a_double_keeps(text: str, is_kept: bool) -> None:
    data = f'{{"n":{text}}}'.encode()
    if is_kept:
        assert parse_json(data, may_be_wide=True)["n"] == int(text) or float(text) == float(int(text))
        assert not isinstance(parse_marking(data)["n"], InexactNumber)
    else:
        with pytest.raises(LocalsrvError):
            parse_json(data, may_be_wide=True)


_SPELLED = st.one_of(
    st.integers(-(10**22), 10**22).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,19})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
_AROUND = st.sampled_from(["", " ", ",", ":", "-", "1-", "[", '"', "\\", "e-400", "\n"])


@given(st.lists(_SPELLED | st.builds(lambda a, n, b: json.dumps(a + n + b), _AROUND, _SPELLED, _AROUND)))
def test_every_number_outside_of_texts_is_looked_at_and_none_inside(parts: list[str]) -> None:
    bad: list[str] = []

    def look(text: str) -> int:
        kept = float(text)
        if text.lstrip("-").isdigit():
            exact = -(2**63) <= int(text) < 2**63
        else:
            exact = isfinite(kept) and Decimal(repr(kept)) == Decimal(text)
        if not exact:
            bad.append(text)
        return 0

    data = f"[{', '.join(parts)}]".encode()
    json.loads(data, parse_int=look, parse_float=look)
    try:
        parse_json(data)
    except InvalidValue:
        assert bad
    else:
        assert not bad
