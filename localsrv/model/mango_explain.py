"""The answer of `_explain`: the chosen index, how it is searched, and what was against the others.

Source: `explain` and `extract_candidate_indexes` of CouchDB's `mango_cursor.erl`, `base_args` of its
`mango_cursor_view.erl`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localsrv.model.mango_index import Index
from localsrv.model.mango_planner import Plan, covers, indexable_fields
from localsrv.model.mango_ranges import Range

_HIGHEST = "<MAX>"


def explanation(database: str, plan: Plan) -> dict[str, Any]:
    """The body of the answer."""
    request = plan.request
    selector = request.selector
    usable_fields = indexable_fields(selector)
    answer: dict[str, Any] = {
        "dbname": database,
        "index": None if plan.index is None else plan.index.as_json(),
        "partitioned": False,
        "selector": selector.as_json(),
        "opts": request.options(),
        "limit": request.limit,
        "skip": request.skip,
        "fields": list(request.fields),
        "index_candidates": _candidates(plan),
        "selector_hints": [
            {
                "type": "json",
                "indexable_fields": usable_fields,
                "unindexable_fields": sorted(set(selector.fields()) - set(usable_fields)),
            }
        ],
    }
    if plan.index is not None:
        answer["mrargs"] = _arguments(plan)
        answer["covering"] = plan.is_covering
    return answer


def _arguments(plan: Plan) -> dict[str, Any]:
    """What CouchDB would hand to the view engine; here the same ranges go to SQL."""
    assert plan.index is not None
    request = plan.request
    start, end = (None, None) if plan.finds_nothing else _keys(plan.index, plan.ranges)
    if request.descending:
        start, end = end, start
    return {
        "include_docs": request.r == 1 and not plan.is_covering,
        "view_type": "map",
        "reduce": False,
        "partition": None,
        "start_key": start,
        "end_key": end,
        "direction": "rev" if request.descending else "fwd",
        "stable": request.stable or request.stale == "ok",
        "update": request.may_update,
        "conflicts": True if request.conflicts else "undefined",
    }


def _keys(index: Index, ranges: Sequence[Range]) -> tuple[Any, Any]:
    if index.is_special:
        only = ranges[0] if ranges else Range()
        return (
            only.low.shown if only.low is not None else None,
            only.high.shown if only.high is not None else _HIGHEST,
        )
    start, end = [], []
    for each in ranges:
        if each.low is None:
            break
        start.append(each.low.shown)
    for each in ranges:
        if each.high is None:
            break
        end.append(each.high.shown)
    return start, [*end, _HIGHEST]


def _candidates(plan: Plan) -> list[dict[str, Any]]:
    """The indexes that were not taken; the lower the rank, the nearer they came."""
    found = []
    for index in sorted(plan.trace.everything, key=lambda i: i.key, reverse=True):
        if index != plan.index:
            usable, reason, ranking = _analysis(plan, index)
            covering = None if index.is_special else covers(index, plan.request.fields, plan.request)
            found.append(
                {
                    "index": index.as_json(),
                    "analysis": {
                        "usable": usable,
                        "reasons": [{"name": reason}],
                        "ranking": ranking,
                        "covering": covering,
                    },
                }
            )
    return found


def _analysis(plan: Plan, index: Index) -> tuple[bool, str, int]:
    """`(whether it could be used, reason against it, rank)` of an index that was not taken."""
    trace = plan.trace
    judged = {each.key: reasons for each, reasons in trace.judged}
    unfavoured = max(1, len(trace.ranked))
    excluded = unfavoured + (len(trace.filtered) > len(trace.favoured))
    unusable = excluded + (len(trace.usable) > len(trace.filtered))
    partial = unusable + (len(trace.judged) > len(trace.usable))
    if index.key not in judged:
        return False, "is_partial", partial
    if judged[index.key]:
        return False, judged[index.key][0], unusable
    if index not in trace.filtered:
        return True, "excluded_by_user", excluded
    if index not in trace.favoured:
        return True, "unfavored_type", unfavoured
    rank = [ranked for ranked, _ in trace.ranked].index(index)
    return True, _why_not_best(plan, index, trace.ranked[rank][1]), rank


def _why_not_best(plan: Plan, index: Index, lacking: int) -> str:
    if lacking > 0:
        return "less_overlap"
    assert plan.index is not None
    return "too_many_fields" if len(index.fields) > len(plan.index.fields) else "alphabetically_comes_after"
