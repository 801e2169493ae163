"""Our replicator with PouchDB Server from npm, unmodified, as source and as target."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.sync_sides import POUCHDB, CouchSide, localsrv, pouchdb_server
from tests.support.waiting import wait_until

LARGE = base64.b64encode(bytes(range(256)) * 2000).decode()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[CouchSide]:
    with localsrv(tmp_path / "ours") as (side, running):
        yield side
    assert "Traceback" not in running.output()


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[CouchSide]:
    if not (POUCHDB / "node_modules" / "pouchdb-server").is_dir():
        pytest.skip("pouchdb-server is not installed")
    with pouchdb_server(tmp_path / "theirs") as side:
        yield side


def fill(side: CouchSide) -> None:
    """Edited, deleted and conflicting documents, attachments, a design document, odd ids."""
    side.ask("PUT", "/notes")
    rev = None
    for n in range(4):
        body = {"n": n} | ({"_rev": rev} if rev else {})
        rev = side.ask("PUT", "/notes/edited", body)["rev"]
    gone = side.ask("PUT", "/notes/gone", {"n": 1})["rev"]
    side.ask("DELETE", f"/notes/gone?rev={gone}")
    path = {"start": 2, "ids": ["x", "a"]}
    twins = [{"_id": "twins", "_rev": "2-x", "_revisions": path}]
    twins.append({"_id": "twins", "_rev": "2-y", "_revisions": {"start": 2, "ids": ["y", "a"]}})
    side.ask("POST", "/notes/_bulk_docs", {"new_edits": False, "docs": twins})
    attachments = {
        "small ü.txt": {"content_type": "text/plain", "data": base64.b64encode(b"small").decode()},
        "large.bin": {"content_type": "application/octet-stream", "data": LARGE},
    }
    side.ask("PUT", "/notes/files", {"_attachments": attachments})
    side.ask("PUT", "/notes/_design/app", {"views": {"all": {"map": "function (doc) { emit(doc._id) }"}}})
    side.ask("PUT", "/notes/a%2Fb%20%C3%BC", {"odd": True})
    side.ask("POST", "/notes/_bulk_docs", {"docs": [{"_id": f"doc{n:04}", "n": n} for n in range(700)]})


def held(side: CouchSide) -> dict[str, Any]:
    """Every leaf with its history, its fields and its attachments' bytes."""
    out = {}
    for row in side.ask("GET", "/notes/_changes?style=all_docs")["results"]:
        for rev in sorted(change["rev"] for change in row["changes"]):
            path = "/".join(part.replace("/", "%2F") for part in _path(row["id"]))
            found = side.ask("GET", f"/notes/{path}?rev={rev}&revs=true&attachments=true")
            files = found.pop("_attachments", {})
            found["_attachments"] = {name: (f["content_type"], f["data"]) for name, f in files.items()}
            out[row["id"], rev] = found
    return out


def _path(document_id: str) -> list[str]:
    from urllib.parse import quote

    head, slash, rest = document_id.partition("/")
    return [head, quote(rest, safe="")] if slash and head == "_design" else [quote(document_id, safe="")]


def replicate(ours: CouchSide, source: str, target: str, **options: Any) -> Any:
    return ours.ask("POST", "/_replicate", {"source": source, "target": target, **options})


def test_push(ours: CouchSide, theirs: CouchSide) -> None:
    fill(ours)
    first = replicate(ours, "notes", theirs.database_url("notes"), create_target=True)
    assert first["history"][0]["doc_write_failures"] == 0
    assert held(theirs) == held(ours)
    assert replicate(ours, "notes", theirs.database_url("notes")).get("no_changes") is True
    ours.ask("PUT", "/notes/later", {"n": 1})
    assert replicate(ours, "notes", theirs.database_url("notes"))["history"][0]["docs_written"] == 1


def test_pull(ours: CouchSide, theirs: CouchSide) -> None:
    fill(theirs)
    first = replicate(ours, theirs.database_url("notes"), "notes", create_target=True)
    assert first["history"][0]["doc_write_failures"] == 0
    assert held(ours) == held(theirs)
    assert replicate(ours, theirs.database_url("notes"), "notes").get("no_changes") is True
    theirs.ask("PUT", "/notes/later", {"n": 1})
    assert replicate(ours, theirs.database_url("notes"), "notes")["history"][0]["docs_written"] == 1


def test_live_both_ways(ours: CouchSide, theirs: CouchSide) -> None:
    for side in (ours, theirs):
        side.ask("PUT", "/notes")
    for source, target in (("notes", theirs.database_url("notes")), (theirs.database_url("notes"), "notes")):
        replicate(ours, source, target, continuous=True)
    for n in range(3):
        ours.ask("PUT", f"/notes/ours{n}", {"n": n})
        theirs.ask("PUT", f"/notes/theirs{n}", {"n": n})
        wait_until(lambda: len(held(ours)) == len(held(theirs)) == 2 * (n + 1), what="both on both sides")  # noqa: B023
    assert held(ours) == held(theirs)
