"""The guard: what is decided before a route is looked at (docs/threat-model.md: the attack behind each rule).

A browser lets any page on the internet send requests to this machine, with the Host the page likes (DNS
rebinding), and tells the truth in three headers: Host, Origin and Sec-Fetch-Site. So: an exact Host; an
Origin that is this site's own or holds a grant; nothing that changes state from another site without one.
Programs that are no browsers send no Origin and are held by their token alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import hdrs, web
from multidict import istr

from localsrv.base.errors import BadRequest, InvalidValue, NotFound
from localsrv.model.scopes import parse_origin
from localsrv.web.addresses import Addresses, Site
from localsrv.web.errors import ForeignOrigin, MisdirectedRequest
from localsrv.web.headers import Cors, allow_origin

SEC_FETCH_SITE = istr("Sec-Fetch-Site")
_REQUEST_METHOD = istr("Access-Control-Request-Method")
_REQUEST_HEADERS = istr("Access-Control-Request-Headers")
_NETWORK_REQUESTS = (
    (istr("Access-Control-Request-Private-Network"), "Access-Control-Allow-Private-Network"),
    (istr("Access-Control-Request-Local-Network"), "Access-Control-Allow-Local-Network"),
)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PREFLIGHT_SECONDS = 600
METHODS = "GET, HEAD, POST, PATCH, PUT, DELETE, COPY"

_HEADER_LIST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~, ")


@dataclass(frozen=True, slots=True)
class Guard:
    """`is_app` says whether an app of that id exists; `holds_grant` whether an origin has a live grant."""

    addresses: Addresses
    is_app: Callable[[str], bool]
    holds_grant: Callable[[str], bool]
    allowed_origins: frozenset[str]

    def site(self, host: str | None, port: int | None = None) -> Site:
        """What the Host header names at a port of this server (`Addresses.site`).

        Raises:
            BadRequest: there is none. MisdirectedRequest: it names nothing of ours. NotFound: the port is an
            app's sync face, and there is no such app.
        """
        if host is None:
            raise BadRequest("The Host header is missing.", code="malformed-header")
        found = self.addresses.site(host, port)
        if found is not None and found.is_couch and found.app is not None and not self.is_app(found.app):
            raise NotFound(
                f"There is no app `{found.app}`, which the setting couchdb_app names for this port.",
                code="app-not-found",
                details=found.app,
                hint=f"Make it (localsrv app add --id {found.app}), or name another app in config.toml "
                "and start localsrv again.",
            )
        if found is None or (found.app is not None and not self.is_app(found.app)):
            raise MisdirectedRequest(
                "This server does not answer to that name.",
                hint=f"Use {self.addresses.url}, or the address of one of its apps.",
            )
        return found

    def cors_origin(self, request: web.Request, site: Site, any_origin: bool = False) -> str | None:
        """The other origin that may read the answer; None when the request is this site's own or no page's.

        `any_origin` says that a grant is not needed here.

        Raises:
            ForeignOrigin: another origin without a grant, `Origin: null`, or a change from another site.
        """
        headers = request.headers
        origin = headers.get(hdrs.ORIGIN)
        fetch_site = headers.get(SEC_FETCH_SITE)
        if origin is None:
            if fetch_site is None or fetch_site in ("same-origin", "none"):
                return None
            if request.method in SAFE_METHODS and hdrs.UPGRADE not in headers:
                return None
            raise _foreign("another site")
        if origin == site.origin:
            if fetch_site is None or fetch_site == "same-origin":
                return None
            raise _foreign(origin)
        if origin != "null" and (origin in self.allowed_origins or self.holds_grant(origin)):
            return origin
        if any_origin and _is_origin(origin):
            return origin
        raise _foreign(origin)

    def preflight(
        self, request: web.Request, site: Site, with_credentials: bool = False, any_origin: bool = False
    ) -> web.Response | None:
        """The answer to a CORS preflight; None when the request is none.

        Raises:
            ForeignOrigin: the origin holds no grant.
        """
        headers = request.headers
        if request.method != "OPTIONS" or hdrs.ORIGIN not in headers or _REQUEST_METHOD not in headers:
            return None
        origin = self.cors_origin(request, site, any_origin) or site.origin
        answer = web.Response(status=204, headers={"Access-Control-Max-Age": str(PREFLIGHT_SECONDS)})
        answer.headers["Access-Control-Allow-Methods"] = METHODS
        asked = headers.get(_REQUEST_HEADERS, "")
        if asked and _HEADER_LIST.issuperset(asked):
            answer.headers["Access-Control-Allow-Headers"] = asked
        for request_name, answer_name in _NETWORK_REQUESTS:
            if headers.get(request_name) == "true":
                answer.headers[answer_name] = "true"
        allow_origin(answer, Cors(origin, with_credentials))
        return answer


def _is_origin(text: str) -> bool:
    """Whether a header names one origin, as browsers write it; `null` is none, nor is a file."""
    try:
        return parse_origin(text) == text
    except InvalidValue:
        return False


def _foreign(origin: str) -> ForeignOrigin:
    return ForeignOrigin(
        "Pages of this origin have no access.",
        details=origin[:200],
        hint="It can ask for access, or be given a key: localsrv key create NAME --origin ORIGIN",
    )
