"""Three versions made into one, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localsrv.model.differences import ABSENT, Difference, canonical, differences, same, three_way

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("ancestor", "ours", "theirs", "merged", "decided"),
    [
        ({}, {}, {}, {}, []),
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}, []),
        ({"a": 1}, {"a": 1, "b": 1}, {"a": 1, "c": 1}, {"a": 1, "b": 1, "c": 1}, []),
        ({"a": 1, "b": 1}, {"b": 1}, {"a": 1}, {}, []),
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 2}, []),
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}, [("a",)]),
        ({"a": 1}, {}, {"a": 3}, {}, [("a",)]),
        ({"a": 1}, {"a": 3}, {}, {"a": 3}, [("a",)]),
        ({"a": 1}, {"a": None}, {"a": 1}, {"a": None}, []),
        ({"a": 1}, {"a": 1.0}, {"a": True}, {"a": 1.0}, [("a",)]),
        ({"a": 1}, {"a": 1}, {"a": True}, {"a": True}, []),
        ({}, {"a": 1}, {"a": 2}, {"a": 1}, [("a",)]),
        # Objects by field, arrays whole.
        ({"o": {"x": 1, "y": 1}}, {"o": {"x": 2, "y": 1}}, {"o": {"x": 1, "y": 2}}, {"o": {"x": 2, "y": 2}},
         []),
        ({"o": {"x": {"y": 1}}}, {"o": {"x": {"y": 2}}}, {"o": {"x": {"y": 3}}}, {"o": {"x": {"y": 2}}},
         [("o", "x", "y")]),
        ({"l": [1, 2]}, {"l": [1, 2, 3]}, {"l": [0, 1, 2]}, {"l": [1, 2, 3]}, [("l",)]),
        ({"l": [1, 2]}, {"l": [1, 2]}, {"l": [2]}, {"l": [2]}, []),
        # The key order of an object is no difference.
        ({"o": {"x": 1, "y": 2}}, {"o": {"y": 2, "x": 1}}, {"o": {"x": 1, "y": 3}}, {"o": {"x": 1, "y": 3}},
         []),
        # Objects that both sides put where there was none, or something else.
        ({}, {"o": {"x": 1}}, {"o": {"y": 1}}, {"o": {"x": 1, "y": 1}}, []),
        ({"o": 1}, {"o": {"x": 1}}, {"o": {"x": 2, "y": 1}}, {"o": {"x": 1, "y": 1}}, [("o", "x")]),
        # An object on one side alone is one value.
        ({"o": {"x": 1}}, {"o": {"x": 2}}, {"o": "text"}, {"o": {"x": 2}}, [("o",)]),
        ({"o": {"x": 1}}, {}, {"o": {"x": 2}}, {}, [("o",)]),
        ({"o": {"x": 1}}, {}, {"o": {"x": 1}}, {}, []),
        # Removed by one, left alone by the other, beside another change.
        ({"o": {"x": 1, "y": 1}}, {"o": {"y": 1}}, {"o": {"x": 1, "y": 2}}, {"o": {"y": 2}}, []),
    ],
)  # fmt: skip
def test_three_versions_become_one(
    ancestor: Json, ours: Json, theirs: Json, merged: Json, decided: Any
) -> None:
    before = [canonical(v) for v in (ancestor, ours, theirs)]
    assert [canonical(m) if i == 0 else m for i, m in enumerate(three_way(ancestor, ours, theirs))] == [
        canonical(merged),
        decided,
    ]
    assert [canonical(v) for v in (ancestor, ours, theirs)] == before


scalars = st.sampled_from([None, 0, 1, 1.0, True, "", "a", [], [1], {}])
documents = st.recursive(
    st.dictionaries(st.sampled_from("abc"), scalars, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | scalars, max_size=3),
    max_leaves=12,
)


@given(documents, documents, documents)
def test_merging_is_fair_to_both_sides(ancestor: Json, ours: Json, theirs: Json) -> None:
    merged, decided = three_way(ancestor, ours, theirs)
    other_way, decided_again = three_way(ancestor, theirs, ours)
    assert same(three_way(ancestor, ours, ours)[0], ours)
    assert same(three_way(ancestor, ours, ancestor)[0], ours)
    assert same(three_way(ancestor, ancestor, theirs)[0], theirs)
    assert sorted(decided) == sorted(decided_again)
    if not decided:
        assert same(merged, other_way)
    again, ties = three_way(ours, ours, merged)
    assert same(again, merged)
    assert ties == []


@given(documents, documents)
def test_differences_are_what_differs(first: Json, second: Json) -> None:
    found = differences(None, first, second)
    assert (found == []) is same(first, second)
    for difference in found:
        assert _at(first, difference.path) is difference.values[0]
        assert _at(second, difference.path) is difference.values[1]
        assert not same(*difference.values)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name, ABSENT)
    return value


def test_differences_of_several_sides_with_their_ancestor() -> None:
    ancestor = {"a": 1, "o": {"x": 1, "y": 1}, "same": 1, "gone": 1}
    sides = (
        {"a": 2, "o": {"x": 1, "y": 1}, "same": 1},
        {"a": 1, "o": {"x": 2, "y": 1}, "same": 1, "gone": 1},
        {"a": 1, "o": {"x": 1, "y": 1}, "same": 1, "gone": 1, "new": [1]},
    )
    assert differences(ancestor, *sides) == [
        Difference(("a",), 1, (2, 1, 1)),
        Difference(("o", "x"), 1, (1, 2, 1)),
        Difference(("gone",), 1, (ABSENT, 1, 1)),
        Difference(("new",), ABSENT, (ABSENT, ABSENT, [1])),
    ]
    assert repr(ABSENT) == "ABSENT"
