"""The admin API's answers as types. The server's OpenAPI document has the same with all details."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class CollectionInfo(TypedDict):
    name: str
    title: str | None
    documents: int
    definition: dict[str, Any]


class AppInfo(TypedDict):
    """`url` is the app's own origin, `path_url` the base of its faces on the server's host. `port` is its own
    port if it has one, `port_error` why that is not served: `code`, `message`, `details`, `hint`."""

    id: str
    title: str | None
    url: str
    path_url: str
    port: int | None
    port_error: dict[str, str | None] | None
    has_ui: bool
    version: str | None
    size_bytes: int
    collections: list[CollectionInfo]
    updated_at: str | None
    error: dict[str, str | None] | None
    changes: NotRequired[list[str]]


class VaultInfo(TypedDict):
    """`kind` is `os_keyring` or `sealed_file`; `message` says in words how it is."""

    kind: str
    backend: str | None
    state: str
    message: str


class OneVault(VaultInfo):
    """`entries`: how many secrets it holds, or holds still though they count no longer."""

    entries: int


class Vaults(TypedDict):
    """The vault in use, and all there are."""

    kind: str
    state: str
    message: str
    vaults: list[OneVault]


class MovedSecrets(Vaults):
    """`lost` were listed, but the old vault had them no longer; `left` are yet to be removed from it."""

    moved: int
    lost: list[str]
    left: int


class Secret(TypedDict):
    """A secret's name; `app` is None for those of the server, which all apps may use."""

    name: str
    app: str | None
    updated_at: str


class ListenerInfo(TypedDict):
    host: str
    port: int
    trust: str
    app: str | None


class CouchdbInfo(TypedDict):
    """The sync face's own port. `error` is why nothing can be reached there: `code`, `message`, `hint`."""

    url: str
    port: int
    app: str
    error: dict[str, str | None] | None


class Status(TypedDict):
    version: str
    device_id: str
    pid: int
    url: str
    started_at: str
    uptime_s: float
    data_dir: str
    config_file: str
    log_file: str
    sqlite_version: str
    vault: VaultInfo
    listeners: list[ListenerInfo]
    couchdb: CouchdbInfo | None
    apps: list[AppInfo]


class Key(TypedDict):
    """`token` is there in the answer that makes the key, and never again."""

    id: str
    kind: str
    name: str
    app: str
    scopes: list[str]
    origin: str | None
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    token: NotRequired[str]


class GrantInfo(Key):
    """Any access; `kind` is `key`, `page`, `paired` or `publishable`. `words` say what it may do."""

    program: str | None
    words: list[str]


class PairingRequest(TypedDict):
    """Who waits. `name` is what it calls itself; `origin` is what the browser says of the page that asks, and
    `sent_by` the page that sent the browser for somebody else."""

    id: str
    status: str
    code: str | None
    name: str
    origin: str | None
    sent_by: str | None
    answer_to: str | None
    app: str | None
    scopes: list[str]
    words: list[str]
    created_at: str


class PairingRequests(TypedDict):
    version: int
    requests: list[PairingRequest]


class Decided(PairingRequest):
    once: NotRequired[bool]
    muted: NotRequired[bool]


class Code(TypedDict):
    code: str
    url: str
    expires_in: int


class QueryResult(TypedDict):
    columns: list[str]
    rows: list[list[Any]]
    truncated: bool


class Violation(TypedDict):
    id: str
    kind: str
    message: str


class ImportResult(TypedDict):
    created: int
    updated: int
    unchanged: int
    violations: list[Violation]
    violation_count: int


class Removed(TypedDict):
    removed: str
    data: str


class ReplicationProgress(TypedDict):
    """`changes_pending` is None when the source does not tell; `rate` is documents a second."""

    docs_read: int
    docs_written: int
    doc_write_failures: int
    bytes: int
    rate: float
    changes_pending: int | None


class Replication(TypedDict):
    """`state` in CouchDB's words, or `paused`. `definition` as the `_replicator` document has it."""

    id: str
    definition: dict[str, Any]
    state: str
    error: str | None
    hint: str | None
    errors: int
    next_try_at: str | None
    started_at: str | None
    updated_at: str | None
    progress: ReplicationProgress


class ReplicationEntry(TypedDict):
    at: str
    kind: str
    text: str


class Side(TypedDict):
    rev: str
    document: dict[str, Any]
    attachments: dict[str, Any]


class Difference(TypedDict):
    """`sides` have `rev` and, where the field is there, `value`."""

    path: list[str]
    ancestor: NotRequired[Any]
    sides: list[dict[str, Any]]
    disputed: bool


class Conflict(TypedDict):
    """A document that was changed in several places at once. The first of `sides` is the winner."""

    collection: str
    id: str
    policy: str
    ancestor: dict[str, Any] | None
    sides: list[Side]
    differences: list[Difference]


class Resolved(TypedDict):
    rev: str
    ended: list[str]


class CollectionChange(TypedDict):
    collection: CollectionInfo
    changes: list[str]


class CollectionsChange(TypedDict):
    collections: list[CollectionInfo]
    changes: list[str]


class DocumentPage(TypedDict):
    """`next` is the id to go on after, None at the end."""

    documents: list[dict[str, Any]]
    next: str | None


class Event(TypedDict):
    """One frame of the live feed; `type` is `ready`, `change` or `reset`."""

    type: str
    seq: str
    collection: NotRequired[str]
    id: NotRequired[str]
    rev: NotRequired[str]
    deleted: NotRequired[bool]
    matches: NotRequired[bool]
    source: NotRequired[str]
    cause: NotRequired[str | None]
    row: NotRequired[dict[str, Any] | None]
    at: NotRequired[str | None]


class AuditEntry(TypedDict):
    """Something that happened `count` times between `at` and `until`, which are ISO 8601 in UTC."""

    number: int
    at: str
    until: str
    count: int
    event: str
    grant: str | None
    who: str | None
    app: str | None
    origin: str | None
    subject: str | None
    details: dict[str, str | int]


class IntegrationHealth(TypedDict):
    """`state` of the circuit breaker: `closed` is well, `open` waits, `half-open` tries."""

    state: str
    next_try_in_s: float
    failures: int
    calls: int
    last_error: str | None
    last_error_at: str | None
    cached: int
    cached_bytes: int


class Integration(TypedDict):
    """`asked` is what the app's manifest asks for, `settings` what the owner set, each if there is one."""

    app: str
    name: str
    title: str
    asked: dict[str, Any] | None
    settings: dict[str, Any] | None
    health: IntegrationHealth | None
    more_asked: list[str]


class Tried(TypedDict):
    ok: bool
    status: int | None
    ms: int
    error: dict[str, str | None] | None
