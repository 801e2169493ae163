"""Mango selectors in memory: their normal form, their errors, and what every operator means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localsrv.model.mango_errors import MangoError
from localsrv.model.mango_order import order_key
from localsrv.model.selector import field_name, parse_selector
from localsrv.model.selector_match import place_of
from localsrv.model.selector_parse import parse_field

# ── meaning ────────────────────────────────────────────────────────────────────────────────────────────────

DOCUMENT: dict[str, Any] = {
    "_id": "d",
    "_rev": "1-a",
    "null": None,
    "no": False,
    "yes": True,
    "zero": 0,
    "seven": 7,
    "minus": -7,
    "half": 0.5,
    "whole": 2.0,
    "text": "abc",
    "empty": "",
    "array": [1, "x", None, [1, 2], {"a": 1, "b": [5]}],
    "none": [],
    "numbers": [80, 85.0, 90],
    "object": {"a": 1, "b": {"c": "deep"}},
    "hollow": {},
    "with.dot": 1,
    "$peso": 2,
}

HOLDS: list[tuple[str, list[Any], list[Any]]] = [
    # field, conditions that hold, conditions that do not
    ("null", [None, {"$eq": None}, {"$lt": False}, {"$gte": None}], [False, 0, {"$gt": None}, {"$lt": None}]),
    ("no", [False, {"$gt": None}, {"$lt": True}, {"$lte": False}], [0, None, {"$gt": 0}, {"$eq": True}]),
    ("yes", [True, {"$gt": False}, {"$lt": -5}], [1, {"$gte": 0}]),
    ("zero", [0, 0.0, -0.0, {"$gt": True}, {"$lt": ""}, {"$gte": 0}], [False, None, {"$ne": 0}]),
    ("seven", [{"$gt": 6.9}, {"$lt": 7.1}, {"$ne": "7"}, {"$in": [1, 7]}], [{"$gt": 7}, "7", {"$nin": [7]}]),
    ("whole", [2, {"$in": [2]}, {"$eq": 2.0}], [{"$ne": 2}, {"$nin": [2]}]),
    (
        "text",
        ["abc", {"$gt": 10**9}, {"$lt": []}, {"$gt": "abB"}, {"$lt": "b"}],
        ["ABC", {"$gt": "abc"}, ["abc"]],
    ),
    (
        "array",
        [{"$gt": "zzz"}, {"$lt": {}}, {"$gt": [1, "w"]}, {"$lt": [1, "x", None, [1, 3]]}],
        [{"$gt": [2]}, 1],
    ),
    ("object", [{"$gt": [9]}, {"$gt": {"a": 0}}, {"$lt": {"a": 1, "b": {"d": 1}}}], [{"$lt": {"a": 1}}, 1]),
    ("object", [{"$eq": {"a": 1, "b": {"c": "deep"}}}], [{"$eq": {"b": {"c": "deep"}, "a": 1}}]),
    (
        "object",
        [{"a": 1}, {"b": {"c": "deep"}}, {"a": 1, "b.c": {"$exists": True}}],
        [{"a": 2}, {"c": 1}, {}],
    ),
    ("hollow", [{}, {"$eq": {}}, {"$lt": {"a": None}}], [{"a": {"$exists": True}}]),
    ("object.b.c", ["deep", {"$exists": True}], [{"$exists": False}, {"$lt": "deep"}]),
    ("array.1", ["x"], ["y"]),
    ("array.4.b.0", [5], [{"$exists": False}]),
    ("array.5", [], [None, {"$exists": False}, {"$exists": True}, {"$ne": 1}]),
    ("array.a", [], [{"$exists": False}, {"$ne": 1}]),
    ("text.a", [], [{"$exists": False}, {"$ne": 1}, None]),
    ("missing", [{"$exists": False}], [{"$exists": True}, None, {"$ne": 1}, {"$nin": [1]}, {"$lt": {}}]),
    ("missing", [], [{"$not": {"$eq": 1}}, {"$not": {"$regex": "a"}}, {"$type": "null"}]),
    ("object.missing.far", [{"$exists": False}, {"$not": {"$exists": True}}], [{"$ne": 1}]),
    ("with\\.dot", [1], [2]),
    ("with.dot", [{"$exists": False}], [1]),
    (
        "array",
        [{"$in": ["x"]}, {"$in": [[1, 2]]}, {"$nin": ["y"]}, {"$in": [None]}],
        [{"$in": [2]}, {"$nin": [1]}],
    ),
    ("text", [{"$in": ["abc", 1]}, {"$nin": []}], [{"$in": []}, {"$in": [["abc"]]}]),
    (
        "array",
        [{"$all": [1, "x"]}, {"$all": [[1, 2]]}, {"$all": [{"a": 1, "b": [5]}]}],
        [{"$all": [2]}, {"$all": []}],
    ),
    ("numbers", [{"$all": [[80, 85, 90]]}, {"$all": [85]}], [{"$all": [[80, 85]]}]),
    (
        "text",
        [],
        [{"$all": ["abc"]}, {"$size": 3}, {"$elemMatch": {"$eq": "a"}}, {"$allMatch": {"$eq": "a"}}],
    ),
    ("array", [{"$size": 5}], [{"$size": 4}]),
    (
        "none",
        [{"$size": 0}, {"$nin": [1]}, []],
        [{"$allMatch": {"$gt": None}}, {"$elemMatch": {"$gt": None}}],
    ),
    (
        "numbers",
        [{"$elemMatch": {"$gte": 84, "$lt": 86}}, {"$allMatch": {"$gt": 79}}],
        [{"$allMatch": {"$gt": 80}}],
    ),
    (
        "array",
        [{"$elemMatch": {"a": 1}}, {"$elemMatch": {"b.0": {"$mod": [2, 1]}}}],
        [{"$elemMatch": {"a": 2}}],
    ),
    ("array", [{"$elemMatch": {"$elemMatch": {"$eq": 2}}}, {"$elemMatch": {"$nor": [{"$eq": 1}]}}], []),
    ("array", [{"$elemMatch": {"$not": {"a": {"$exists": True}}}}], [{"$allMatch": {"$exists": False}}]),
    (
        "array",
        [{"$not": {"$elemMatch": {"a": 2}}}, {"$not": {"$size": 4}}],
        [{"$not": {"$allMatch": {"$ne": 5}}}],
    ),
    (
        "object",
        [{"$keyMapMatch": {"$eq": "a"}}, {"$keyMapMatch": {"$gt": "a"}}],
        [{"$keyMapMatch": {"$eq": "c"}}],
    ),
    ("array", [], [{"$keyMapMatch": {"$gt": None}}]),
    ("seven", [{"$mod": [4, 3]}, {"$mod": [-4, 3]}], [{"$mod": [4, 0]}, {"$mod": [4, -3]}]),
    ("minus", [{"$mod": [4, -3]}], [{"$mod": [4, 3]}, {"$mod": [4, 1]}]),
    ("whole", [], [{"$mod": [2, 0]}]),
    ("yes", [], [{"$mod": [1, 0]}]),
    ("text", [{"$regex": "b"}, {"$regex": "^"}, {"$regex": "(?i)^ABC$"}], [{"$regex": "^b"}]),
    ("seven", [{"$not": {"$regex": "7"}}], [{"$regex": "7"}, {"$beginsWith": "7"}]),
    (
        "text",
        [{"$beginsWith": "ab"}, {"$beginsWith": ""}, {"$not": {"$beginsWith": "b"}}],
        [{"$beginsWith": "b"}],
    ),
    ("seven", [{"$or": [1, 7]}, {"$or": []}, {"$and": []}, {"$nor": []}], [{"$or": [1, 2]}, {"$nor": [7]}]),
    ("seven", [{"$gt": 5, "$lt": 8}, {"$and": [{"$gt": 5}, {"$lt": 8}]}], [{"$gt": 5, "$lt": 7}]),
    *(
        (
            name,
            [{"$type": kind}],
            [
                {"$type": other}
                for other in ("null", "boolean", "number", "string", "array", "object", "bird")
                if other != kind
            ],
        )
        for name, kind in (
            ("null", "null"),
            ("no", "boolean"),
            ("half", "number"),
            ("zero", "number"),
            ("text", "string"),
            ("array", "array"),
            ("hollow", "object"),
        )
    ),
]


@pytest.mark.parametrize(("field", "holds", "fails"), HOLDS)
def test_operators(field: str, holds: list[Any], fails: list[Any]) -> None:
    for condition in holds:
        assert parse_selector({field: condition}).matches(DOCUMENT), condition
    for condition in fails:
        assert not parse_selector({field: condition}).matches(DOCUMENT), condition


@pytest.mark.parametrize("argument", [-1, 10**9, False, None, True, {}, {"z": 1}, [], ["z"]])
def test_an_id_is_above_all_that_is_no_string(argument: Any) -> None:
    """CouchDB compares ids as Erlang does, and no other field."""
    for operator, holds in (("$gt", True), ("$gte", True), ("$lt", False), ("$lte", False)):
        assert parse_selector({"_id": {operator: argument}}).matches(DOCUMENT) is holds
        assert parse_selector({"_id": {"$not": {operator: argument}}}).matches(DOCUMENT) is not holds
    is_above = not isinstance(argument, (list, dict))
    assert parse_selector({"_rev": {"$gt": argument}}).matches(DOCUMENT) is is_above
    assert parse_selector({"text": {"$gt": argument}}).matches(DOCUMENT) is is_above


RAW: list[Any] = [-5, 2, 2.5, False, None, True, {}, {"a": 1}, {"a": [0]}, [], [1], ["a"], "", "a", "b"]


def test_the_order_of_fields_named_id() -> None:
    """Those within elements, too."""
    for place, lower in enumerate(RAW):
        for higher in RAW[place + 1 :]:
            selector = parse_selector({"array": {"$elemMatch": {"_id": {"$gt": lower}}}})
            assert selector.matches({"array": [{"_id": higher}]}), (lower, higher)
            assert not selector.matches({"array": [{"_id": lower}]})


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({}, True),
        ({"_id": "d", "_rev": {"$beginsWith": "1-"}}, True),
        ({"seven": 7, "text": "abd"}, False),
        ({"$or": [{"seven": 8}, {"text": "abc"}]}, True),
        ({"$or": []}, True),
        ({"$nor": [{"seven": 8}, {"text": "abc"}]}, False),
        ({"$not": {"seven": 8}}, True),
        ({"$not": {"seven": 8, "text": "abc"}}, True),
        ({"$not": {"$or": [{"seven": 8}, {"missing": 1}]}}, False),  # what is absent matches neither way
        ({"$not": {"$not": {"seven": 7}}}, True),
        ({"object": {"$or": [{"a": 5}, {"b.c": "deep"}]}}, True),
        ({"object.$and": 1}, False),
    ],
)
def test_combinations(selector: dict[str, Any], matches: bool) -> None:
    assert parse_selector(selector).matches(DOCUMENT) is matches


# ── the normal form ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("selector", "normal"),
    [
        ({}, {}),
        ({"a": 1}, {"a": {"$eq": 1}}),
        ({"a": {}}, {"a": {"$eq": {}}}),
        ({"a": [1]}, {"a": {"$eq": [1]}}),
        ({"a": {"b": {"$gt": 1}}}, {"a.b": {"$gt": 1}}),
        ({"a": {"$and": [{"$gt": 5}, {"$lt": 10}]}}, {"$and": [{"a": {"$gt": 5}}, {"a": {"$lt": 10}}]}),
        ({"a": {"$gt": 5, "$lt": 10}, "b": 1}, None),
        ({"$not": {"a": {"$gt": 10}}}, {"a": {"$lte": 10}}),
        ({"$not": {"$and": [{"a": {"$gt": 10}}, {"a": {"$lt": 5}}]}}, None),
        ({"$nor": [{"a": 1}, {"b": {"$in": [2]}}]}, {"$and": [{"a": {"$ne": 1}}, {"b": {"$nin": [2]}}]}),
        ({"$not": {"$nor": [{"a": 1}]}}, {"$or": [{"a": {"$eq": 1}}]}),
        ({"a": {"$not": {"$exists": True}}}, {"a": {"$exists": False}}),
        ({"a": {"$not": {"$size": 1}}}, {"a": {"$not": {"$size": 1}}}),
        ({"a\\.b.c": 1}, {"a\\.b.c": {"$eq": 1}}),
        (
            {"a": {"$elemMatch": {"$gt": 1, "b": 2}}},
            {"a": {"$elemMatch": {"$and": [{"$gt": 1}, {"b": {"$eq": 2}}]}}},
        ),
        ({"a": {"$elemMatch": {"$nor": [{"b": 1}]}}}, {"a": {"$elemMatch": {"$nor": [{"b": {"$eq": 1}}]}}}),
    ],
)
def test_the_normal_form(selector: dict[str, Any], normal: dict[str, Any] | None) -> None:
    parsed = parse_selector(selector)
    if normal is not None:
        assert parsed.as_json() == normal
    assert parse_selector(parsed.as_json()) == parsed


@pytest.mark.parametrize(
    ("selector", "never"),
    [
        ({}, False),
        ({"$or": []}, True),
        ({"$and": []}, True),
        ({"$nor": []}, True),
        ({"a": 1, "$or": []}, False),
    ],
)
def test_selectors_that_are_not_searched(selector: dict[str, Any], never: bool) -> None:
    assert parse_selector(selector).is_never_searched is never


def test_the_fields_of_a_selector() -> None:
    selector = {"b.c": 1, "$or": [{"a": 1}, {"$not": {"d": {"$size": 1}}}], "e": {"$elemMatch": {"f": 1}}}
    assert parse_selector(selector).fields() == ["b.c", "a", "d", "e"]


# ── errors ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("selector", "error", "reason"),
    [
        (None, "invalid_selector_json", "Selector must be a JSON object, not: null"),
        ([1], "invalid_selector_json", "Selector must be a JSON object, not: [1]"),
        ({"a": {"$no": 2}}, "invalid_operator", "Invalid operator: $no"),
        ({"a": {"$beginsWith": 1}}, "invalid_operator", "Invalid operator: $beginsWith"),
        ({"$gt": 2}, "invalid_selector", "One or more conditions is missing a field name."),
        ({"": 1}, "invalid_field_name", "Invalid field name: "),
        ({"a..b": 1}, "invalid_field_name", "Invalid field name: a..b"),
        ({"a": {"$where": "x"}}, "not_supported", "Unsupported operator: $where"),
        ({"$text": "x"}, "not_supported", "Unsupported operator: $text"),
        *(
            ({"a": {operator: bad}}, "bad_arg", f"Bad argument for operator {operator}: ")
            for operator, wrong in {
                "$and": [{}, 1],
                "$or": ["a"],
                "$nor": [None],
                "$not": [1, []],
                "$in": [1, {}],
                "$nin": ["a"],
                "$all": [{}],
                "$exists": [1, None],
                "$type": [1],
                "$mod": [[1], [0, 1], [1.5, 1], [1, True], 5],
                "$regex": [1, "(", "(?=a)"],
                "$size": [-1, 1.5, True],
                "$elemMatch": [1, []],
                "$allMatch": ["a"],
                "$keyMapMatch": [None],
            }.items()
            for bad in wrong
        ),
    ],
)
def test_errors(selector: Any, error: str, reason: str) -> None:
    with pytest.raises(MangoError) as refused:
        parse_selector(selector)
    assert refused.value.couch_error == error and refused.value.status == 400
    assert refused.value.message.startswith(reason)


# ── names and order ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("ab", ("ab",)),
        ("a.b", ("a", "b")),
        ("a\\.b", ("a.b",)),
        ("a.b\\.c", ("a", "b.c")),
        ("ü.1", ("ü", "1")),
    ],
)
def test_names_of_fields(name: str, path: tuple[str, ...]) -> None:
    assert parse_field(name) == path and field_name(path) == name


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ("0", 0),
        ("12", 12),
        ("+3", 3),
        ("03", 3),
        ("-0", 0),
        ("-1", None),
        ("a", None),
        ("", None),
        ("²", None),
        ("1.0", None),
    ],
)
def test_places_in_an_array(step: str, place: int | None) -> None:
    assert place_of(step) == place


ORDERED: list[Any] = [
    None,
    False,
    True,
    -1e308,
    -1,
    0,
    0.5,
    1,
    2**53,
    2**53 + 1,
    "",
    "A",
    "a",
    "aa",
    "b",
    "é",
    "\uffff",
    "\U0001f600",
    [],
    [None],
    [1],
    [1, 0],
    [1, "a"],
    [2],
    ["a"],
    [[]],
    {},
    {"a": None},
    {"a": 1},
    {"a": 1, "b": 0},
    {"a": 2},
    {"b": 0},
]


@given(st.permutations(ORDERED))
def test_the_order_of_values(values: list[Any]) -> None:
    assert sorted(values, key=order_key) == ORDERED
