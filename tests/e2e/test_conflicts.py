"""A collection that merges, in the real server: conflicts are settled without anybody asking."""

from __future__ import annotations

from tests.support.server import RunningServer, start_server
from tests.support.waiting import wait_until

COUCH = "/apps/default/couch/notes"
FIRST = {"_id": "7", "_rev": "1-a", "_revisions": {"start": 1, "ids": ["a"]}, "title": "Tea", "price": 3}
SIDES = [
    {**FIRST, "_rev": "2-x", "_revisions": {"start": 2, "ids": ["x", "a"]}, "title": "Green tea"},
    {**FIRST, "_rev": "2-b", "_revisions": {"start": 2, "ids": ["b", "a"]}, "price": 4},
]


def _bring(server: RunningServer, *documents: dict[str, object]) -> None:
    sent = server.request("POST", f"{COUCH}/_bulk_docs", {"docs": list(documents), "new_edits": False})
    assert (sent.status, sent.json()) == (201, [])


def _is_settled(server: RunningServer) -> bool:
    found = server.request("GET", f"{COUCH}/7?conflicts=true").json()
    return "_conflicts" not in found and found["title"] == "Green tea" and found["price"] == 4


def test_a_conflict_is_merged_as_it_comes_and_after_a_restart(server: RunningServer) -> None:
    definition = {"conflicts": "merge", "fields": {"title": "text"}}
    made = server.request("PUT", "/api/v1/apps/default/collections/notes", definition)
    assert made.status == 201, made.body
    _bring(server, FIRST, *SIDES)
    wait_until(lambda: _is_settled(server), what="the merge", seconds=20)
    row = server.request("GET", "/apps/default/rest/v1/notes?select=title,price").json()
    assert row == [{"title": "Green tea", "price": 4}]
    assert server.request("GET", "/api/v1/apps/default/conflicts").json()["conflicts"] == []
    # A conflict that comes and whose server is killed at once is settled by the next one.
    other = [{**document, "_id": "8"} for document in (FIRST, *SIDES)]
    _bring(server, *other)
    server.kill()
    again = start_server(server.home)
    try:
        wait_until(
            lambda: "_conflicts" not in again.request("GET", f"{COUCH}/8?conflicts=true").json(),
            what="the merge after the restart",
            seconds=20,
        )
    finally:
        assert again.stop() == 0


def test_a_wrong_policy_is_refused_with_what_to_write(server: RunningServer) -> None:
    made = server.request("PUT", "/api/v1/apps/default/collections/notes", {"conflicts": "latest"})
    assert (made.status, made.json()["code"]) == (400, "bad-config")
    assert 'conflicts = { latest = "changed_at" }' in made.json()["hint"]
