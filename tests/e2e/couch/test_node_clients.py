"""PouchDB, RxDB and nano from npm, unmodified, against a server in a process of its own."""

from __future__ import annotations

import pytest

from tests.e2e.couch.conftest import Couch, run_node


@pytest.mark.parametrize("client", ["pouchdb", "rxdb", "nano"])
def test_client(couch: Couch, client: str) -> None:
    run_node(client, couch)


def test_what_a_client_wrote_is_a_row_of_the_data_face(couch: Couch) -> None:
    """One store under both faces: a document, its revision and its deletion."""
    base, database = f"/apps/{couch.app}", "both_faces"
    assert couch.server.request("PUT", f"{base}/couch/{database}").status == 201
    put = couch.server.request("PUT", f"{base}/couch/{database}/ada", {"name": "Ada", "born": 1815})
    assert put.status == 201, put.body
    rows = couch.server.request("GET", f"{base}/rest/v1/{database}?select=id,name,born,_rev")
    assert rows.json() == [{"id": "ada", "name": "Ada", "born": 1815, "_rev": put.json()["rev"]}]
    patched = couch.server.request("PATCH", f"{base}/rest/v1/{database}?id=eq.ada", {"born": 1816})
    assert patched.status == 204, patched.body
    found = couch.server.request("GET", f"{base}/couch/{database}/ada?revs=true").json()
    assert found["born"] == 1816
    assert found["_revisions"]["ids"][1] == put.json()["rev"].removeprefix("1-")
    assert couch.server.request("DELETE", f"{base}/rest/v1/{database}?id=eq.ada").status == 204
    gone = couch.server.request("GET", f"{base}/couch/{database}/ada")
    assert (gone.status, gone.json()["reason"]) == (404, "deleted")
