"""What a route is, and how a path finds its route.

Each face lists its routes as values; `web.app` joins them into one table. The scope check, the OpenAPI
document and the docs are made from this table, so that none of them can miss a route.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_to_bytes

from aiohttp import web

from localsrv.base.errors import BadRequest

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN: None = None
"""The scope of the few routes that answer without a token."""

ANY = "any"
"""The scope of routes that any grant of the app may use, or any at all where the path names no app; the
handler checks what the request names."""

ADMIN = "admin"

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Face(StrEnum):
    """Which dialect a route speaks. Decides how its errors are rendered."""

    API = "api"
    REST = "rest"
    COUCH = "couch"
    INTEGRATIONS = "integrations"
    CACHE = "cache"
    OAUTH = "oauth"


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path.

    `path` begins at the server's root for `Face.API` (`/api/v1/…`) and at the app's base for the other faces
    (`/rest/v1/{collection}`, served below `/apps/{app}` and on the app's own host). `{name}` stands for one
    segment, percent-decoded; an encoded slash does not end it. A last `{name...}` takes one segment or more,
    joined by slashes.

    `scope` is None (open), `"any"`, `"admin"`, or a scope whose `{name}` is taken from the path, such as
    `{collection}:read`. GET answers HEAD too.

    `request` and `response` are JSON Schemas of the bodies, `query` describes the query's parameters
    (name → text), `statuses` the answers besides errors. `streams_body` leaves the size to the handler.
    `signable` lets a signed URL stand in for the token. `late_token` lets a WebSocket open without one: its
    handler takes the token from the first message. `form` says that the request's body is a form, not JSON.
    `any_origin` lets pages of every origin but `null` ask and read the answer, without credentials.
    """

    method: str
    path: str
    handler: Handler
    scope: str | None
    summary: str
    request: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    statuses: tuple[int, ...] = (200,)
    face: Face = Face.API
    streams_body: bool = False
    signable: bool = False
    late_token: bool = False
    form: bool = False
    any_origin: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path, in order."""
        return tuple(_name(s) for s in self.path.split("/") if s.startswith("{"))


REST_OF_PATH = "...}"
"""How a segment ends that takes the rest of the path."""


def _name(segment: str) -> str:
    return segment[1:-1].removesuffix("...")


class _Node:
    __slots__ = ("fixed", "rest", "routes", "variable")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.rest: _Node | None = None
        self.routes: dict[str, tuple[Route, tuple[str, ...]]] = {}


class RouteTable:
    """Finds the routes of a path, given as decoded segments.

    A fixed segment goes before a variable one, and that before one that takes the rest of the path.
    """

    def __init__(self, served: Iterable[tuple[str, Route]]) -> None:
        """`served` has each route with its path from the server's root. Twice the same is a ValueError."""
        self._root = _Node()
        for path, route in served:
            self._add(path, route)

    def _add(self, path: str, route: Route) -> None:
        node = self._root
        names: list[str] = []
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                names.append(_name(segment))
                if segment.endswith(REST_OF_PATH):
                    node.rest = node = node.rest or _Node()
                    continue
                if node.variable is None:
                    node.variable = _Node()
                node = node.variable
            else:
                node = node.fixed.setdefault(segment, _Node())
        methods = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        for method in methods:
            if method in node.routes:
                raise ValueError(f"{method} {path} is in the route table twice")
            node.routes[method] = (route, tuple(names))

    def find(self, segments: list[str]) -> dict[str, tuple[Route, dict[str, str]]]:
        """Method → (route, path parameters); empty when nothing is served there."""
        found = self._walk(self._root, segments, 0, [])
        if found is None:
            return {}
        node, values = found
        made: dict[tuple[str, ...], dict[str, str]] = {}  # nearly always one for all methods
        out = {}
        for method, (route, names) in node.routes.items():
            params = made.get(names)
            if params is None:
                params = made[names] = dict(zip(names, values, strict=True))
            out[method] = (route, params)
        return out

    def _walk(
        self, node: _Node, segments: list[str], at: int, values: list[str]
    ) -> tuple[_Node, list[str]] | None:
        if at == len(segments):
            return (node, values) if node.routes else None
        fixed = node.fixed.get(segments[at])
        if fixed is not None and (found := self._walk(fixed, segments, at + 1, values)):
            return found
        if not segments[at]:
            return None
        if node.variable is not None and (
            found := self._walk(node.variable, segments, at + 1, [*values, segments[at]])
        ):
            return found
        return None if node.rest is None else (node.rest, [*values, "/".join(segments[at:])])


def decoded_segments(path: str) -> list[str]:
    """The segments of a request's raw path, without its query; an encoded slash does not split them.

    Raises:
        BadRequest: not an absolute path, or not UTF-8 beneath the percent signs, or a NUL in it.
    """
    path = path.partition("?")[0]
    if not path.startswith("/"):
        raise BadRequest(
            "The request's target must be a path.", code="malformed-target", hint="Begin it with a slash."
        )
    segments = path[1:].split("/")
    if "%" in path or not path.isascii():
        try:
            segments = [unquote_to_bytes(s.encode("utf-8", "surrogateescape")).decode() for s in segments]
        except UnicodeDecodeError as error:
            raise BadRequest(
                "The path is not UTF-8.", code="malformed-target", hint="Percent-encode its UTF-8 bytes."
            ) from error
        if any("\0" in s for s in segments):
            raise BadRequest(
                "The path holds a NUL.",
                code="malformed-target",
                hint="No name here can hold one: leave %00 out.",
            )
    return segments


def couch_segments(segments: list[str]) -> list[str]:
    """A path of the sync face, in the form in which routes are written.

    `_design%2Fname` is `_design/name`, as in CouchDB; what is below a design document may end with a slash.
    """
    database, rest = segments[:4], segments[4:]
    if rest and rest[0].startswith(("_design/", "_local/")):
        rest = [*rest[0].split("/", 1), *rest[1:]]
    if rest[:1] == ["_design"] and len(rest) > 3 and rest[-1] == "":
        rest = rest[:-1]
    return [*database, *rest]
