"""Which index answers a query, and why not another: CouchDB's choice, so that its clients are not surprised.

An index can be used when every match has all its fields (those sorted by aside) and its order is the one
asked for. Of several, the one whose leading fields cover most of the selector's ranges is taken, then the
one with the fewest fields, then the first by name. Partial indexes are used when they are named. Sources:
CouchDB's `mango_cursor.erl`, `mango_cursor_view.erl`, `mango_idx_view.erl`, `mango_idx_special.erl`, and
«Index selection» in its documentation of `_find`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from localsrv.model.mango_errors import MangoError
from localsrv.model.mango_index import ALL_DOCS, DESIGN, Index
from localsrv.model.mango_ranges import Range, field_ranges, indexable_paths, is_constant, required_paths
from localsrv.model.mango_request import FindRequest
from localsrv.model.selector import Selector, field_name
from localsrv.model.selector_parse import parse_field

SCAN_WARNING_RATIO = 10
"""Documents examined for each result, above which an answer advises a better index."""

_IN_EVERY_DOCUMENT = frozenset({("_id",), ("_rev",)})


@dataclass(frozen=True)
class Plan:
    """How a query is answered. `index` is None when none can be used (only `_explain` shows that)."""

    request: FindRequest
    index: Index | None
    trace: Trace

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        """The ranges of the index's leading fields, as far as the selector gives them."""
        return () if self.index is None else _prefix(self.index, self.request.selector)

    @property
    def finds_nothing(self) -> bool:
        """Whether the answer is known to be empty."""
        is_empty = bool(self.ranges) and self.ranges[0].is_empty
        return self.request.selector.is_never_searched or is_empty

    @cached_property
    def is_covering(self) -> bool:
        """Whether index and id hold all that is asked for and compared."""
        return covers(self.index, (*self.request.fields, *self.request.selector.fields()), self.request)

    def warnings(self, examined: int, returned: int) -> list[str]:
        """What the answer tells of the choice."""
        return [*_choice_warnings(self), *_scan_warning(examined, returned)]


@dataclass(frozen=True)
class Trace:
    """The rounds of the choice, for `mango_explain`: each list holds what was left."""

    everything: tuple[Index, ...]
    judged: tuple[tuple[Index, tuple[str, ...]], ...]
    """Those that partial filters did not exclude, each with the reasons against it."""
    usable: tuple[Index, ...]
    filtered: tuple[Index, ...] = ()
    favoured: tuple[Index, ...] = ()
    ranked: tuple[tuple[Index, int], ...] = ()
    """JSON indexes, the best first, each with how many of the selector's ranges it lacks."""


def make_plan(indexes: Sequence[Index], request: FindRequest, *, for_explain: bool = False) -> Plan:
    """Chooses among a database's indexes (`_all_docs` need not be in the list).

    Raises:
        MangoError: `no_usable_index` when a sort has no index; `invalid_index` when `allow_fallback` is off
            and the one that was named cannot be used.
    """
    everything = (ALL_DOCS, *indexes)
    named = _named(everything, request.use_index)
    considered = [i for i in everything if i.partial_filter is None or i in named]
    judged = tuple((index, _objections(index, request)) for index in considered)
    usable = tuple(index for index, objections in judged if not objections)
    if not usable and not for_explain:
        raise MangoError("no_usable_index", "No index exists for this sort, try indexing by the sort fields.")
    chosen = _named(usable, request.use_index)
    if not chosen and not (request.allow_fallback or (not request.use_index and len(usable) > 1)):
        raise _invalid_index(request.use_index)
    filtered = tuple(chosen) or usable
    if not filtered:
        return Plan(request, None, Trace(everything, judged, usable))
    favoured = tuple(i for i in filtered if not i.is_special)
    if not favoured:
        return Plan(request, ALL_DOCS, Trace(everything, judged, usable, filtered, (ALL_DOCS,)))
    ranked = _ranked(favoured, request.selector)
    return Plan(request, ranked[0][0], Trace(everything, judged, usable, filtered, favoured, ranked))


def covers(index: Index | None, fields: Sequence[str], request: FindRequest) -> bool:
    """Whether an index holds these fields. A query for whole documents is never covered."""
    if index is None or index.is_special or not request.fields:
        return False
    return {"_id", *index.columns}.issuperset(fields)


def _objections(index: Index, request: FindRequest) -> tuple[str, ...]:
    """Why an index cannot be used; () when it can."""
    node, sort = request.selector.root, request.sort_fields
    reasons = []
    if index.is_special:
        if sort and ("_id",) not in indexable_paths(node):
            reasons.append("field_mismatch")
        if sort and sort != ("_id",):
            reasons.append("sort_order_mismatch")
        return tuple(reasons)
    needed = {parse_field(name) for name in index.columns if name not in sort} - _IN_EVERY_DOCUMENT
    present = required_paths(node)
    if present is not None and not needed <= present:
        reasons.append("field_mismatch")
    if not _is_sorted(index.columns, sort, request.selector):
        reasons.append("sort_order_mismatch")
    return tuple(reasons)


def _is_sorted(columns: tuple[str, ...], sort: tuple[str, ...], selector: Selector) -> bool:
    """Whether the index's order is that of `sort`, fields with a constant value in front of it left out."""
    if not sort:
        return True
    for place, column in enumerate(columns):
        if column == sort[0]:
            return columns[place : place + len(sort)] == sort
        if not is_constant(selector.root, parse_field(column)):
            return False
    return False


def _prefix(index: Index, selector: Selector) -> tuple[Range, ...]:
    ranges = field_ranges(selector.root)
    found = []
    for path in index.paths:
        if path not in ranges:
            break
        found.append(ranges[path])
    return tuple(found)


def _ranked(indexes: Sequence[Index], selector: Selector) -> tuple[tuple[Index, int], ...]:
    count = len(field_ranges(selector.root))
    distances = [(index, count - len(_prefix(index, selector))) for index in indexes]
    distances.sort(key=lambda pair: (pair[1], len(pair[0].fields), pair[0].key))
    return tuple(distances)


def _named(indexes: Sequence[Index], use_index: tuple[str, ...]) -> list[Index]:
    if not use_index:
        return []
    found = [index for index in indexes if index.ddoc == DESIGN + use_index[0]]
    return [index for index in found if len(use_index) == 1 or index.name == use_index[1]]


def _invalid_index(use_index: tuple[str, ...]) -> MangoError:
    if not use_index:
        return MangoError("invalid_index", "You must specify an index with the `use_index` parameter.")
    name = ", ".join((DESIGN + use_index[0], *use_index[1:]))
    return MangoError(
        "invalid_index", f"{name} specified by `use_index` could not be found or it is not suitable."
    )


def _choice_warnings(plan: Plan) -> list[str]:
    use_index, index = plan.request.use_index, plan.index
    found = []
    if use_index and index is not None and not _named([index], use_index):
        name = ", ".join((DESIGN + use_index[0], *use_index[1:]))
        what = "it does not contain a valid index" if len(use_index) == 1 else "it is not a valid index"
        found.append(f"{name} was not used because {what} for this query.")
    if index is not None and index.is_special:
        found.append("No matching index found, create an index to optimize query time.")
    return found


def _scan_warning(examined: int, returned: int) -> list[str]:
    if examined <= SCAN_WARNING_RATIO * max(returned, 1):
        return []
    return [
        "The number of documents examined is high in proportion to the number of results returned. "
        "Consider adding a more specific index to improve this."
    ]


def indexable_fields(selector: Selector) -> list[str]:
    """The names of the fields whose conditions an index can serve, in order."""
    return sorted(map(field_name, indexable_paths(selector.root)))
