"""From a request to its handler, in one place and one pass: guard, route, credential, scope, app, errors.

aiohttp's application neither routes nor has middleware: its server hands every request straight to
`Dispatcher.handle` (`web.app.Runner`), since resolving and freezing a match costs more than everything here:
15 of the 85 microseconds of a read by id. What a (Host, path, port) means is remembered, since clients ask
the same again and again; the memory is bounded, and forgotten when apps come or go.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import HttpVersion11, hdrs, web

from localsrv.base.errors import BadRequest, LocalsrvError, NotFound, TooManyRequests
from localsrv.model.scopes import SYNC, Grant
from localsrv.services.audit import SIGN_IN_FAILED
from localsrv.web import errors
from localsrv.web.addresses import Site
from localsrv.web.attempts import Failures
from localsrv.web.auth import Authenticator
from localsrv.web.context import APPLICATION, CALL, CORS, Call, Services
from localsrv.web.guard import Guard
from localsrv.web.headers import Cors, decorate, name_request
from localsrv.web.hosting import serve_app_file, serve_dashboard_file
from localsrv.web.patience import TooSlow, Watch
from localsrv.web.routes import ADMIN, ANY, Face, Route, RouteTable, couch_segments, decoded_segments

log = logging.getLogger("localsrv.web")

Renderer = Callable[[LocalsrvError], web.Response]

_COUCH_PATH = re.compile(r"(?:/apps/[^/?]*)?/couch(?:[/?]|$)")

_FAILED_SIGN_INS = frozenset({"bad-token", "wrong-origin", "wrong-app", "bad-signature"})
"""Codes of errors that say: somebody came with a credential that does not count here."""

CUT_AFTER_S = 0.5
"""How long a feed has to say that its grant was revoked."""

REMEMBERED_PATHS = 4096
REMEMBERED_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Plan:
    """What one method does at one place: its route, the path's values, the app and the scope it needs."""

    route: Route
    params: Mapping[str, str]
    app: str | None
    scope: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """What a (Host, path, port) is: routes by method, or a file of a UI (`file`: its decoded segments)."""

    site: Site
    routes: Mapping[str, tuple[Route, Mapping[str, str]]]
    file: tuple[str, ...] | None
    face: Face = Face.API
    any_origin: bool = False
    _plans: dict[str, Plan] = field(default_factory=dict)

    def plan(self, method: str) -> Plan | None:
        """What a method does here, worked out when it is first asked for; None when it does nothing."""
        plan = self._plans.get(method)
        if plan is None and method in self.routes:
            plan = self._plans[method] = _plan(*self.routes[method])
        return plan


class Dispatcher:
    """The only handler that aiohttp knows. `application` is what `request.app` would be."""

    def __init__(
        self,
        application: web.Application,
        services: Services,
        table: RouteTable,
        renderers: Mapping[Face, Renderer],
    ) -> None:
        self._application = application
        self._services = services
        self._table = table
        self._renderers = renderers
        self._guard = Guard(
            services.addresses, services.apps.exists, self._holds_grant, services.allowed_origins
        )
        services.grants.on_end.append(self._cut_later)
        services.sign_in_failed = self._failed_sign_in
        self._authenticator = Authenticator(services)
        self._places: dict[tuple[str, str, int | None], Place] = {}
        self._generation = services.apps.generation
        self._failures = Failures()

    # ── the request ────────────────────────────────────────────────────────────────────────────────────────

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers a request and counts it as in flight meanwhile."""
        flight = self._services.flight
        flight.begin(request)
        try:
            response = await self._answer(request)
            if flight.is_landing:
                response.force_close()
            return response
        finally:
            flight.end(request)

    def _holds_grant(self, origin: str) -> bool:
        """Whether an origin has a grant, or is that of an app whose pages show a publishable key."""
        grants, addresses = self._services.grants, self._services.addresses
        return grants.holds(origin) or any(origin in addresses.app_origins(a) for a in grants.published())

    def _cut_later(self, grant: Grant) -> None:
        """A grant that was revoked ends its requests under way: feeds say so first, downloads are cut."""
        asyncio.get_running_loop().call_later(CUT_AFTER_S, self._cut, grant.id)

    def _cut(self, ident: str) -> None:
        for request in list(self._services.flight.requests.values()):
            call = request.get(CALL)
            if call is not None and call.grant is not None and call.grant.id == ident:
                log.info("a request of a revoked grant is cut", extra={"fields": {"grant": ident}})
                if request.transport is not None:
                    request.transport.abort()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Answers a request. Never raises but for a lost connection."""
        face = self._guessed_face(request)
        cors: Cors | None = None
        request[APPLICATION] = self._application
        if hdrs.EXPECT in request.headers:
            refused = await self._expect(request)
            if refused is not None:
                return refused
        try:
            _check_framing(request)
            place = self._place(request)
            face = place.face
            with_credentials = face is Face.COUCH
            preflight = self._guard.preflight(request, place.site, with_credentials, place.any_origin)
            if preflight is not None:
                return preflight
            origin = self._guard.cors_origin(request, place.site, place.any_origin)
            if origin is not None:
                request[CORS] = cors = Cors(origin, with_credentials)
            if place.file is not None:
                response = await self._serve_file(request, place.site, place.file)
            else:
                route = await self._admit(request, place)
                if request.content.is_eof():
                    response = await route.handler(request)
                else:
                    response = await self._patiently(request, route)
        except LocalsrvError as error:
            response = self._refuse(request, error, face)
        except web.RequestPayloadError as error:
            response = self._refuse(request, BadRequest("The body is broken.", details=str(error)), face)
        except web.HTTPException as error:
            response = (
                error if error.status < 400 else self._refuse(request, errors.from_aiohttp(error), face)
            )
        except ConnectionError:
            return web.Response(status=400)  # the client left; raised, it would be logged as our failure
        except Exception:
            log.exception("%s %s failed", request.method, _shown(request))
            response = self._refuse(request, LocalsrvError("Something went wrong in the server.",
                                    hint="Its log says what."), face)  # fmt: skip
        if not response.prepared:
            decorate(response, cors)
            if face is Face.COUCH:
                name_request(response)
        return response

    async def _patiently(self, request: web.Request, route: Route) -> web.StreamResponse:
        """Lets the handler answer while the body is still coming, and ends a body that hardly comes."""
        watch = Watch(request)
        try:
            return await route.handler(request)
        except TooSlow:
            request.protocol.close()  # nobody waits for the rest
            raise
        finally:
            watch.end()

    async def _expect(self, request: web.Request) -> web.StreamResponse | None:
        """For `Expect: 100-continue`: the body is invited only after the guard and the scope check passed."""
        try:
            place = self._place(request)
            self._guard.cors_origin(request, place.site, place.any_origin)
            if place.file is None:
                await self._admit(request, place)
        except LocalsrvError as error:
            response = self._refuse(request, error, self._guessed_face(request))
            response.force_close()
            return response
        if request.headers[hdrs.EXPECT].lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        return None

    async def _admit(self, request: web.Request, place: Place) -> Route:
        """Scope check and the request's `Call`; the app's database is open afterwards."""
        plan = place.plan(request.method)
        if plan is None:
            raise errors.MethodNotAllowed(request.method, tuple(sorted(place.routes)))
        route = plan.route
        grant = None
        if route.signable and "signature" in request.query:
            await self._services.signer.ready()
        if plan.scope is not None:
            grant = self._authenticator.grant(request, route, place.site, plan.app, plan.scope)
        app = None
        if plan.app is not None and grant is not None:
            app = self._services.apps.opened.get(plan.app)
            if app is None:
                app = await self._services.apps.open(plan.app)
        if not route.streams_body:
            length = request.content_length
            if length is not None and length > self._services.max_body:
                raise errors.from_aiohttp(web.HTTPRequestEntityTooLarge(self._services.max_body, length))
        if grant is not None:
            request.protocol.is_trusted = True  # type: ignore[attr-defined] # `web.protocol`
        request[CALL] = Call(route, plan.params, place.site, app, grant)
        return route

    async def _serve_file(
        self, request: web.Request, site: Site, segments: tuple[str, ...]
    ) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise errors.MethodNotAllowed(request.method, ("GET", "HEAD"))
        if site.app is None:
            return await serve_dashboard_file(request, segments)
        return await serve_app_file(request, self._services.apps.hosted(site.app), segments)

    def _refuse(self, request: web.Request, error: LocalsrvError, face: Face) -> web.Response:
        error = self._failed_sign_in(request, error)
        if error.status >= 500:
            log.warning("%s %s: %s (%s)", request.method, _shown(request), error.message, error.code)
        if request.writer.output_size > 0 and request.transport is not None:
            # The answer has begun: a second one would be read as its rest. A cut is what a client can see.
            request.transport.abort()
        response = self._renderers[face](error)
        if face is Face.COUCH and response.status == 401 and not _is_browsers(request):
            response.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="localsrv"'
        if isinstance(error, TooManyRequests):
            response.headers[hdrs.RETRY_AFTER] = str(error.retry_after_s)
        return response

    def _failed_sign_in(self, request: web.Request, error: LocalsrvError) -> LocalsrvError:
        """Notes it, if that is what it is; the error to tell: another one when there were too many."""
        if error.code not in _FAILED_SIGN_INS:
            return error
        origin = request.headers.get(hdrs.ORIGIN)
        self._services.audit.note(SIGN_IN_FAILED, origin=origin, details={"why": error.code})
        return self._failures.add(origin) or error

    # ── the place ──────────────────────────────────────────────────────────────────────────────────────────

    def _place(self, request: web.Request) -> Place:
        host = request.headers.get(hdrs.HOST)
        path = request.raw_path.partition("?")[0]
        if self._generation != self._services.apps.generation:
            self._generation = self._services.apps.generation
            self._places.clear()
        port = _port(request) if self._looks_at_ports() else None
        known = self._places.get((host or "", path, port))
        if known is not None:
            return known
        place = self._resolve(self._guard.site(host, port), path)
        if len(path) <= REMEMBERED_LENGTH:
            if len(self._places) >= REMEMBERED_PATHS:
                self._places.clear()
            self._places[host or "", path, port] = place
        return place

    def _guessed_face(self, request: web.Request) -> Face:
        """Whose errors to speak before the route is known."""
        couch = self._services.addresses.couch
        if "/couch" in request.raw_path and _COUCH_PATH.match(request.raw_path):
            return Face.COUCH
        if couch is not None and _port(request) == couch.port:
            return Face.COUCH
        if request.raw_path.startswith("/oauth/"):
            return Face.OAUTH
        return Face.REST if "/rest/v1/" in request.raw_path else Face.API

    def _looks_at_ports(self) -> bool:
        return self._services.ports.is_used or self._services.addresses.couch is not None

    def _resolve(self, site: Site, path: str) -> Place:
        segments = decoded_segments(path)
        if site.is_couch:
            below = ["apps", site.app or "", "couch", *segments]
        elif site.app is not None and segments[0] not in ("api", "apps") and path not in _ON_APP_HOSTS:
            below = ["apps", site.app, *segments]
        else:
            below = segments
        if below[2:3] == ["couch"]:
            below = couch_segments(below)
        found = self._table.find(below)
        if not found and "couch" in below[:3]:  # CouchDB passes over empty segments
            found = self._table.find([s for s in below if s])
        served = {
            m: (route, params) for m, (route, params) in found.items() if _is_served(route, params, site)
        }
        if served:
            first = next(iter(served.values()))[0]
            return Place(site, served, None, first.face, first.any_origin)
        if (
            site.is_couch
            or segments[0] in ("api", "apps")
            or (site.app is not None and segments[0] in FACE_ROOTS)
        ):
            raise NotFound("There is nothing at this address.", code="no-such-route", details=path[:200])
        return Place(site, {}, tuple(segments))


def _check_framing(request: web.Request) -> None:
    """Refuses what a program between a client and us may read otherwise than we do (RFC 9112, 6.1).

    aiohttp's parser refuses the rest: both lengths, two of them, folded lines, bare line feeds. It takes any
    list of codings that ends with `chunked`, also from HTTP/1.0, and decodes none but that.

    Raises:
        BadRequest: what follows on the connection is not read.
    """
    version = request.version
    if version is HttpVersion11 and not request.body_exists:
        return  # nearly all
    coding = request.headers.get(hdrs.TRANSFER_ENCODING)
    if version.major == 1 and (coding is None or (coding.lower() == "chunked" and version.minor >= 1)):
        return
    request.protocol.close()
    if version.major != 1:
        raise BadRequest("Only HTTP/1.1 and HTTP/1.0 are spoken here.", code="malformed-request")
    raise BadRequest(
        "The Transfer-Encoding is not understood.",
        code="malformed-request",
        hint="Send the body with a Content-Length, or chunked with HTTP/1.1.",
    )


def _shown(request: web.Request) -> str:
    """Where a request went, for the log: ids and names in the path are data, and stay out of it."""
    call: Call | None = request.get(CALL)
    if call is None:
        return request.path
    path: str = call.route.path
    for name in ("app", "db", "collection"):
        path = path.replace(f"{{{name}}}", call.params.get(name, ""))
    return path


def _is_browsers(request: web.Request) -> bool:
    """Whether a browser's page asks: a challenge would open the browser's own password box."""
    return hdrs.ORIGIN in request.headers or any(n.lower().startswith("sec-fetch-") for n in request.headers)


def _port(request: web.Request) -> int:
    """The port that the request came in at; 0, which is nobody's, when the client has left."""
    name = request.get_extra_info("sockname")
    return int(name[1]) if name else 0


FACE_ROOTS = frozenset({"rest", "couch", "storage", "auth", "realtime", "functions", "integrations", "cache"})
"""First segments on an app's host that belong to its faces, never to its UI."""

_ON_APP_HOSTS = frozenset(
    {
        "/api/v1/health",
        "/api/v1/exchange",
        "/api/v1/session",
        "/oauth/device_authorization",
        "/oauth/token",
        "/oauth/revoke",
    }
)
"""What an app's pages need besides their app's own routes, to ask for access and to keep it."""


def _is_served(route: Route, params: Mapping[str, str], site: Site) -> bool:
    """Whether `route` is served on this site: an app's host serves that app's own routes only."""
    return site.app is None or params.get("app") == site.app or route.path in _ON_APP_HOSTS


def _plan(route: Route, params: Mapping[str, str]) -> Plan:
    scope = route.scope
    if scope is not None and "{" in scope and scope not in (ANY, ADMIN):
        for name, value in params.items():
            scope = scope.replace(f"{{{name}}}", value)
    if scope == SYNC and params.get("db", "").startswith("_"):
        scope = ADMIN  # designs of `_replicator` see what admins write there, and may refuse it
    return Plan(route, params, params.get("app"), scope)
