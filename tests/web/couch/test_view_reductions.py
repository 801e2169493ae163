"""Reductions of views: groups, built-in functions and others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.couch import Couch
from tests.support.views import PATH, rows

REDUCTIONS: list[tuple[str, dict[str, Any], list[tuple[Any, Any]]]] = [
    ("pairs", {}, [(None, 36)]),
    ("pairs", {"reduce": True}, [(None, 36)]),
    ("pairs", {"group_level": 0}, [(None, 36)]),
    ("pairs", {"group": False}, [(None, 36)]),
    ("pairs", {"group_level": 1}, [([0], 20), ([1], 16)]),
    ("pairs", {"group_level": 1, "descending": True}, [([1], 16), ([0], 20)]),
    ("pairs", {"group_level": 2, "limit": 2, "skip": 1}, [([0, 1], 4), ([0, 2], 10)]),
    ("pairs", {"group_level": 2, "startkey": [0, 2], "endkey": [1, 0, {}]}, [([0, 2], 10), ([1, 0], 3)]),
    ("pairs", {"group_level": 9, "limit": 1}, [([0, 0, 0], 0)]),
    ("pairs", {"group": True, "key": [0, 1, 4]}, [([0, 1, 4], 4)]),
    ("pairs", {"key": [0, 1, 4]}, [(None, 4)]),
    ("pairs", {"key": "none"}, []),
    ("pairs", {"limit": 0}, []),
    ("count", {}, [(None, 9)]),
    ("count", {"group": True}, [(0, 3), (1, 3), (2, 3)]),
    ("count", {"group": True, "keys": [2, 0, 9]}, [(2, 3), (0, 3)]),
    ("count", {"group": True, "keys": [2, 0], "descending": True}, [(0, 3), (2, 3)]),
    ("count", {"group": True, "keys": []}, []),
    ("count", {"group": True, "skip": 1, "limit": 1}, [(1, 3)]),
    ("count", {"group_level": 1}, [(0, 3), (1, 3), (2, 3)]),
    ("stats", {"group": True, "key": 1}, [(1, {"sum": 12, "count": 3, "min": 1, "max": 7, "sumsqr": 66})]),
    ("stats", {}, [(None, {"sum": 36, "count": 9, "min": 0, "max": 8, "sumsqr": 204})]),
    ("own", {}, [(None, 36)]),
    ("own", {"group": True}, [(0, 9), (1, 12), (2, 15)]),
    ("own", {"group": True, "keys": [2, 0]}, [(2, 15), (0, 9)]),
    ("own", {"group": True, "skip": 1, "limit": 1}, [(1, 12)]),
    ("own", {"key": "none"}, []),
]


@pytest.mark.parametrize(("view", "parameters", "expected"), REDUCTIONS)
async def test_reductions(
    views: Couch, view: str, parameters: dict[str, Any], expected: list[tuple[Any, Any]]
) -> None:
    assert [(row["key"], row["value"]) for row in await rows(views, view, **parameters)] == expected


async def test_a_function_of_many_rows_is_reduced_again(views: Couch) -> None:
    docs = [{"_id": f"x{n:05}", "n": n} for n in range(9, 1500)]
    await views.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert (await rows(views, "own"))[0]["value"] == sum(range(1500))
    assert [row["value"] for row in await rows(views, "own", group=True)] == [
        sum(range(start, 1500, 3)) for start in range(3)
    ]


BUILT_IN: list[tuple[str, list[Any], Any]] = [
    ("_sum", [1, 2.5], 3.5),
    ("_sum", [2**53, 2**53], 2**54),
    ("_sum", [[1, 2], [3], 4], [8, 2]),
    ("_sum", [{"a": 1, "b": [1]}, {"b": [2, 3], "c": {"d": 1}}], {"a": 1, "b": [3, 3], "c": {"d": 1}}),
    ("_sum", [9e300, 9e300], 1.8e301),
    ("_count", [None, "x", {}], 3),
    ("_stats", [1, 3], {"sum": 4, "count": 2, "min": 1, "max": 3, "sumsqr": 10}),
    (
        "_stats",
        [[1, 2], [3, 4]],
        [
            {"sum": 4, "count": 2, "min": 1, "max": 3, "sumsqr": 10},
            {"sum": 6, "count": 2, "min": 2, "max": 4, "sumsqr": 20},
        ],
    ),
    (
        "_stats",
        [{"sum": 4, "count": 2, "min": 1, "max": 3, "sumsqr": 10}, 5],
        {"sum": 9, "count": 3, "min": 1, "max": 5, "sumsqr": 35},
    ),
    ("_approx_count_distinct", [1, 1, 1], 3),
    ("_top_2", [3, 1, 2], [3, 2]),
    ("_bottom_2", [3, 1, 2], [1, 2]),
    ("_first", ["a", "b", "c"], "a"),
    ("_last", ["a", "b", "c"], "c"),
]


@pytest.mark.parametrize(("function", "values", "expected"), BUILT_IN)
async def test_built_in_functions(couch: Couch, function: str, values: list[Any], expected: Any) -> None:
    """Over documents `d0`, `d1`, … whose ids are the keys."""
    view = {"map": "function (doc) { emit(doc._id, doc.v) }", "reduce": function}
    await couch.put("/_design/d", {"views": {"v": view}})
    docs = [{"_id": f"d{n}", "v": value} for n, value in enumerate(values)]
    await couch.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert (await rows(couch, "v"))[0]["value"] == expected


async def test_values_that_built_in_functions_cannot_take(couch: Couch) -> None:
    maps = "function (doc) { emit(doc._id, doc.v) }"
    reduces = {"sum": "_sum", "stats": "_stats", "count": "_count"}
    await couch.put("/_design/d", {"views": {n: {"map": maps, "reduce": r} for n, r in reduces.items()}})
    await couch.put("/a", {"v": 1})
    await couch.put("/b", {"v": "text"})
    wrong = (await rows(couch, "sum"))[0]["value"]
    assert wrong["error"] == "builtin_reduce_error"
    assert wrong["reason"].startswith("The _sum function requires that map values be numbers")
    assert wrong["caused_by"] == "text"
    done = await couch.ask("GET", f"{PATH}stats")
    assert (done.status, done.json["error"]) == (500, "invalid_value")
    assert (await rows(couch, "count"))[0]["value"] == 2
    assert (await rows(couch, "sum", key="a"))[0]["value"] == 1


async def test_a_reduction_that_does_not_reduce(couch: Couch) -> None:
    big = "function () { var a = []; for (var i = 0; i < 1000; i++) a.push('wazzap'); return a }"
    await couch.put("/_design/d", {"views": {"v": {"map": "doc => emit(1)", "reduce": big}}})
    await couch.put("/a", {})
    row = (await rows(couch, "v"))[0]
    assert row["error"] == "reduce_overflow_error"
    assert row["reason"].startswith("Reduce output must shrink more rapidly")
