"""What a replication is: its definition, its id, and when it is tried again.

A definition has CouchDB's form (docs: api/server/common, «_replicate»; replication/replicator): `source` and
`target`, each the name of a database of this app, a URL, or an object `{url, headers, auth}`, and options.
Secrets never stay in it: `parse_replication` hands them out beside the definition, and whoever stores a
definition stores `Replication.as_document`, which has none.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

from localsrv.base.errors import InvalidValue
from localsrv.model.schema import COUCH_NAME

Side = Literal["source", "target"]
SIDES: tuple[Side, Side] = ("source", "target")

LONGEST_URL = 4096
DEFAULT_CHECKPOINT_S = 5.0
"""Seconds between two checkpoints, as CouchDB's `checkpoint_interval` (there in milliseconds)."""

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 300.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens a peer. Its text has no secrets, so that no log and no traceback can tell one."""

    username: str | None = None
    password: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: _EMPTY)

    def __bool__(self) -> bool:
        return self.password is not None or bool(self.headers)

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, …)"

    def request_headers(self) -> dict[str, str]:
        """The headers to send. Basic is UTF-8 (RFC 7617), and goes before a header of its own."""
        out = dict(self.headers)
        if self.password is not None:
            out = {k: v for k, v in out.items() if k.lower() != "authorization"}
            pair = f"{self.username or ''}:{self.password}".encode()
            out["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return out

    def as_text(self, origin: str) -> str:
        """For the vault, bound to the origin it may be sent to."""
        parts = {"o": origin, "u": self.username, "p": self.password, "h": dict(self.headers)}
        return json.dumps({k: v for k, v in parts.items() if v}, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str, origin: str) -> Credentials | None:
        """What the vault holds; None when it is for another origin, or no credentials at all."""
        try:
            found = json.loads(text)
        except ValueError:
            return None
        if not isinstance(found, dict) or found.get("o") != origin:
            return None
        return cls(found.get("u"), found.get("p"), MappingProxyType(found.get("h") or {}))


NO_CREDENTIALS = Credentials()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side: `database` of this app, or else `url` of a database elsewhere, without credentials.

    `username` is shown; `secret` names the entry of the vault that holds the rest.
    """

    database: str | None = None
    url: str = ""
    username: str | None = None
    secret: str | None = None

    @property
    def label(self) -> str:
        """For people, and in CouchDB's answers: never a secret."""
        return self.database if self.database is not None else self.url + "/"

    @property
    def origin(self) -> str:
        """Scheme, host and port of a URL: where its credentials may go."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}:{parts.port or _DEFAULT_PORTS.get(parts.scheme)}"

    @property
    def identity(self) -> list[str | int | None]:
        """What makes it another peer in replication ids. Scheme and password do not, as in CouchDB."""
        if self.database is not None:
            return ["local", self.database]
        parts = urlsplit(self.url)
        port = None if parts.port in (None, 80, 443, 5984) else parts.port
        return ["remote", self.username, parts.hostname, port, parts.path]

    @property
    def peer_id(self) -> str:
        """Short and stable: names the peer as `peer:<id>` in change feeds, whoever signs in there."""
        kept = [part for part in self.identity if part != self.username or part is None]
        return hashlib.sha256(_canonical(kept)).hexdigest()[:16]

    def as_json(self) -> str | dict[str, Any]:
        """As a definition's document has it."""
        if self.database is not None:
            return self.database
        if self.username is None and self.secret is None:
            return self.url
        auth: dict[str, Any] = {} if self.username is None else {"basic": {"username": self.username}}
        return {"url": self.url, "auth": auth | ({} if self.secret is None else {"vault": self.secret})}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents: of some ids, or those that a selector or a filter function lets through."""

    doc_ids: tuple[str, ...] | None = None
    selector: Mapping[str, Any] | None = None
    function: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __bool__(self) -> bool:
        return self.doc_ids is not None or self.selector is not None or self.function is not None


@dataclass(frozen=True, slots=True)
class Replication:
    """A parsed definition. Times in seconds."""

    source: Endpoint
    target: Endpoint
    continuous: bool = False
    create_target: bool = False
    filter: Filter = Filter()
    winning_only: bool = False
    since: str | int | None = None
    use_checkpoints: bool = True
    checkpoint_s: float = DEFAULT_CHECKPOINT_S
    use_bulk_get: bool = True

    def endpoint(self, side: Side) -> Endpoint:
        return self.source if side == "source" else self.target

    def with_secret(self, side: Side, secret: str | None) -> Replication:
        changed = replace(self.endpoint(side), secret=secret)
        return replace(self, source=changed) if side == "source" else replace(self, target=changed)

    def base_id(self, device: str, app: str) -> str:
        """Names the checkpoints. All that decides which revisions go where is in it, and the device and app
        that run it (CouchDB: couch_replicator_ids), so that two of them never share a checkpoint."""
        parts: list[Any] = [device, app, self.source.identity, self.target.identity]
        if self.filter:
            kept = self.filter
            parts.append(
                [kept.doc_ids, kept.selector and dict(kept.selector), kept.function, dict(kept.parameters)]
            )
        if self.winning_only:
            parts.append("winning_revs_only")
        if self.since is not None:
            parts.append(["since_seq", self.since])
        return hashlib.md5(_canonical(parts), usedforsecurity=False).hexdigest()

    def id(self, device: str, app: str) -> str:
        """Names the job: `base_id` with CouchDB's suffixes."""
        suffix = "+continuous" * self.continuous + "+create_target" * self.create_target
        return self.base_id(device, app) + suffix

    def as_document(self) -> dict[str, Any]:
        """The definition as it may be stored and shown."""
        out: dict[str, Any] = {"source": self.source.as_json(), "target": self.target.as_json()}
        if self.continuous:
            out["continuous"] = True
        if self.create_target:
            out["create_target"] = True
        if self.filter.doc_ids is not None:
            out["doc_ids"] = list(self.filter.doc_ids)
        if self.filter.selector is not None:
            out["selector"] = dict(self.filter.selector)
        if self.filter.function is not None:
            out["filter"] = self.filter.function
        if self.filter.parameters:
            out["query_params"] = dict(self.filter.parameters)
        return out


def parse_replication(body: Mapping[str, Any]) -> tuple[Replication, dict[Side, Credentials]]:
    """A definition and the secrets that came in it. Unknown members are ignored, as CouchDB does.

    Raises:
        InvalidValue: a side is missing or no address, an option has the wrong type, two filters at once.
    """
    source, source_credentials = _endpoint(body.get("source"), "source")
    target, target_credentials = _endpoint(body.get("target"), "target")
    if source.database is not None and source == target:
        raise InvalidValue("The source and the target are the same database.", details="target")
    for name in ("proxy", "source_proxy", "target_proxy"):
        if body.get(name):
            raise InvalidValue(f"`{name}` is not supported here.", details=name)
    made = Replication(
        source=source,
        target=target,
        continuous=_boolean(body, "continuous"),
        create_target=_boolean(body, "create_target"),
        filter=_filter(body),
        winning_only=_boolean(body, "winning_revs_only"),
        since=_since(body),
        use_checkpoints=_boolean(body, "use_checkpoints", usual=True),
        checkpoint_s=_checkpoint_interval(body),
        use_bulk_get=_boolean(body, "use_bulk_get", usual=True),
    )
    return made, {"source": source_credentials, "target": target_credentials}


def _endpoint(value: Any, side: Side) -> tuple[Endpoint, Credentials]:
    given: Mapping[str, Any] = value if isinstance(value, dict) else {"url": value}
    url, auth, headers = given.get("url"), given.get("auth") or {}, given.get("headers") or {}
    if not isinstance(url, str) or not url or len(url) > LONGEST_URL:
        raise InvalidValue(
            f"`{side}` is missing or no address.",
            details=side,
            hint="Give the name of a database here, or a URL such as https://host:5984/name.",
        )
    if not isinstance(auth, dict) or not _is_texts(headers):
        raise InvalidValue(f"`{side}` has an `auth` or `headers` that is no object of texts.", details=side)
    if "://" not in url:
        if isinstance(value, dict) and (auth or headers):
            raise InvalidValue(
                f"`{url[:80]}` in `{side}` is no address of another server.",
                details=side,
                hint="Put http:// or https:// before it. A database here needs no name, password or headers.",
            )
        if not COUCH_NAME.match(url):
            raise InvalidValue(
                f"`{url[:80]}` in `{side}` cannot be the name of a database here.",
                code="invalid-database-name",
                details=side,
                hint="A name begins with a small letter and holds a-z, 0-9 and _ $ ( ) + - /. The address "
                "of another server begins with http:// or https://.",
            )
        return Endpoint(database=url), NO_CREDENTIALS
    clean, user, password = _split_url(url, side)
    basic = auth.get("basic") or {}
    if not _is_texts(basic) or not isinstance(auth.get("vault"), str | None):
        raise InvalidValue(f"`{side}` has an `auth.basic` that is no {{username, password}}.", details=side)
    if basic.get("username") is not None:
        user, password = basic["username"], basic.get("password")
    elif user is None:
        user, password, headers = _from_header(headers)
    for name, text in headers.items():
        if not name.isascii() or not name.isprintable() or not text.isprintable() or not name:
            raise InvalidValue(f"`{side}` has a header that cannot be sent.", details=side)
    return Endpoint(None, clean, user, auth.get("vault")), Credentials(
        user, password, MappingProxyType(headers)
    )


def _split_url(url: str, side: Side) -> tuple[str, str | None, str | None]:
    """The URL without credentials and without its last slash, the user and the password."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        host = None
    # Nothing of a URL that cannot be read is told: there may be a password somewhere in it.
    if host is None or parts.scheme not in _DEFAULT_PORTS or not url.isprintable() or " " in url:
        raise InvalidValue(
            f"`{side}` is no http or https URL.", details=side, hint="Give it as https://host:5984/name."
        )
    path = parts.path.rstrip("/")
    if not path or parts.query or parts.fragment:
        raise InvalidValue(
            f"The URL in `{side}` names no database.", details=side, hint="Such as https://host:5984/name."
        )
    where = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return f"{parts.scheme}://{where}{quote(path, safe='/%:@!$&*+,;=~()')}", user, password


def _from_header(headers: Mapping[str, str]) -> tuple[str | None, str | None, dict[str, str]]:
    """User and password from an `Authorization: Basic` header, and the headers without it."""
    name = next((n for n in headers if n.lower() == "authorization"), None)
    if name is None or not headers[name].lower().startswith("basic "):
        return None, None, dict(headers)
    try:
        user, colon, password = base64.b64decode(headers[name][6:].strip()).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, None, dict(headers)
    if not colon:
        return None, None, dict(headers)
    return user, password, {n: text for n, text in headers.items() if n != name}


def _filter(body: Mapping[str, Any]) -> Filter:
    doc_ids, selector, function = body.get("doc_ids"), body.get("selector"), body.get("filter")
    parameters = body.get("query_params")
    parameters = {} if parameters is None else parameters
    if sum(given is not None for given in (doc_ids, selector, function)) > 1:
        raise InvalidValue("`doc_ids`, `filter` and `selector` are mutually exclusive.", details="filter")
    if doc_ids is not None and not (isinstance(doc_ids, list) and all(isinstance(i, str) for i in doc_ids)):
        raise InvalidValue("parameter `doc_ids` must be an array", details="doc_ids")
    if selector is not None and not isinstance(selector, dict):
        raise InvalidValue("parameter `selector` must be a JSON object", details="selector")
    if function is not None and not (isinstance(function, str) and function):
        raise InvalidValue("parameter `filter` must be the name of a filter function", details="filter")
    if not isinstance(parameters, dict):
        raise InvalidValue("parameter `query_params` must be an object", details="query_params")
    ids = None if doc_ids is None else tuple(sorted(set(doc_ids)))
    return Filter(ids, selector, function, MappingProxyType(parameters))


def _boolean(body: Mapping[str, Any], name: str, *, usual: bool = False) -> bool:
    value = body.get(name, usual)
    if not isinstance(value, bool):
        raise InvalidValue(f"parameter `{name}` must be a boolean", details=name)
    return value


def _since(body: Mapping[str, Any]) -> str | int | None:
    value = body.get("since_seq")
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise InvalidValue("parameter `since_seq` must be a sequence", details="since_seq")
    return value


def _checkpoint_interval(body: Mapping[str, Any]) -> float:
    value = body.get("checkpoint_interval", DEFAULT_CHECKPOINT_S * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3_600_000:
        raise InvalidValue(
            "parameter `checkpoint_interval` must be milliseconds", details="checkpoint_interval"
        )
    return value / 1000


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def retry_delay(failures: int, chance: float, wanted: float | None = None) -> float:
    """Seconds until the next try after `failures` in a row: doubling, up to five minutes.

    `chance` (0 to 1) spreads peers that were cut off together over the upper half of the time. `wanted` is
    what the peer asked for (`Retry-After`), which is kept to within an hour.
    """
    longest = min(FIRST_DELAY_S * 2.0 ** min(max(failures, 1) - 1, 20), LONGEST_DELAY_S)
    return max(longest * (0.5 + chance / 2), min(wanted or 0.0, 3600.0))
