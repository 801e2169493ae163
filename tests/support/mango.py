"""Seven people, indexes of them, and Mango's questions."""

from __future__ import annotations

from typing import Any

from tests.support.couch import Couch

PEOPLE: list[dict[str, Any]] = [
    {"_id": "01", "name": {"first": "Ada", "last": "Zorn"}, "age": 22, "manager": True,
     "likes": ["Lisp", "Go"]},
    {"_id": "02", "name": {"first": "Bo", "last": "Young"}, "age": 31, "manager": False, "likes": ["Go"]},
    {"_id": "03", "name": {"first": "Cy", "last": "Xu"}, "age": 33, "manager": True, "mail": "@cy"},
    {"_id": "04", "name": {"first": "Di", "last": "West"}, "age": 41, "manager": False, "mail": None},
    {"_id": "05", "name": {"first": "Ed", "last": "Vogt"}, "age": 47, "manager": True,
     "likes": ["C", "D", "E", "F"]},
    {"_id": "06", "name": {"first": "Flo", "last": "Uhl"}, "age": 55, "manager": True, "company": "Oulu"},
    {"_id": "07", "name": {"first": "Gus", "last": "Thal"}, "age": 61, "company": "Pharmex", "likes": "Go"},
]  # fmt: skip
BY_AGE = {"selector": {"age": {"$gt": 0}}, "fields": ["_id"]}


async def index(couch: Couch, fields: Any, *, status: int = 200, **more: Any) -> dict[str, Any]:
    """Makes an index and returns the answer."""
    definition = {"fields": fields, **more.pop("definition", {})}
    if isinstance(more.get("ddoc"), str):
        more.setdefault("name", more["ddoc"])
    done = await couch.ask("POST", "/_index", json={"index": definition, **more})
    assert done.status == status, done.body
    found: dict[str, Any] = done.json
    return found


async def find(
    couch: Couch, query: dict[str, Any], *, status: int = 200, path: str = "/_find"
) -> dict[str, Any]:
    """The answer to a query; a dictionary without `selector` is one."""
    body = query if "selector" in query else {"selector": query}
    done = await couch.ask("POST", path, json=body)
    assert done.status == status, done.body
    found: dict[str, Any] = done.json
    return found


async def ids(couch: Couch, query: dict[str, Any]) -> list[str]:
    return [document["_id"] for document in (await find(couch, query))["docs"]]
