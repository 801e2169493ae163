"""COPY: a document under another id, with its attachments."""

from __future__ import annotations

import pytest

from tests.support.couch import Couch


async def copy(
    couch: Couch, path: str, destination: str | None, **headers: str
) -> tuple[int, dict[str, str]]:
    if destination is not None:
        headers["Destination"] = destination
    answer = await couch.ask("COPY", path, headers=headers)
    return answer.status, answer.json


async def test_a_copy_has_everything(couch: Couch) -> None:
    await couch.put("/a", {"v": 1})
    for name, size in (("small", 10), ("large", 100_000)):
        rev = (await couch.get("/a"))["_rev"]
        await couch.ask("PUT", f"/a/{name}?rev={rev}", data=b"x" * size, headers={"Content-Type": "text/x"})
    done = await couch.ask("COPY", "/a", headers={"Destination": "b%2F1"})
    assert (done.status, done.json["ok"], done.json["id"]) == (201, True, "b/1")
    assert done.headers["Location"].endswith("/db/b%2F1")
    assert done.headers["ETag"] == f'"{done.json["rev"]}"'
    found = await couch.get("/b%2F1")
    assert (found["v"], {n: a["revpos"] for n, a in found["_attachments"].items()}) == (
        1, {"large": 1, "small": 1}
    )  # fmt: skip
    await couch.ask("DELETE", f"/a?rev={(await couch.get('/a'))['_rev']}")
    await couch.database.compact()
    assert (await couch.ask("GET", "/b%2F1/large")).body == b"x" * 100_000


async def test_revisions_of_both(couch: Couch) -> None:
    first = await couch.put("/a", {"v": 1})
    await couch.put("/a", {"v": 2, "_rev": first})
    other = await couch.put("/b", {"v": 3})
    assert await copy(couch, "/a", "b") == (
        409, {"error": "conflict", "reason": "Document update conflict."}
    )  # fmt: skip
    status, told = await copy(couch, f"/a?rev={first}", f"b?rev={other}")
    assert status == 201 and told["rev"].startswith("2-")
    assert (await couch.get("/b"))["v"] == 1
    status, _ = await copy(couch, "/a", "c", **{"If-Match": first})
    assert (status, (await couch.get("/c"))["v"]) == (201, 1)
    status, _ = await copy(couch, "/a", "_design/x")
    assert (status, (await couch.get("/_design/x"))["v"]) == (201, 2)
    status, _ = await copy(couch, "/_design/x", "d")
    assert (status, (await couch.get("/d"))["v"]) == (201, 2)


REFUSED = [
    ("/a", None, 400, "bad_request", "Destination header is mandatory for COPY."),
    ("/a", "http://localhost:5984/db/b", 400, "bad_request", "Destination URL must be relative."),
    ("/a", "_bad?rev=1-a", 400, "illegal_docid", "Only reserved document ids may start with underscore."),
    ("/a", "b?rev=x", 400, "bad_request", "Invalid rev format"),
    ("/a", "b?x=1-a", 400, "bad_request", "Destination is an id, or an id and ?rev=."),
    ("/a", "b?rev=1-a", 409, "conflict", "Document update conflict."),
    ("/a", "_local/b", 400, "illegal_docid", "A copy cannot be a local document."),
    ("/none", "b", 404, "not_found", "missing"),
    ("/a?rev=1-z", "b", 404, "not_found", "missing"),
    ("/a?rev=z", "b", 400, "bad_request", "Invalid rev format"),
]


@pytest.mark.parametrize(("path", "destination", "status", "error", "reason"), REFUSED)
async def test_refused_copies_write_nothing(
    couch: Couch, path: str, destination: str | None, status: int, error: str, reason: str
) -> None:
    await couch.put("/a", {"v": 1})
    before = couch.stored()
    assert await copy(couch, path, destination) == (status, {"error": error, "reason": reason})
    assert couch.stored() == before
