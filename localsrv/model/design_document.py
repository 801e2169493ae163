"""Design documents: what they may hold, and the views they define.

Source: CouchDB's docs, «Design Documents», and the rules of `couch_mrview.erl`, `validate_ddoc_fields`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from localsrv.base.errors import DesignError
from localsrv.model.collation import raw_sort_key, sort_key

PREFIX = "_design/"
JAVASCRIPT = "javascript"
MAX_RANK = 100

_BUILT_IN = re.compile(r"_(?:sum|count|stats|approx_count_distinct|first|last)")
_RANKED = re.compile(r"_(?:top|bottom)_(.*)", re.DOTALL)


class InvalidDesign(DesignError):
    """A design document that is none."""

    code = "invalid-design-document"

    def __init__(self, reason: str, error: str = "invalid_design_doc") -> None:
        super().__init__(error, reason, status=400)


@dataclass(frozen=True, slots=True)
class View:
    """One view. `number` is its function's place among those of the document's index.

    `is_raw` that its rows are in the order of Erlang's terms (`collation: raw`).
    """

    name: str
    number: int
    map: str
    reduce: str | None
    is_raw: bool = False

    @property
    def sort_key(self) -> Callable[[Any], bytes]:
        """What orders its keys."""
        return raw_sort_key if self.is_raw else sort_key


@dataclass(frozen=True)
class DesignDocument:
    """A design document. `fields` is the whole of it without `_id` and `_rev`."""

    id: str
    fields: Mapping[str, Any]
    rev: str = ""
    views: Mapping[str, View] = field(default_factory=dict)
    maps: tuple[str, ...] = ()
    """The sources of the map functions, each once: views that say the same share their rows."""
    raw: tuple[bool, ...] = ()
    """Which of them are collated raw."""

    @property
    def name(self) -> str:
        return self.id.removeprefix(PREFIX)

    @property
    def language(self) -> str:
        return str(self.fields.get("language", JAVASCRIPT))

    @property
    def options(self) -> Mapping[str, Any]:
        found = self.fields.get("options")
        return found if isinstance(found, dict) else {}

    @property
    def library(self) -> Any:
        """`views.lib`: the modules that map functions may require."""
        views = self.fields.get("views")
        return views.get("lib") if isinstance(views, dict) else None

    @property
    def validates(self) -> bool:
        """Whether it has a say in every write (`validate_doc_update`)."""
        source = self.fields.get("validate_doc_update")
        return self.language == JAVASCRIPT and isinstance(source, str) and source != ""

    @cached_property
    def signature(self) -> str:
        """What the index of the views depends on; equal for documents whose views say the same."""
        said = [self.maps, self.raw, self.library, self.options, self.language]
        text = json.dumps(said, sort_keys=True, ensure_ascii=False)
        return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()

    @cached_property
    def text_signature(self) -> str:
        """What everything else in it depends on."""
        text = json.dumps(self.fields, sort_keys=True, ensure_ascii=False)
        return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def parse_design(document_id: str, fields: Mapping[str, Any], rev: str = "") -> DesignDocument:
    """A design document as it was stored, tolerantly: views that are none are left out."""
    views: dict[str, View] = {}
    maps: dict[tuple[str, bool], int] = {}
    found = fields.get("views")
    for name, view in found.items() if isinstance(found, dict) else ():
        if name == "lib" or not isinstance(view, dict) or not isinstance(view.get("map"), str):
            continue
        options, reduce = view.get("options"), view.get("reduce")
        is_raw = isinstance(options, dict) and options.get("collation") == "raw"
        number = maps.setdefault((view["map"], is_raw), len(maps))
        reduce = reduce if isinstance(reduce, str) and reduce else None
        views[name] = View(name, number, view["map"], reduce, is_raw)
    sources_of, raw = [source for source, _ in maps], [is_raw for _, is_raw in maps]
    return DesignDocument(document_id, fields, rev, views, tuple(sources_of), tuple(raw))


# ── checking what is written ───────────────────────────────────────────────────────────────────────────────

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "string": str,
    "array": list,
    "boolean": bool,
}

_ANY = "*"

_Path = tuple[tuple[str, tuple[str, ...]], ...]

_FIELDS: tuple[_Path, ...] = (
    (("filters", ("object",)), (_ANY, ("object", "string"))),
    (("language", ("string",)),),
    (("lists", ("object",)), (_ANY, ("object", "string"))),
    (("options", ("object",)), ("include_design", ("boolean",))),
    (("options", ("object",)), ("local_seq", ("boolean",))),
    (("options", ("object",)), ("partitioned", ("boolean",))),
    (("rewrites", ("string", "array")),),
    (("shows", ("object",)), (_ANY, ("object", "string"))),
    (("updates", ("object",)), (_ANY, ("object", "string"))),
    (("validate_doc_update", ("string", "object")),),
    (("views", ("object",)), ("lib", ("object",))),
    (("views", ("object",)), (_ANY, ("object",)), ("map", ("string",))),
    (("views", ("object",)), (_ANY, ("object",)), ("reduce", ("string",))),
)
"""Paths, and the types that what is there must have (CouchDB's list)."""


def check_design(fields: Mapping[str, Any]) -> None:
    """Refuses a design document that CouchDB would refuse, but for mistakes in its functions.

    Raises:
        InvalidDesign: with CouchDB's words.
    """
    is_query = fields.get("language") == "query"
    for path in _FIELDS:
        if is_query and path[-1][0] == "map":
            path = (*path[:-1], ("map", ("object",)))  # Mango says what to index
        _check_path(fields, path, ())
    for name, view in (fields.get("views") or {}).items():
        if name == "lib":
            continue
        if view.get("map") is None:
            raise InvalidDesign(f"View `{name}` must contain map function")
        _check_reduce(view.get("reduce"))


def _check_path(value: Mapping[str, Any], path: _Path, seen: tuple[str, ...]) -> None:
    if not path:
        return
    (wanted, types), rest = path[0], path[1:]
    for name in list(value) if wanted == _ANY else [wanted]:
        if name not in value:
            continue
        inner = value[name]
        if not any(isinstance(inner, _TYPES[kind]) for kind in types):
            where = ".".join((*seen, name))
            raise InvalidDesign(f"`{where}` field must have {' or '.join(types)} type")
        if isinstance(inner, dict):
            _check_path(inner, rest, (*seen, name))


def _check_reduce(source: Any) -> None:
    if not isinstance(source, str) or not source.startswith("_"):
        return
    ranked = _RANKED.fullmatch(source)
    if ranked is not None:
        rank = ranked.group(1)
        if not (rank.isascii() and rank.isdecimal()):
            raise InvalidDesign("invalid rank reducer")
        if not 1 <= int(rank) <= MAX_RANK:
            raise InvalidDesign(f"rank value must be between 1 and {MAX_RANK}")
    elif _BUILT_IN.match(source) is None:
        raise InvalidDesign(f"`{source}` is not a supported reduce function.")


def is_built_in(reduce: str) -> bool:
    """Whether a reduce function is one of CouchDB's own."""
    return reduce.startswith("_")


def sources(fields: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """`(kind, view, source)` of the functions that are compiled when the document is written."""
    if fields.get("language", JAVASCRIPT) != JAVASCRIPT:
        return []
    found: list[tuple[str, str, str]] = []
    for name, view in (fields.get("views") or {}).items():
        if name == "lib" or not isinstance(view, dict):
            continue
        found.append(("map", name, view["map"]))
        reduce = view.get("reduce")
        if isinstance(reduce, str) and reduce and not is_built_in(reduce):
            found.append(("reduce", name, reduce))
    return found
