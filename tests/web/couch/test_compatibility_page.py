"""docs/couchdb-compatibility.md tells the truth: its lines are run, and no address of the face is missing."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from localsrv.web.couch.routes import ROUTES
from tests.web.conftest import WebServer

PAGE = Path(__file__).resolve().parents[3] / "docs" / "couchdb-compatibility.md"

STATES = ("works", "differs", "not here")

# How long one that never ends, such as a feed with a heartbeat, is listened to.
PATIENCE = 0.5

# What differs from one database to the next of the same content: sequences, session ids, moments.
_VARYING = re.compile(rb"[0-9]+-[0-9a-f]{8}(-[0-9]+)?|\b[0-9a-f]{32}\b|[A-Z][a-z]{2}, [^\"]* GMT")

DESIGN = {
    "_id": "_design/d",
    "views": {
        "by_n": {"map": "function (doc) { emit(doc.n, doc.n); }", "reduce": "_sum"},
        "few": {"map": "function (doc) { if (doc.n === 1) emit(null); }"},
    },
    "filters": {"few": "function (doc) { return doc.n === 1; }"},
    "_attachments": {"page.txt": {"content_type": "text/plain", "data": "aGk="}},
}
KEYS = "function (doc) { emit(doc.n, doc.n); }"
MADE = {
    "views": {
        "plain": {"map": KEYS},
        "raw": {"map": "doc => { emit(doc.n); emit('x'); emit([]) }", "options": {"collation": "raw"}},
        **{
            name: {"map": KEYS, "reduce": function}
            for name, function in (
                ("sum", "_sum"),
                ("count", "_count"),
                ("stats", "_stats"),
                ("distinct", "_approx_count_distinct"),
                ("first", "_first"),
                ("last", "_last"),
                ("top", "_top_2"),
                ("bottom", "_bottom_2"),
            )
        },
    },
}
WIDE = {
    "options": {"include_design": True, "local_seq": True},
    "views": {
        "all": {"map": "doc => emit(doc._id)", "reduce": "_count"},
        "seqs": {"map": "doc => { if (doc._local_seq > 0) emit(null) }", "reduce": "_count"},
    },
}
STRICT = {"validate_doc_update": "function () { throw {forbidden: 'no'} }"}

MEMBERS: dict[str, bytes] = {
    "views": b'"id":"cid","key":3,"value":3',
    "_sum": b'"value":6',
    "_count": b'"value":3',
    "_stats": b'"sumsqr":14',
    "_approx_count_distinct": b'"value":3',
    "_first": b'"value":1',
    "_last": b'"value":3',
    "_top_N": b'"value":[3,2]',
    "_bottom_N": b'"value":[1,2]',
    "options.include_design": b'"value":7',
    "options.local_seq": b'"value":7',
    "options.collation": b'"key":[],"value":null},\n{"id":"ada","key":"x"',
    "filters": b'"id":"ada"',
    "validate_doc_update": b'"reason":"no"',
    "language": b'"_id":"_design/made"',
}
"""What the answer of each line about members of design documents holds."""

HELLO = {"hello.txt": {"content_type": "text/plain", "data": "aGVsbG8="}}


@dataclass(frozen=True)
class Try:
    """A request as the page shows it: `rest` is a body, or the header of COPY."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    rest: str
    status: int

    def without(self, parameter: str) -> Try:
        """The same request without a parameter, be it in the query or a member of the body."""
        query = tuple(pair for pair in self.query if pair[0] != parameter)
        if len(query) < len(self.query):
            return Try(self.method, self.path, query, self.rest, self.status)
        body = json.loads(self.rest)
        if parameter in body:
            del body[parameter]
        else:
            del body["index"][parameter]
        return Try(self.method, self.path, query, json.dumps(body), self.status)


@dataclass(frozen=True)
class Line:
    """A line of a table."""

    kind: str
    name: str
    state: str
    shown: Try | None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.shown}"


def _shown(cell: str) -> Try | None:
    found = re.fullmatch(r"`([A-Z]+) (/\S*)(?: (.+))?`(?: → (\d{3}))?", cell)
    if found is None:
        assert cell == "", cell
        return None
    method, target, rest, status = found.groups()
    path, _, query = target.partition("?")
    pairs = tuple((name, value) for name, _, value in (pair.partition("=") for pair in query.split("&")))
    return Try(method, path, pairs if query else (), rest or "", int(status or 200))


def _sections() -> dict[str, list[Line]]:
    """The lines of the tables below each heading."""
    sections: dict[str, list[Line]] = {}
    heading = kind = ""
    for text in PAGE.read_text("utf-8").splitlines():
        if text.startswith("## "):
            heading = text[3:]
        if not text.startswith("|") or text.startswith("| ---"):
            continue
        first, state, shown, _ = (cell.strip() for cell in text[1:-1].split("|"))
        if state == "here":
            kind = first
            continue
        sections.setdefault(heading, []).append(Line(kind, first.strip("`"), state, _shown(shown)))
    return sections


SECTIONS = _sections()
LINES = [line for lines in SECTIONS.values() for line in lines]


def _shape(method: str, path: str) -> str:
    """An address without the names in it, HEAD as GET."""
    return (
        ("GET" if method == "HEAD" else method) + " " + (re.sub(r"\{[^}]*\}", "*", path).rstrip("/") or "/")
    )


def test_the_page_is_read_as_it_is_meant() -> None:
    assert len(LINES) > 200
    assert [str(line) for line in LINES if line.state not in STATES] == []
    assert {line.kind for line in LINES} == {"request", "parameter", "member"}
    members = {line.name for line in LINES if line.kind == "member" and line.state != "not here"}
    assert members == set(MEMBERS)
    assert [str(line) for line in LINES if line.state != "not here" and line.shown is None] == []


def test_no_address_of_the_face_is_missing() -> None:
    listed = {_shape(*line.name.split(" ")) for line in LINES if line.kind == "request"}
    served = {_shape(route.method, route.path.removeprefix("/couch")) for route in ROUTES}
    assert served - listed == set()


def test_what_works_or_differs_is_served() -> None:
    """That what is not here answers no is in `test_the_page`; these have a route."""
    served = {_shape(route.method, route.path.removeprefix("/couch")) for route in ROUTES}
    here = {
        _shape(*line.name.split(" ")) for line in LINES if line.kind == "request" and line.state != "not here"
    }
    assert here - served == set()


class Shop:
    """The database of the page's examples, made anew for each."""

    def __init__(self, server: WebServer) -> None:
        self.server = server
        self.values: dict[str, str] = {}

    async def _json(self, method: str, path: str, body: Any = None) -> Any:
        options = {} if body is None else {"json": body}
        answer = await self.server.ask(method, f"/apps/shop/couch{path}", **options)
        assert answer.status < 300, (method, path, answer.body)
        return answer.json

    async def make_members(self) -> None:
        """What the lines about members of design documents need besides."""
        await self._json("PUT", "/shop/_design/made", MADE)
        await self._json("PUT", "/shop/_design/wide", WIDE)
        await self._json("PUT", "/strict")
        await self._json("PUT", "/strict/_design/d", STRICT)

    async def make(self) -> None:
        for name in await self._json("GET", "/_all_dbs"):
            await self._json("DELETE", f"/{name}")
        for name in ("shop", "zoo"):
            await self._json("PUT", f"/{name}")
        first = await self._json("PUT", "/shop/ada", {"n": 0, "name": "Ada"})
        rev = first["rev"]
        second = await self._json(
            "PUT", f"/shop/ada?rev={rev}", {"n": 1, "name": "Ada", "_attachments": HELLO}
        )
        seq = (await self._json("GET", "/shop/_changes"))["last_seq"]
        await self._json("POST", "/shop/_bulk_docs", {"docs": _others(), "new_edits": False})
        design = await self._json("PUT", "/shop/_design/d", DESIGN)
        await self._json("POST", "/shop/_index", {"index": {"fields": ["n"]}, "ddoc": "idx", "name": "n"})
        await self._json("PUT", "/shop/_local/mark", {"a": 1})
        page = await self._json("POST", "/shop/_find", {"selector": {}, "limit": 1})
        self.values = {
            "rev": second["rev"],
            "rev1": rev,
            "lost": "1-a",
            "seq": seq,
            "drev": design["rev"],
            "bookmark": page["bookmark"],
            "token": self.server.owner,
        }

    def filled(self, text: str) -> str:
        for name, value in self.values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    async def run(self, shown: Try) -> tuple[int, bytes]:
        """The status and what came of the body until it ended, or for a moment if it does not."""
        query = "&".join(f"{name}={quote(self.filled(value))}" for name, value in shown.query)
        path = quote(self.filled(shown.path)) + (f"?{query}" if query else "")
        headers, rest = self.server.headers(), self.filled(shown.rest)
        if shown.method == "COPY":
            headers["Destination"] = rest.removeprefix("Destination: ")
            rest = ""
        elif rest:
            headers["Content-Type"] = "text/plain" if rest.isalpha() else "application/json"
        url = URL(f"{self.server.url}/apps/shop/couch{path}", encoded=True)
        received = bytearray()
        async with (
            aiohttp.ClientSession() as session,
            session.request(shown.method, url, headers=headers, data=rest.encode() or None) as response,
        ):
            try:
                async with asyncio.timeout(PATIENCE):
                    async for piece in response.content.iter_any():
                        received += piece
            except TimeoutError:
                pass
            return response.status, _VARYING.sub(b"*", received)


@pytest.mark.parametrize("heading", SECTIONS)
async def test_the_page(web_server: WebServer, heading: str) -> None:
    """Each line is run as it is shown; a parameter that works changes the answer."""
    await web_server.make_app("shop")
    shop = Shop(web_server)
    wrong = []
    for line in SECTIONS[heading]:
        if line.shown is None:
            continue
        await shop.make()
        if line.kind == "member":
            await shop.make_members()
        status, body = await shop.run(line.shown)
        if line.kind == "member" and MEMBERS[line.name] not in body:
            wrong.append(f"{line} answered {body[:500]!r}")
        if status != line.shown.status:
            wrong.append(f"{line} answered {status}: {body[:200]!r}")
        elif line.kind == "parameter" and line.state == "works":
            await shop.make()
            if (status, body) == await shop.run(line.shown.without(line.name)):
                wrong.append(f"{line} answers the same without it")
    assert not wrong, "\n".join(wrong)


async def test_what_is_not_here_says_no(web_server: WebServer) -> None:
    """Each such request, with names filled in, is refused; nothing takes it for something else."""
    await web_server.make_app("shop")
    shop = Shop(web_server)
    await shop.make()
    taken = []
    for line in LINES:
        if line.kind != "request" or line.state != "not here" or line.shown is not None:
            continue
        method, path = line.name.split(" ")
        path = re.sub(r"\{[^}]*\}", "x", path.replace("{db}", "shop").replace("{ddoc}", "d"))
        status, body = await shop.run(Try(method, path, (), "" if method == "GET" else "{}", 404))
        if status not in (400, 403, 404, 405, 501):
            taken.append(f"{line} answered {status}: {body[:200]!r}")
    assert not taken, "\n".join(taken)


def _others() -> list[dict[str, Any]]:
    """Leaves of documents other than `ada`, as a peer would send them."""
    return [
        {"_id": "bob", "_rev": "1-b", "n": 2, "name": "Bob"},
        {"_id": "bob", "_rev": "1-a", "n": 2, "name": "Rob"},
        {"_id": "cid", "_rev": "2-c", "n": 3, "name": "Cid", "_revisions": {"start": 2, "ids": ["c", "r"]}},
        {"_id": "cid", "_rev": "2-b", "_deleted": True, "_revisions": {"start": 2, "ids": ["b", "r"]}},
        {"_id": "gone", "_rev": "2-g", "_deleted": True, "_revisions": {"start": 2, "ids": ["g", "f"]}},
    ]
