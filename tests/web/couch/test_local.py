"""Local documents: whose they are, and what a key that may only read may do with them."""

from __future__ import annotations

from typing import Any

import pytest

from localsrv.web.couch import local
from tests.support.couch import Couch
from tests.web.conftest import WebServer


@pytest.fixture
async def reader(web_server: WebServer, couch: Couch) -> Couch:
    """The same database with a key that may only read. The owner has left a checkpoint."""
    await couch.put("/_local/owners", {"seq": 1})
    return Couch(web_server, couch.name, await web_server.key("shop", f"{couch.name}:read"))


async def test_a_reader_keeps_a_checkpoint_of_its_own(couch: Couch, reader: Couch) -> None:
    assert await reader.put("/_local/mine", {"seq": 1}) == "0-1"
    assert await reader.put("/_local/mine", {"seq": 2, "_rev": "0-1"}) == "0-2"
    assert await couch.put("/_local/mine", {"seq": 3, "_rev": "0-2"}) == "0-3", "a writer may, too"
    assert await reader.put("/_local/mine", {"seq": 4, "_rev": "0-3"}) == "0-4", "it stays the reader's"
    assert (await reader.get("/_local/mine"))["seq"] == 4
    assert (await reader.ask("DELETE", "/_local/mine?rev=0-4")).status == 200
    assert (await couch.ask("GET", "/_local/mine")).status == 404


OTHERS: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/_local/owners", {"json": {"seq": 0, "_rev": "0-1"}}),
    ("PUT", "/_local/owners", {"json": {"_deleted": True, "_rev": "0-1"}}),
    ("DELETE", "/_local/owners?rev=0-1", {}),
    ("DELETE", "/_local/owners", {}),
    ("POST", "", {"json": {"_id": "_local/owners", "_rev": "0-1"}}),
    ("POST", "/_bulk_docs", {"json": {"docs": [{"_id": "_local/owners", "_rev": "0-1"}]}}),
]


@pytest.mark.parametrize(("method", "path", "options"), OTHERS, ids=[f"{o[0]} {o[1]}" for o in OTHERS])
async def test_a_reader_touches_no_others(
    couch: Couch, reader: Couch, method: str, path: str, options: dict[str, Any]
) -> None:
    answer = await reader.ask(method, path, **options)
    assert (answer.status, answer.json["error"]) == (403, "forbidden"), answer.body
    assert await couch.get("/_local/owners") == {"_id": "_local/owners", "_rev": "0-1", "seq": 1}


async def test_readers_touch_none_of_each_other_until_a_key_ends(
    web_server: WebServer, couch: Couch, reader: Couch
) -> None:
    made = await web_server.ask(
        "POST", "/api/v1/keys", json={"name": "b", "app": "shop", "scopes": [f"{couch.name}:read"]}
    )
    other = Couch(web_server, couch.name, made.json["token"])
    await other.put("/_local/theirs", {"seq": 1})
    assert (await reader.ask("PUT", "/_local/theirs", json={"_rev": "0-1"})).status == 403
    assert (await web_server.ask("DELETE", f"/api/v1/keys/{made.json['id']}")).status == 200
    assert (await reader.ask("PUT", "/_local/theirs", json={"_rev": "0-1"})).status == 201


async def test_readers_do_not_fill_the_disk(
    reader: Couch, couch: Couch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "READERS_MOST", 2)
    large = {"text": "x" * local.READERS_BYTES}
    assert (await reader.ask("PUT", "/_local/a", json=large)).status == 413
    assert [(await reader.ask("PUT", f"/_local/{n}", json={})).status for n in "abc"] == [201, 201, 403]
    assert (await reader.ask("PUT", "/_local/a", json={"_rev": "0-1"})).status == 201
    assert (await couch.ask("PUT", "/_local/large", json=large)).status == 201
