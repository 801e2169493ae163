"""Views of nine documents, and questions to them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from tests.support.couch import Couch

VIEWS = {
    "by_n": {"map": "function (doc) { if (doc.n !== undefined) emit(doc.n, doc._id) }"},
    "pairs": {
        "map": "function (doc) { if (doc.n !== undefined) emit([doc.n % 2, doc.n % 3, doc.n], doc.n) }",
        "reduce": "_sum",
    },
    "count": {"map": "function (doc) { if (doc.n !== undefined) emit(doc.n % 3, null) }", "reduce": "_count"},
    "stats": {
        "map": "function (doc) { if (doc.n !== undefined) emit(doc.n % 3, doc.n) }",
        "reduce": "_stats",
    },
    "own": {
        "map": "function (doc) { if (doc.n !== undefined) emit(doc.n % 3, doc.n) }",
        "reduce": "function (keys, values, rereduce) { return sum(values) }",
    },
    "twice": {"map": "function (doc) { if (doc.n < 2) { emit('b', 1); emit('a', 2); emit('b', 3) } }"},
    "linked": {"map": "function (doc) { if (doc.to) emit(doc._id, {_id: doc.to, _rev: doc.rev}) }"},
    "any": {"map": "function (doc) { if ('any' in doc) emit(doc.any) }"},
    "same": {"map": "function (doc) { emit(1, doc._id) }"},
}

PATH = "/_design/d/_view/"


def query(**parameters: Any) -> str:
    """A query string: what is JSON in CouchDB's parameters is written as JSON."""
    plain = {"startkey_docid", "endkey_docid", "stale", "update"}
    return urlencode({n: v if n in plain else json.dumps(v) for n, v in parameters.items()}, quote_via=quote)


async def rows(couch: Couch, view: str, **parameters: Any) -> list[Any]:
    found = await couch.get(f"{PATH}{view}?{query(**parameters)}")
    return list(found["rows"])
