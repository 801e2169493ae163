"""What the tests of bad input share: an app to misuse, and what a clear refusal looks like."""

from __future__ import annotations

import re
import socket
from typing import Any

from tests.support.server import Response, RunningServer

REST = "/apps/shop/rest/v1"
API = "/api/v1/apps/shop"
JSON = {"Content-Type": "application/json"}
COLLECTIONS: dict[str, Any] = {
    "items": {
        "key": "id",
        "fields": {
            "id": "integer",
            "name": "text",
            "code": "text",
            "price": "decimal",
            "size": "number",
            "made": "date",
            "at": "timestamptz",
            "is_new": "boolean",
            "serial": "uuid",
            "data": "json",
        },
        "unique": ["code"],
        "full_text": ["name"],
    },
    "lines": {"fields": {"item": "integer"}, "relations": [{"fields": "item", "to": "items"}]},
    "notes": {},
    "closed": {"strict": True, "fields": {"a": {"type": "integer", "required": True}}},
    "checked": {"schema": {"properties": {"t": {"pattern": "^(a+)+$"}}}},
}

SQL = re.compile(r"\b(SELECT .+ FROM|INSERT INTO|UPDATE .+ SET|DELETE FROM|PRAGMA|CREATE TABLE)\b")
INSIDES = ("Traceback", 'File "', "site-packages", "localsrv_documents", "sqlite3.", ".py:")

MAX_BODY = 1 << 20


def everything(server: RunningServer) -> dict[str, Any]:
    """All documents with their revisions, the definitions, and the keys."""
    listed = server.request("GET", f"{API}/collections").json()["collections"]
    found: dict[str, Any] = {"": listed, "keys": server.request("GET", "/api/v1/keys").json()["keys"]}
    for one in listed:
        page = server.request("GET", f"{API}/collections/{one['name']}/documents?limit=10000").json()
        found[one["name"]] = page["documents"]
    return found


def assert_clean(server: RunningServer, text: str) -> None:
    """Nothing of the server's inside: no traceback, no path of its folders, no SQL, no token."""
    assert not any(inside in text for inside in INSIDES), text
    assert str(server.home) not in text, text
    assert not SQL.search(text), text
    assert server.token not in text


def assert_refused(server: RunningServer, answer: Response, status: int, code: str, says: str) -> None:
    """The answer is the error, as a person and a program need it."""
    text = answer.body.decode()
    assert answer.status == status, text
    body = answer.json()
    assert set(body) == {"code", "message", "details", "hint"}
    assert body["code"] == code, text
    assert body["message"] and (body["details"] or body["hint"]), f"says neither where nor what to do: {text}"
    assert says in " ".join(filter(None, body.values())), text
    assert len(text) < 3000, "a person must be able to read it"
    assert_clean(server, text)


def head(server: RunningServer, path: str, *lines: str, method: str = "POST") -> bytes:
    """The beginning of a raw request, with the owner's token."""
    first = (f"{method} {path} HTTP/1.1", f"Host: localhost:{server.port}", f"apikey: {server.token}")
    return "\r\n".join((*first, *lines, "", "")).encode()


def raw(server: RunningServer, *parts: bytes, finish: bool = False) -> bytes:
    """What the server answers to bytes, until it closes; empty when it only closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            if finish:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before everything was sent: the answer is waiting
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def small_app(server: RunningServer, app: str) -> None:
    made = server.request("POST", "/api/v1/apps", {"id": app, "title": app.title()})
    assert made.status == 201, made.body
    path = f"/api/v1/apps/{app}/collections/t"
    assert server.request("PUT", path, {"fields": {"x": "text"}}).status == 201
    assert server.request("POST", f"/apps/{app}/rest/v1/t", {"id": "a", "x": "first"}).status == 201
