"""A full disk, or one that may not be written to, under the sync face and the replicator: nothing is lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.disks import fill, read_only
from tests.support.server import Response, RunningServer
from tests.support.waiting import wait_until

COUCH = "/apps/default/couch"
LARGE = "x" * 300_000
"""More than SQLite's log has room for, that of the writes before."""
FILE = b"z" * 300_000

Servers = Callable[..., RunningServer]
Disk = Callable[[int], Path]


def made(number: int) -> dict[str, Any]:
    """A revision that was made elsewhere."""
    return {
        "_id": f"made{number}",
        "_revisions": {"start": 1, "ids": [f"{number:032x}"]},
        "text": LARGE,
    }


def related(name: str) -> dict[str, Any]:
    document = json.dumps({"_attachments": {name: {"follows": True, "length": len(FILE)}}}).encode()
    head = b"--b\r\nContent-Type: application/json\r\n\r\n" + document + b"\r\n--b\r\n\r\n"
    return {"body": head + FILE + b"\r\n--b--", "headers": {"Content-Type": "multipart/related; boundary=b"}}


INLINE = {"_attachments": {"a": {"data": base64.b64encode(FILE).decode()}}}
MAP = {"views": {"v": {"map": "function (doc) { emit(doc._id) }"}}}

WRITES: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/notes/put", {"body": {"text": LARGE}}),
    ("POST", "/notes", {"body": {"_id": "post", "text": LARGE}}),
    ("POST", "/notes/_bulk_docs", {"body": {"docs": [{"_id": "bulk", "text": LARGE}]}}),
    ("POST", "/notes/_bulk_docs", {"body": {"docs": [{"_id": "bulk1", "text": LARGE}, {"_id": "bulk2"}]}}),
    ("POST", "/notes/_bulk_docs", {"body": {"docs": [made(1)], "new_edits": False}}),
    ("POST", "/notes/_bulk_docs", {"body": {"docs": [made(2), made(3)], "new_edits": False}}),
    ("PUT", "/notes/made4?new_edits=false", {"body": made(4)}),
    ("PUT", "/notes/file/a", {"body": FILE}),
    ("PUT", "/notes/related", related("a")),
    ("PUT", "/notes/inline", {"body": INLINE}),
    ("PUT", "/notes/_local/checkpoint", {"body": {"text": LARGE}}),
    ("PUT", "/notes/_design/views", {"body": {**MAP, "text": LARGE}}),
]


def ask(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    answer = server.request(method, COUCH + path, body)
    assert answer.status < 300, (method, path, answer.status, answer.body)
    return answer.json()


def told(server: RunningServer) -> Any:
    """Everything that the database says it has."""
    return ask(server, "GET", "/notes/_changes?style=all_docs&include_docs=true")


def assert_full(answer: Response) -> None:
    assert answer.status == 507, answer.body
    assert answer.json()["error"] == "insufficient_storage"
    assert "disk is full" in answer.json()["reason"]


def test_every_write_on_a_full_disk(disk: Disk, servers: Servers) -> None:
    small = disk(16)
    server = servers(small / "home")
    ask(server, "PUT", "/notes")
    ask(server, "PUT", "/notes/first", {"n": 1})
    before = told(server)
    filler = fill(small)
    for method, path, sent in WRITES:
        assert_full(server.request(method, COUCH + path, **sent))
    assert told(server) == before
    assert server.request("GET", f"{COUCH}/notes/_local/checkpoint").status == 404
    for path in ("/notes/_all_docs", "/notes", "/_all_dbs"):  # reading goes on
        ask(server, "GET", path)
    filler.unlink()
    for method, path, sent in WRITES:
        answer = server.request(method, COUCH + path, **sent)
        assert answer.status == 201, (path, answer.body)
        assert b'"error"' not in answer.body, answer.body
    assert server.stop() == 0, server.output()
    again = servers(small / "home")
    found = {row["id"] for row in ask(again, "GET", "/notes/_all_docs")["rows"]}
    assert found == {
        "first", "put", "post", "bulk", "bulk1", "bulk2", "made1", "made2", "made3", "made4",
        "file", "related", "inline", "_design/views",
    }  # fmt: skip
    assert again.request("GET", f"{COUCH}/notes/file/a").body == FILE
    assert again.stop() == 0


def fill_source(server: RunningServer, count: int) -> None:
    docs = [{"_id": f"doc{n}", "text": "y" * 20_000} for n in range(count)]
    ask(server, "POST", "/notes/_bulk_docs", {"docs": docs})
    assert server.request("PUT", f"{COUCH}/notes/film/a", FILE).status == 201


def far(server: RunningServer) -> dict[str, Any]:
    auth = {"basic": {"username": "owner", "password": server.token}}
    return {"url": f"{server.url_by_address}{COUCH}/notes", "auth": auth}


def jobs(server: RunningServer) -> list[Any]:
    found: list[Any] = ask(server, "GET", "/_scheduler/jobs")["jobs"]
    return found


def leaves(server: RunningServer) -> dict[str, list[str]]:
    rows = ask(server, "GET", "/notes/_changes?style=all_docs")["results"]
    return {row["id"]: sorted(change["rev"] for change in row["changes"]) for row in rows}


def test_replication_into_a_full_disk_goes_on_when_there_is_space(disk: Disk, servers: Servers) -> None:
    """Pulled there by itself, or pushed there by another: what failed is told, and nothing is passed over."""
    small = disk(16)
    full, source = servers(small / "home"), servers()
    for server in (full, source):
        ask(server, "PUT", "/notes")
    fill_source(source, 30)
    filler = fill(small)
    refused = full.request("POST", f"{COUCH}/_replicate", {"source": far(source), "target": "notes"})
    assert (refused.status, refused.json()["error"]) == (507, "storage_full")
    assert "The disk is full" in refused.json()["reason"]
    for worker, body in (
        (full, {"source": far(source), "target": "notes", "continuous": True}),
        (source, {"source": "notes", "target": far(full), "continuous": True}),
    ):
        ask(worker, "POST", "/_replicate", body)

    def reasons(server: RunningServer) -> str:
        return "\n".join(event.get("reason") or "" for job in jobs(server) for event in job["history"])

    wait_until(lambda: "disk is full" in reasons(full), what="the pull's failure told", seconds=40)
    wait_until(lambda: "disk is full" in reasons(source), what="the push's failure told", seconds=40)
    assert leaves(full).keys() < leaves(source).keys()
    filler.unlink()
    wait_until(lambda: leaves(full) == leaves(source), what="everything there", seconds=60)
    assert full.request("GET", f"{COUCH}/notes/film/a").body == FILE
    for server in (full, source):
        assert [job["info"]["doc_write_failures"] for job in jobs(server)] == [0]
        assert "Traceback" not in server.output()
    assert full.stop() == 0, full.output()


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, servers: Servers) -> None:
    home = tmp_path / "home"
    server, source = servers(home), servers()
    for one in (server, source):
        ask(one, "PUT", "/notes")
    fill_source(source, 3)
    assert server.stop() == 0
    with read_only(home / "data" / "apps"):
        server = servers(home)
        for method, path, sent in WRITES:
            answer = server.request(method, COUCH + path, **sent)
            assert (answer.status, answer.json()["error"]) == (500, "internal_server_error"), answer.body
            assert "permissions" in answer.json()["reason"]
        refused = server.request("POST", f"{COUCH}/_replicate", {"source": far(source), "target": "notes"})
        assert refused.status >= 500 and "permissions" in refused.json()["reason"]
    ask(server, "POST", "/_replicate", {"source": far(source), "target": "notes"})
    assert leaves(server) == leaves(source)
    assert server.stop() == 0, server.output()
