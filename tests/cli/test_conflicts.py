"""`localsrv conflicts` against a real server: what it lists, what it settles, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.server import RunningServer


@pytest.fixture
def notes(server: RunningServer) -> RunningServer:
    """A server whose default app has a note «7» that two clients changed at once."""
    couch = "/apps/default/couch/notes"
    assert server.request("PUT", couch).status == 201
    first = {"_id": "7", "_rev": "1-a", "title": "Tea", "price": 3}
    sides = [
        {"_id": "7", "_rev": "2-x", "title": "Green tea", "price": 3},
        {"_id": "7", "_rev": "2-b", "title": "Tea", "price": 4, "new": "\x1b[31m"},
    ]
    for document in (first, *sides):
        number, _, digest = str(document["_rev"]).partition("-")
        document["_revisions"] = {"start": int(number), "ids": [digest, "a"][: int(number)]}
    sent = server.request("POST", f"{couch}/_bulk_docs", {"docs": [first, *sides], "new_edits": False})
    assert sent.status == 201, sent.body
    return server


def _document(server: RunningServer) -> dict[str, object]:
    found = server.request("GET", "/apps/default/couch/notes/7?conflicts=true").json()
    assert isinstance(found, dict)
    return found


LISTED = [
    "notes  7",
    "  winner  2-x",
    "  other   2-b",
    "  title",
    '    before  "Tea"',
    '    winner  "Green tea"',
    '    other   "Tea"',
    "  price",
    "    before  3",
    "    winner  3",
    "    other   4",
    "  new",
    "    winner  (not there)",
    r'    other   "\u001b[31m"',
    "",
    "Settle one: localsrv conflicts resolve COLLECTION ID --choose REVISION",
]


def test_list(notes: RunningServer) -> None:
    said = run(notes.home, "conflicts", "list")
    assert said.code == 0
    assert said.out.splitlines() == LISTED
    (found,) = run(notes.home, "conflicts", "list", "notes", "--json").json()
    assert [side["rev"] for side in found["sides"]] == ["2-x", "2-b"]
    assert run(notes.home, "conflicts", "list", "none").code == 4


def test_one_side_is_chosen(notes: RunningServer) -> None:
    said = run(notes.home, "conflicts", "resolve", "notes", "7", "--choose", "2-b")
    assert (said.code, said.err) == (0, "")
    stored = _document(notes)
    assert (stored["price"], "_conflicts" in stored) == (4, False)
    assert said.out == f"Settled: {stored['_rev']} stands.\n"
    assert run(notes.home, "conflicts", "list").out == "There are no conflicts in default.\n"
    again = run(notes.home, "conflicts", "resolve", "notes", "7", "--choose", "2-b")
    assert (again.code, "no conflict" in again.err) == (4, True)


def test_a_document_is_sent(notes: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "note.json").write_text('{"title": "Green tea", "price": 4}')
    said = run(
        notes.home, "conflicts", "resolve", "notes", "7", "--document", str(tmp_path / "note.json"), "--json"
    )
    assert said.code == 0, said.err
    assert json.loads(said.out)["ended"] == ["2-b"]
    stored = _document(notes)
    assert (stored["title"], stored["price"], "_conflicts" in stored) == ("Green tea", 4, False)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "word"),
    [
        ([], "", 2, "either --choose or --document"),
        (["--choose", "2-b", "--document", "-"], "{}", 2, "either --choose or --document"),
        (["--document", "-"], "no", 2, "not JSON"),
        (["--document", "-"], "[]", 2, "a JSON object"),
        (["--choose", "2-"], "", 6, "More than one"),
        (["--choose", "3-"], "", 6, "No revision"),
        (["--app", "none", "--choose", "2-b"], "", 4, "none"),
    ],
)
def test_refusals(notes: RunningServer, arguments: list[str], stdin: str, code: int, word: str) -> None:
    said = run(notes.home, "conflicts", "resolve", "notes", "7", *arguments, stdin=stdin)
    assert (said.code, word in said.err) == (code, True), said.err
    assert "_conflicts" in _document(notes)
