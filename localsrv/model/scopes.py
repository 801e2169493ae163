"""Scopes and grants: what a token lets its bearer do.

A scope is `<collection>:read`, `<collection>:write`, `*:read`, `*:write`, `sync` or `admin`. `write` does not
imply `read`. `sync` is what another store needs to be kept in step: reading and writing every collection of
the app, making new ones, and writing design documents. A grant holds scopes for one app, or for all with `*`;
`admin` in it satisfies every scope of its app, and for `*` the whole server's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from localsrv.base.errors import InvalidValue
from localsrv.model.schema import APP_ID

ADMIN = "admin"
SYNC = "sync"
ALL = "*"

_SCOPE = re.compile(r"(?:\*|[a-z_][a-z0-9_$()+/-]{0,200}):(?:read|write)\Z")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?\Z")


@dataclass(frozen=True, slots=True)
class Grant:
    """One client's access. Times are seconds since 1970, in UTC; `expires_at` None means never.

    `origin` is the web origin that alone may use it from a browser; None leaves that open.
    """

    id: str
    name: str
    app: str
    scopes: frozenset[str]
    origin: str | None = None
    created_at: int = 0
    expires_at: int | None = None
    last_used_at: int | None = None

    def allows(self, app: str | None, scope: str) -> bool:
        """Whether it covers `scope` in `app`; `app` None means the server as a whole."""
        if self.app not in (ALL, app):
            return False
        if scope in self.scopes or ADMIN in self.scopes:
            return True
        collection, _, action = scope.partition(":")
        if collection.startswith("_"):  # `_replicator` makes this server send requests: for admins alone
            return False
        if SYNC in self.scopes and action in ("read", "write"):
            return True
        return collection != ALL and bool(action) and f"*:{action}" in self.scopes

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def used(self, at: int) -> Grant:
        return replace(self, last_used_at=at)


def read(collection: str) -> str:
    return f"{collection}:read"


def write(collection: str) -> str:
    return f"{collection}:write"


def parse_scopes(values: object) -> frozenset[str]:
    """The scopes that a list names.

    Raises:
        InvalidValue: not a list of texts, empty, or one that is no scope.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidValue("`scopes` must be a list.", hint='For example ["*:read", "orders:write"].')
    scopes = list(values)
    for scope in scopes:
        if not isinstance(scope, str) or (scope not in (ADMIN, SYNC) and not _SCOPE.match(scope)):
            raise InvalidValue(
                f"`{scope}` is not a scope.",
                details="scopes",
                hint="A scope is <collection>:read, <collection>:write, *:read, *:write, sync or admin.",
            )
    if not scopes:
        raise InvalidValue("A key needs at least one scope.", details="scopes", hint="For example *:read.")
    return frozenset(scopes)


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
