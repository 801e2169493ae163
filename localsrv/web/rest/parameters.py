"""A request's query string and `Range` header as a `Select`."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote

from localsrv.base.errors import QuerySyntaxError, RangeNotSatisfiable
from localsrv.model.query import Count, Select, parse_query

MAX_PARAMETERS = 1000
_EVERYTHING = Select()
_RANGE = re.compile(r"(?:items=)?([0-9]{1,18})-([0-9]{1,18})?\Z")


def query_pairs(query: str) -> list[tuple[str, str]]:
    """The decoded parameters of a raw query string, in order.

    Raises:
        QuerySyntaxError: more than `MAX_PARAMETERS`, or percent signs over bytes that are not UTF-8.
    """
    if not query:
        return []
    parts = query.split("&")
    if len(parts) > MAX_PARAMETERS:
        raise QuerySyntaxError(
            f"A query may have {MAX_PARAMETERS} parameters.",
            hint="Give many values to one filter: column=in.(1,2,3).",
        )
    pairs: list[tuple[str, str]] = []
    for part in parts:
        name, _, value = part.partition("=")
        if name or value:
            pairs.append((_decoded(name), _decoded(value)))
    return pairs


def _decoded(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" in text:
        try:
            text = unquote(text, errors="strict")
        except UnicodeDecodeError as error:
            raise QuerySyntaxError("The query string is not UTF-8.", details=text[:100]) from error
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise QuerySyntaxError("The query string is not UTF-8.")
    return text


def read_select(pairs: list[tuple[str, str]], range_header: str | None, count: Count | None) -> Select:
    """The query, with its page from `limit`/`offset` or else from the `Range` header.

    Raises:
        QuerySyntaxError, UnknownName: as `parse_query`.
        RangeNotSatisfiable: a range that ends before it begins.
    """
    select = parse_query(pairs) if pairs else _EVERYTHING
    if range_header is not None and select.limit is None and select.offset == 0:
        found = _RANGE.match(range_header.strip())
        if found is not None:  # other units are not ours to judge (RFC 9110, 14.2)
            first, last = int(found.group(1)), found.group(2)
            if last is not None and int(last) < first:
                raise RangeNotSatisfiable(
                    "Requested range not satisfiable",
                    details="The upper boundary in the Range header lies below the lower one.",
                )
            limit = None if last is None else int(last) - first + 1
            select = replace(select, limit=limit, offset=first)
    return replace(select, count=count) if count is not None else select
