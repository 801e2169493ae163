"""Scopes and grants: what a token lets its bearer do.

| scope | lets its bearer |
| --- | --- |
| `<collection>:read`, `*:read` | read one collection, or all of the app |
| `<collection>:write`, `*:write` | write; does not imply `read` |
| `files:<bucket>:read`, `files:*:read`, `…:write` | the same for files |
| `sync` | what another store needs: every collection, making new ones, design documents |
| `functions:<name>`, `functions:*` | call the app's own functions |
| `integrations:<name>:use`, `integrations:*:use` | call an outside service with a key that stays here |
| `cache:use`, `secrets:use` | the app's cache; the app's named secrets |
| `admin` | everything of the app; for all apps, everything on the server |

A grant holds scopes for one app, or for all with `*`. Only `admin` implies scopes of another kind: `*:read`
is about collections and implies neither files nor functions, integrations, cache or secrets.

No function may be called `read` or `write`: `functions:read` is the collection `functions`, as ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from localsrv.base.errors import InvalidValue
from localsrv.model.schema import APP_ID

ADMIN = "admin"
SYNC = "sync"
CACHE = "cache:use"
SECRETS = "secrets:use"
ALL = "*"

Kind = Literal["key", "page", "paired", "publishable"]
"""How a grant came to be: made by the owner, a page that the owner opened, a program or page that asked and
was allowed, or a key that an app's own pages may show to everybody."""

_WORDS = frozenset({ADMIN, SYNC, CACHE, SECRETS})
_COLLECTION = re.compile(r"(?:\*|[a-z][a-z0-9_$()+/-]{0,200}):(?:read|write)\Z")
"""Names that begin with `_` are no collections of an app, and for admins alone (`implies`)."""
_NAME = r"(?:\*|[A-Za-z0-9][A-Za-z0-9._-]{0,100})"
_OTHERS = re.compile(
    rf"files:{_NAME}:(?:read|write)\Z|functions:(?!(?:read|write)\Z){_NAME}\Z|integrations:{_NAME}:use\Z"
)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?\Z")


@dataclass(frozen=True, slots=True)
class Grant:
    """One client's access. Times are seconds since 1970, in UTC; `expires_at` None means never.

    `origin` is the web origin that alone may use it from a browser; None leaves that open. `program` is what
    a paired client calls itself, which nothing proves.
    """

    id: str
    name: str
    app: str
    scopes: frozenset[str]
    origin: str | None = None
    created_at: int = 0
    expires_at: int | None = None
    last_used_at: int | None = None
    kind: Kind = "key"
    program: str | None = None

    def allows(self, app: str | None, scope: str) -> bool:
        """Whether it covers `scope` in `app`; `app` None means the server as a whole."""
        return self.app in (ALL, app) and implies(self.scopes, scope)

    @property
    def user(self) -> str:
        """Who this is to design documents' functions: a name that nobody but the owner chose.

        What a paired client calls itself is its own choice, so that it could pass for another.
        """
        return self.id if self.kind == "paired" else self.name

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def used(self, at: int) -> Grant:
        return replace(self, last_used_at=at)


def implies(held: frozenset[str], scope: str) -> bool:
    """Whether scopes of one app cover another scope of it."""
    if ADMIN in held:
        return True
    if scope.startswith("_"):  # `_replicator` makes this server send requests: for admins alone
        return False
    if scope in held:
        return True
    head, _, action = scope.partition(":")
    if action in ("read", "write"):
        return SYNC in held or (head != ALL and f"*:{action}" in held)
    match scope.split(":"):
        case ["files" | "integrations", _, what]:
            return f"{head}:*:{what}" in held
        case ["functions", _]:
            return "functions:*" in held
    return False


def narrowed(held: frozenset[str], wanted: Iterable[str]) -> frozenset[str]:
    """`wanted`, all of it covered by `held`: scopes can become fewer and narrower, never more.

    Raises:
        InvalidValue: (`code="scope-too-wide"`) one that is not covered.
    """
    for scope in wanted:
        if not implies(held, scope):
            raise InvalidValue(
                f"`{scope}` goes beyond what was asked for.",
                code="scope-too-wide",
                details=scope,
                hint=f"Choose among: {', '.join(sorted(held))}.",
            )
    return frozenset(wanted)


def read(collection: str) -> str:
    return f"{collection}:read"


def write(collection: str) -> str:
    return f"{collection}:write"


def is_scope(text: str) -> bool:
    return text in _WORDS or bool(_COLLECTION.match(text) or _OTHERS.match(text))


def parse_scopes(values: object) -> frozenset[str]:
    """The scopes that a list names.

    Raises:
        InvalidValue: not a list of texts, empty, or one that is no scope.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidValue("`scopes` must be a list.", hint='For example ["*:read", "orders:write"].')
    scopes = list(values)
    for scope in scopes:
        if not isinstance(scope, str) or not is_scope(scope):
            raise InvalidValue(f"`{scope}` is not a scope.", details="scopes", hint=FORMS)
    if not scopes:
        raise InvalidValue("At least one scope is needed.", details="scopes", hint="For example *:read.")
    return frozenset(scopes)


FORMS = (
    "A scope is <collection>:read, <collection>:write, files:<bucket>:read, files:<bucket>:write, sync, "
    "functions:<name>, integrations:<name>:use, cache:use, secrets:use or admin, with * for all of a kind."
)


def parse_publishable(scopes: frozenset[str]) -> frozenset[str]:
    """The scopes of a publishable key, which are about named collections alone.

    Raises:
        InvalidValue: any other, `*:read` among them.
    """
    for scope in scopes:
        if not _COLLECTION.match(scope) or scope.startswith(("*", "_")):
            raise InvalidValue(
                f"A publishable key cannot have `{scope}`.",
                details="scopes",
                hint="Everybody can read the key: name the collections, as items:read or items:write.",
            )
    return scopes


def parse_app(value: object) -> str:
    """An app id, or `*` for all.

    Raises:
        InvalidValue: neither.
    """
    if not isinstance(value, str) or (value != ALL and not APP_ID.match(value)):
        raise InvalidValue(
            f"`{value}` is not an app id.",
            details="app",
            hint="Use a-z, 0-9 and -, starting with a letter, at most 41 characters; or * for all apps.",
        )
    return value


def parse_origin(value: object) -> str | None:
    """A web origin as browsers send it (`http://host:port`, lower case, no path), or None.

    Raises:
        InvalidValue: `null`, a wildcard, or an address with a path.
    """
    if value is None:
        return None
    text = value.rstrip("/").lower() if isinstance(value, str) else ""
    scheme = text.partition("://")[0]
    if text == "null" or not _ORIGIN.match(text) or scheme in ("file", "data", "javascript"):
        raise InvalidValue(
            f"`{value}` is not a web origin.",
            details="origin",
            hint="An origin is scheme, host and port without a path, such as http://localhost:5173.",
        )
    default_port = {"http": ":80", "https": ":443"}.get(scheme)
    return text.removesuffix(default_port) if default_port else text
