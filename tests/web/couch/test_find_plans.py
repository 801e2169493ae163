"""Which index answers a query of `_find`, and how `_explain` tells it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.couch import Couch
from tests.support.mango import find, index


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ({"age": 123}, "age"),
        ({"name.first": "Ada", "name.last": "no"}, "name-last_and_name-first"),
        ({"name.first": {"$gt": "a", "$lt": "z"}, "name.last": "Foo"}, "name-last_and_name-first"),
        ({"company": {"$gt": "a"}, "$or": [{"manager": "Foo"}, {"manager": "Bar"}]}, "company_and_manager"),
        ({"manager": {"$exists": True}}, "manager"),
        ({"company": "Pharmex"}, None),
        ({"company": "Pharmex", "manager": {"$exists": False}}, None),
        ({}, None),
        ({"$or": []}, "age"),
        ({"selector": {"_id": {"$gt": 0}, "age": {"$gt": 0}}, "sort": ["_id"]}, None),
        ({"selector": {"manager": {"$gt": None}}, "sort": [{"manager": "desc"}]}, "manager"),
        ({"selector": {"age": 1, "manager": True}, "use_index": "manager"}, "manager"),
        ({"selector": {"age": 1, "manager": True}, "use_index": "_design/manager/manager"}, "manager"),
    ],
)
async def test_the_chosen_index(people: Couch, query: dict[str, Any], chosen: str | None) -> None:
    found = (await find(people, query, path="/_explain"))["index"]
    assert (found["ddoc"], found["type"]) == (
        (None, "special") if chosen is None else (f"_design/{chosen}", "json")
    )


@pytest.mark.parametrize(
    ("more", "selector", "status"),
    [
        ({"use_index": "manager"}, {"manager": True}, 200),
        ({"use_index": "invalid"}, {"manager": True}, 400),
        ({"use_index": []}, {"manager": True}, 200),
        ({"use_index": []}, {"company": "a"}, 400),
        ({"use_index": "invalid"}, {"company": "a"}, 400),
        ({}, {"manager": True}, 200),
        ({}, {"company": "a"}, 400),
    ],
)
async def test_without_fallback(people: Couch, more: dict[str, Any], selector: Any, status: int) -> None:
    found = await find(people, {"selector": selector, "allow_fallback": False, **more}, status=status)
    if status == 400:
        assert found["error"] == "invalid_index"
        named = "_design/invalid specified by `use_index` could not be found or it is not suitable."
        assert found["reason"] == (
            named if more.get("use_index") else "You must specify an index with the `use_index` parameter."
        )


async def test_of_several_the_nearest_then_the_smallest_then_the_first(couch: Couch) -> None:
    for ddoc, fields in (("aaa", ["n", "l", "u"]), ("bbb", ["n", "a"]), ("zzz", ["n"]), ("yyy", ["n"])):
        await index(couch, fields, ddoc=ddoc)
    both = await find(couch, {"n": "E", "a": {"$gte": 12}}, path="/_explain")
    assert both["index"]["ddoc"] == "_design/bbb"
    assert both["mrargs"]["start_key"] == ["E", 12] and both["mrargs"]["end_key"] == ["E", "<MAX>"]
    one = await find(couch, {"n": "E"}, path="/_explain")
    assert one["index"]["ddoc"] == "_design/yyy"
    reasons = {c["index"]["ddoc"]: c["analysis"] for c in one["index_candidates"]}
    assert [c["index"]["ddoc"] for c in one["index_candidates"]] == [
        "_design/zzz",
        "_design/bbb",
        "_design/aaa",
        None,
    ]
    assert reasons["_design/zzz"] == {
        "usable": True, "reasons": [{"name": "alphabetically_comes_after"}], "ranking": 1, "covering": False
    }  # fmt: skip
    assert (
        reasons["_design/bbb"]["reasons"] == [{"name": "field_mismatch"}]
        and not reasons["_design/bbb"]["usable"]
    )
    assert reasons[None]["reasons"] == [{"name": "unfavored_type"}]
    named = await find(couch, {"selector": {"n": "E", "a": 1}, "use_index": "zzz"}, path="/_explain")
    reasons = {c["index"]["ddoc"]: c["analysis"] for c in named["index_candidates"]}
    assert reasons["_design/bbb"]["reasons"] == [{"name": "excluded_by_user"}]


async def test_explain_shows_ranges_and_options(people: Couch) -> None:
    found = await find(people, {"selector": {"age": {"$gt": 0}}, "fields": ["manager"]}, path="/_explain")
    assert found["mrargs"] == {
        "include_docs": True, "view_type": "map", "reduce": False, "partition": None, "start_key": [0],
        "end_key": ["<MAX>"], "direction": "fwd", "stable": False, "update": True, "conflicts": "undefined",
    }  # fmt: skip
    assert found["opts"] == {
        "use_index": [], "bookmark": "nil", "limit": 25, "skip": 0, "sort": {}, "fields": ["manager"],
        "partition": "", "r": 1, "conflicts": False, "stale": False, "update": True, "stable": False,
        "execution_stats": False, "allow_fallback": True,
    }  # fmt: skip
    assert (found["dbname"], found["partitioned"], found["covering"]) == ("db", False, False)
    assert found["selector"] == {"age": {"$gt": 0}} and found["fields"] == ["manager"]
    hints = [{"type": "json", "indexable_fields": ["age"], "unindexable_fields": []}]
    assert found["selector_hints"] == hints
    begins = {"selector": {"age": {"$beginsWith": "A"}}, "sort": [{"age": "desc"}]}
    reversed_range = (await find(people, begins, path="/_explain"))["mrargs"]
    assert (reversed_range["start_key"], reversed_range["end_key"]) == (["A￿", "<MAX>"], ["A"])
    by_id = (await find(people, {"_id": {"$beginsWith": "a"}}, path="/_explain"))["mrargs"]
    assert (by_id["start_key"], by_id["end_key"]) == ("a", "a￿")
    assert (await find(people, {"foo": 1}, path="/_explain"))["mrargs"]["end_key"] == "<MAX>"


@pytest.mark.parametrize(
    ("selector", "fields", "covered"),
    [
        ({"age": {"$gte": 32}}, ["_id"], True),
        ({"manager": True, "company": "Oulu"}, ["company"], True),
        ({"likes": {"$elemMatch": {"$eq": "Go"}}}, ["likes"], True),
        ({"name": {"first": "Ada", "last": "Zorn"}}, ["_id", "name.first"], True),
        ({"age": {"$gte": 32}}, ["manager"], False),
        ({"age": {"$gte": 32}}, [], False),
        ({"age": {"$gte": 32}, "mail": {"$ne": 1}}, ["age"], False),
        ({}, ["_id"], False),
    ],
)
async def test_covering_indexes(people: Couch, selector: Any, fields: list[str], covered: bool) -> None:
    query = {"selector": selector, "fields": fields}
    explained = await find(people, query, path="/_explain")
    assert explained["covering"] is covered and explained["mrargs"]["include_docs"] is not covered
    whole = {d["_id"]: d for d in (await find(people, {"selector": selector}))["docs"]}
    found = (await find(people, {**query, "fields": [*fields, "_id"] if fields else []}))["docs"]
    assert len(found) == len(whole) > 0
    for document in found:
        original = whole[document["_id"]]
        for field in fields:
            first, _, rest = field.partition(".")
            assert document.get(first) == ({rest: original[first][rest]} if rest else original.get(first))
