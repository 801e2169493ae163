"""Integrations as values: what an app's manifest asks for, and what the owner set.

An integration is one outside service that an app may call without ever seeing the secret. The manifest asks
(`Ask`), the owner answers (`Integration`): where the service is, how to sign in, what may be called. The
secret itself is in neither.

Every `checked_…` function takes a value from JSON or TOML and raises InvalidValue with the member's name in
`details`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from localsrv.base.errors import InvalidValue
from localsrv.model.integration_addresses import (
    check_scheme,
    checked_hosts,
    checked_url,
    host_and_port,
    origin_of,
    texts,
)
from localsrv.model.integration_headers import FORBIDDEN_NAMES
from localsrv.model.integration_paths import checked_pattern

NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}\Z")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""Those that can be allowed; GET allows HEAD too."""

NONE = "none"
CLIENT_CREDENTIALS = "oauth-client-credentials"
REFRESH_TOKEN = "oauth-refresh-token"  # noqa: S105 - a kind of signing in

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
_PARAMETER = re.compile(r"[A-Za-z0-9_.\[\]-]{1,100}\Z")
_PRINTABLE = re.compile(r"[\x20-\x7e]*\Z")
_HEADER_SECRET = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})

_OAUTH = {"token_url": True, "client_id": True, "scope": False, "audience": False, "client_auth": False}
PARAMETERS: Mapping[str, Mapping[str, bool]] = {
    NONE: {},
    "bearer": {},
    "basic": {"username": True},
    "header": {"name": True, "prefix": False},
    "query": {"name": True},
    CLIENT_CREDENTIALS: _OAUTH,
    REFRESH_TOKEN: _OAUTH,
}
"""Kind of authentication → its parameters that are no secrets, and whether each is needed."""

OAUTH_KINDS = frozenset({CLIENT_CREDENTIALS, REFRESH_TOKEN})


@dataclass(frozen=True, slots=True)
class Auth:
    """How requests are signed in. `parameters` are those of `PARAMETERS`; the secret is in the vault."""

    kind: str = NONE
    parameters: Mapping[str, str] = field(default_factory=lambda: _NO_PARAMETERS)

    @property
    def needs_secret(self) -> bool:
        return self.kind != NONE

    def as_json(self) -> dict[str, str]:
        return {"kind": self.kind, **self.parameters}


@dataclass(frozen=True, slots=True)
class Ask:
    """What a manifest asks for. `base_url` and `auth` are suggestions; the owner decides."""

    name: str
    title: str
    why: str
    base_url: str | None = None
    auth: Auth = Auth()
    methods: tuple[str, ...] = ("GET",)
    paths: tuple[str, ...] = ("/**",)

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "why": self.why,
            "base_url": self.base_url,
            "auth": self.auth.as_json(),
            "methods": list(self.methods),
            "paths": list(self.paths),
        }


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, sizes in mebibytes. Server-sent events are held to `silence_s` alone."""

    connect_s: float = 10.0
    first_byte_s: float = 120.0
    silence_s: float = 120.0
    total_s: float = 600.0
    request_mb: float = 64.0
    response_mb: float = 256.0
    retries: int = 2

    def as_json(self) -> dict[str, float]:
        return dataclasses.asdict(self)


LIMITS: Mapping[str, tuple[float, float]] = {
    "connect_s": (0.1, 120),
    "first_byte_s": (0.1, 3600),
    "silence_s": (0.1, 3600),
    "total_s": (0.1, 86_400),
    "request_mb": (0.001, 4096),
    "response_mb": (0.001, 65_536),
    "retries": (0, 5),
}
"""The least and the most of each limit."""


@dataclass(frozen=True, slots=True)
class Integration:
    """What the owner set. `hosts` are those that may be reached though they are not public."""

    base_url: str
    auth: Auth = Auth()
    methods: tuple[str, ...] = ("GET",)
    paths: tuple[str, ...] = ("/**",)
    hosts: tuple[str, ...] = ()
    limits: Limits = Limits()
    is_cached: bool = True

    @property
    def origin(self) -> str:
        return origin_of(self.base_url)

    def may_use(self, method: str) -> bool:
        return method in self.methods or (method == "HEAD" and "GET" in self.methods)

    def names_host(self, url: str) -> bool:
        """Whether the owner named the host of an address, with or without its port."""
        host, port = host_and_port(url)
        return host in self.hosts or f"{host}:{port}" in self.hosts

    def as_json(self) -> dict[str, Any]:
        return {
            "base_url": self.base_url,
            "auth": self.auth.as_json(),
            "methods": list(self.methods),
            "paths": list(self.paths),
            "hosts": list(self.hosts),
            "limits": self.limits.as_json(),
            "cache": self.is_cached,
        }


# ── the rest of the settings ───────────────────────────────────────────────────────────────────────────────


def checked_name(value: object) -> str:
    if not isinstance(value, str) or not NAME.match(value):
        raise InvalidValue(
            f"`{str(value)[:100]}` is no name of an integration.",
            details="name",
            hint="Use a-z, 0-9, - and _, starting with a letter, at most 41.",
        )
    return value


def checked_text(value: object, place: str, longest: int = 500) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > longest or not value.isprintable():
        raise InvalidValue(f"`{place}` must be a text of one line, at most {longest} long.", details=place)
    return value


def checked_methods(value: object) -> tuple[str, ...]:
    methods = tuple(dict.fromkeys(m.upper() for m in texts(value, "methods") if m.upper() != "HEAD"))
    for method in methods:
        if method not in METHODS:
            raise InvalidValue(
                f"`{method[:50]}` is no method that can be allowed.",
                details="methods",
                hint=f"Known are: {', '.join(METHODS)}.",
            )
    if not methods:
        raise InvalidValue("`methods` is empty.", details="methods", hint='For example ["GET"].')
    return methods


def checked_paths(value: object) -> tuple[str, ...]:
    patterns = texts(value, "paths")
    if not patterns:
        raise InvalidValue("`paths` is empty.", details="paths", hint='Everything is ["/**"].')
    return tuple(dict.fromkeys(checked_pattern(p) for p in patterns))


def checked_auth(value: object, *, complete: bool = True) -> Auth:
    """`"bearer"`, or `{kind, …parameters}`. What a manifest suggests need not be `complete`."""
    given: Mapping[str, Any] = value if isinstance(value, Mapping) else {"kind": value}
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in PARAMETERS:
        raise InvalidValue(
            f"`{str(kind)[:50]}` is no kind of authentication.",
            details="auth",
            hint=f"Known are: {', '.join(PARAMETERS)}.",
        )
    known = PARAMETERS[kind]
    parameters = {name: text for name, text in given.items() if name != "kind" and text is not None}
    for name in parameters:
        if name not in known:
            raise InvalidValue(
                f"`{str(name)[:50]}` is nothing that `{kind}` knows.",
                details="auth",
                hint=f"It knows: {', '.join(known) or 'no parameters'}.",
            )
        parameters[name] = _checked_parameter(kind, name, parameters[name])
    missing = [name for name, is_needed in known.items() if is_needed and name not in parameters]
    if complete and missing:
        raise InvalidValue(f"`{kind}` needs `{missing[0]}`.", details=f"auth.{missing[0]}")
    return Auth(kind, MappingProxyType(parameters))


def _checked_parameter(kind: str, name: str, value: object) -> str:
    place = f"auth.{name}"
    if name == "token_url":
        return checked_url(value, place)
    if not isinstance(value, str) or len(value) > 500 or not _PRINTABLE.match(value) or not value.strip():
        raise InvalidValue(f"`{place}` must be a text of printable ASCII.", details=place)
    if kind == "header" and name == "name":
        if not _TOKEN.match(value) or value.lower().replace("_", "-") in FORBIDDEN_NAMES - {"authorization"}:
            raise InvalidValue(
                f"`{value[:100]}` is no header that can carry a secret.",
                details=place,
                hint="Such as X-Api-Key.",
            )
    elif kind == "basic" and ":" in value:
        raise InvalidValue("A name for Basic authentication has no colon.", details=place)
    elif kind == "query" and not _PARAMETER.match(value):
        raise InvalidValue(f"`{value[:100]}` is no name of a parameter.", details=place)
    elif name == "client_auth" and value not in ("basic", "body"):
        raise InvalidValue("`auth.client_auth` must be `basic` or `body`.", details=place)
    return value


def checked_limits(value: object, now: Limits = Limits()) -> Limits:
    """`now` with the members that `value` has."""
    if not isinstance(value, Mapping):
        raise InvalidValue("`limits` must be an object.", details="limits")
    changed: dict[str, Any] = {}
    for name, number in value.items():
        if name not in LIMITS:
            raise InvalidValue(
                f"`{str(name)[:50]}` is no limit.", details="limits", hint=f"Known are: {', '.join(LIMITS)}."
            )
        low, high = LIMITS[name]
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not low <= number <= high or (name == "retries" and number != int(number)):
            kind = "a whole number" if name == "retries" else "a number"
            raise InvalidValue(
                f"`limits.{name}` must be {kind} from {low:g} to {high:g}.", details=f"limits.{name}"
            )
        changed[name] = int(number) if name == "retries" else float(number)
    return dataclasses.replace(now, **changed)


def checked_secret(auth: Auth, value: str, place: str = "secret") -> str:
    """A secret that can be sent in the way it is meant for."""
    if not value:
        raise InvalidValue(f"`{place}` is empty.", details=place)
    if auth.kind in ("bearer", "header") and not re.fullmatch(
        r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", value
    ):
        raise InvalidValue(
            f"`{place}` cannot be sent in a header: it must be printable ASCII on one line.",
            details=place,
            hint="Look for a line break at its end.",
        )
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise InvalidValue(
            f"`{place}` has control characters.", details=place, hint="Look for a line break at its end."
        )
    return value


# ── both together ──────────────────────────────────────────────────────────────────────────────────────────

ASK_MEMBERS = ("title", "why", "base_url", "auth", "methods", "paths")


def parse_ask(name: str, value: Mapping[str, Any], add: Callable[[str, str, str | None], None]) -> Ask | None:
    """What a manifest's `[integrations.<name>]` asks; None when something is wrong.

    `add` is told every problem: the member, the message, the hint.
    """
    found: dict[str, Any] = {}
    checks: dict[str, Callable[[Any], Any]] = {
        "title": lambda v: checked_text(v, "title", 100),
        "why": lambda v: checked_text(v, "why"),
        "base_url": checked_url,
        "auth": lambda v: checked_auth(v, complete=False),
        "methods": checked_methods,
        "paths": checked_paths,
    }
    is_fine = True
    for member, check in checks.items():
        if member not in value:
            continue
        try:
            found[member] = check(value[member])
        except InvalidValue as error:
            add(error.details or member, error.message, error.hint)
            is_fine = False
    if "why" not in value:
        add("", f"`integrations.{name}` does not say why.", 'Tell the owner: why = "Shows the weather".')
        is_fine = False
    return Ask(name, found.pop("title", name), **found) if is_fine else None


def changed(now: Integration | None, ask: Ask | None, value: Mapping[str, Any]) -> Integration:
    """What the owner set, after `value`: members that it lacks stay, or are taken from what was asked."""
    base = value.get("base_url", now.base_url if now else ask.base_url if ask else None)
    if base is None:
        raise InvalidValue("`base_url` is missing.", details="base_url", hint="Where is the service?")
    made = Integration(
        base_url=checked_url(base),
        auth=checked_auth(value["auth"]) if "auth" in value else _auth_of(now, ask),
        methods=checked_methods(value["methods"]) if "methods" in value else (now or ask or _ANY).methods,
        paths=checked_paths(value["paths"]) if "paths" in value else (now or ask or _ANY).paths,
        hosts=checked_hosts(value["hosts"]) if "hosts" in value else now.hosts if now else (),
        limits=checked_limits(value.get("limits", {}), now.limits if now else Limits()),
        is_cached=value.get("cache", now.is_cached if now else True),
    )
    if made.auth.needs_secret:
        check_scheme(made.base_url, made.hosts, "base_url")
    if "token_url" in made.auth.parameters:
        check_scheme(made.auth.parameters["token_url"], made.hosts, "auth.token_url")
    return made


def _auth_of(now: Integration | None, ask: Ask | None) -> Auth:
    if now is not None:
        return now.auth
    return checked_auth(ask.auth.as_json()) if ask is not None else Auth()


_ANY = Ask("", "", "")
