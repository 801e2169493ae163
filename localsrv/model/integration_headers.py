"""Which headers go to an outside service, and which of its answer's come back.

RFC 9110, 7.6.1 (hop-by-hop), and what would let either side act in the other's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from localsrv.base.errors import BadRequest

Headers = tuple[tuple[str, str], ...]

HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        "proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "http2-settings",
    }
)  # fmt: skip

FORBIDDEN_NAMES = HOP_BY_HOP | {
    "host", "authorization", "apikey", "cookie", "cookie2", "content-length", "expect",
    # who asks, and from where, is nothing that an outside service is told by an app
    "origin", "referer", "forwarded", "via", "from", "x-real-ip", "x-client-ip", "true-client-ip",
    "user-agent", "dnt",
    # would change the method or the path behind our back
    "x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url",
}  # fmt: skip
"""Names that an app cannot send, in lower case with `-` for `_`, as many servers read them."""

_FORBIDDEN_PREFIXES = ("proxy-", "sec-", "x-forwarded-", "access-control-", "cf-")

_DROPPED = HOP_BY_HOP | {
    "set-cookie", "set-cookie2", "content-length", "www-authenticate", "server", "via", "x-powered-by",
    "date",
    # rules for the origin that answers, which is ours
    "alt-svc", "clear-site-data", "content-security-policy", "content-security-policy-report-only",
    "content-disposition", "expect-ct", "nel", "origin-agent-cluster", "origin-trial", "permissions-policy",
    "feature-policy", "public-key-pins", "referrer-policy", "refresh", "report-to", "reporting-endpoints",
    "service-worker-allowed", "sourcemap", "x-sourcemap", "strict-transport-security",
    "timing-allow-origin", "x-content-type-options", "x-frame-options", "x-xss-protection",
    "x-dns-prefetch-control", "integration-error", "warning",
}  # fmt: skip
_DROPPED_PREFIXES = ("access-control-", "cross-origin-", "proxy-", "sec-")

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_VALUE = re.compile(r"[\x20-\x7e\x80-\U0010ffff\t]*\Z")

_ELSEWHERE = frozenset({"accept", "accept-encoding", "accept-language", "range", "if-range"})


def to_send(headers: Iterable[tuple[str, str]], *, reserved: str | None = None) -> Headers:
    """What of a client's headers goes to the service. `reserved` is the one that carries the secret.

    Raises:
        BadRequest: a name or value that would be more than one header.
    """
    given = list(headers)
    dropped = FORBIDDEN_NAMES | _named_by_connection(given) | ({_same(reserved)} if reserved else set())
    kept = []
    for name, value in given:
        if not _NAME.match(name) or not _VALUE.match(value):
            raise BadRequest(
                "A header cannot be sent on: it has characters that no header may have.",
                code="malformed-header",
                details=name[:100] if name.isprintable() else None,
            )
        if _same(name) not in dropped and not _same(name).startswith(_FORBIDDEN_PREFIXES):
            kept.append((name, value))
    return tuple(kept)


def to_another_origin(headers: Headers) -> Headers:
    """What a redirect takes along to another origin: nothing that was meant for the first alone."""
    return tuple((name, value) for name, value in headers if name.lower() in _ELSEWHERE)


def to_return(headers: Iterable[tuple[str, str]]) -> Headers:
    """What of an outside service's headers the client gets."""
    given = list(headers)
    dropped = _DROPPED | _named_by_connection(given)
    return tuple(
        (name, value)
        for name, value in given
        if name.lower() not in dropped
        and not name.lower().startswith(_DROPPED_PREFIXES)
        and _NAME.match(name)
        and _VALUE.match(value)
    )


def value_of(headers: Iterable[tuple[str, str]], name: str) -> str | None:
    """The first value of a header; `name` in lower case."""
    return next((value for found, value in headers if found.lower() == name), None)


def _named_by_connection(headers: Iterable[tuple[str, str]]) -> set[str]:
    values = (value for name, value in headers if name.lower() == "connection")
    return {_same(part.strip()) for value in values for part in value.split(",") if part.strip()}


def _same(name: str) -> str:
    return name.lower().replace("_", "-")
