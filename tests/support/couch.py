"""A database of the sync face, asked as a CouchDB client asks, and what is stored beneath it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from localsrv.model.multipart import END_OF_PART, Head, MultipartParser, boundary_of

if TYPE_CHECKING:
    from localsrv.store.database import Database
    from tests.web.conftest import Answer, WebServer

JSON = {"Accept": "application/json"}

Parts = list[tuple[dict[str, str], bytes]]


@dataclass
class Couch:
    """One database of app `shop`. Paths are below it: `ask("GET", "/id")`."""

    server: WebServer
    name: str = "db"
    token: str = ""

    @property
    def base(self) -> str:
        return f"/apps/shop/couch/{quote(self.name, safe='')}"

    @property
    def database(self) -> Database:
        return self.server.services.apps.opened["shop"].database

    async def ask(self, method: str, path: str = "", **options: Any) -> Answer:
        return await self.server.ask(method, self.base + path, **{"token": self.token, **options})

    async def put(self, path: str, document: Any, *, status: int = 201) -> str:
        """Writes a document and returns its revision."""
        done = await self.ask("PUT", path, json=document)
        assert done.status == status, done.body
        return str(done.json["rev"])

    async def get(self, path: str, **options: Any) -> Any:
        """An answer that must be JSON and 200."""
        found = await self.ask("GET", path, **{"headers": JSON, **options})
        assert found.status == 200, found.body
        return found.json

    async def graft(self, document_id: str, *path: str, **more: Any) -> None:
        """Stores a revision made elsewhere: `path` newest first."""
        start = int(path[0].partition("-")[0])
        ids = [one.partition("-")[2] for one in path]
        document = {"_revisions": {"start": start, "ids": ids}, **more}
        done = await self.ask("PUT", f"/{document_id}?new_edits=false", json=document)
        assert done.status in (200, 201) and done.json["rev"] == path[0], done.body

    def stored(self) -> tuple[int, list[str], int]:
        """The newest change, the files of large contents, and how many contents the database knows."""
        db = self.database
        files = sorted(str(path) for path, _ in db._file.blobs.files())
        rows = db._file.point.connection.execute("SELECT count(*) FROM localsrv_blobs").fetchone()[0]
        return db.last_seq, files, rows


def parts_of(answer: Answer | tuple[Mapping[str, str], bytes]) -> Parts:
    """The parts of a multipart answer, or of a part of one; names of headers in lower case."""
    headers, body = answer if isinstance(answer, tuple) else (answer.headers, answer.body)
    content_type = headers.get("Content-Type") or headers.get("content-type") or ""
    parser, parts = MultipartParser(boundary_of(content_type)), Parts()
    for event in parser.feed(body):
        if isinstance(event, Head):
            parts.append((dict(event.headers), b""))
        elif event is not END_OF_PART:
            assert isinstance(event, bytes)
            parts[-1] = (parts[-1][0], parts[-1][1] + event)
    parser.close()
    return parts


def related(document: Any, *contents: bytes | tuple[dict[str, str], bytes]) -> dict[str, Any]:
    """The options of a request that sends a document and what follows it as multipart/related."""
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    body = b"--abc123\r\ncontent-type: application/json\r\n\r\n" + raw
    for content in contents:
        headers, data = content if isinstance(content, tuple) else ({}, content)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        body += f"\r\n--abc123\r\n{lines}\r\n".encode() + data
    body += b"\r\n--abc123--"
    return {"data": body, "headers": {"Content-Type": 'multipart/related; boundary="abc123"'}}
