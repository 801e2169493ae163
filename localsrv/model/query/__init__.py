"""The data face's query language: a PostgREST query string in, frozen values out.

Nothing here knows SQL, HTTP or a collection's fields. `ast` holds the values, `parse_query` makes them.
"""

from localsrv.model.query.ast import (
    Condition,
    Count,
    Embed,
    Filter,
    Group,
    Item,
    Operator,
    Order,
    Path,
    Quantifier,
    Select,
    Shape,
)
from localsrv.model.query.parse import parse_query

__all__ = [
    "Condition",
    "Count",
    "Embed",
    "Filter",
    "Group",
    "Item",
    "Operator",
    "Order",
    "Path",
    "Quantifier",
    "Select",
    "Shape",
    "parse_query",
]
