"""The error tree. Every error that a person or a program can meet is one of these.

An error carries a stable `code` (kebab-case, part of the public contract), a `message` for the
person, `details` (what and where) and a `hint` (what to do). Faces turn them into bodies in one
place each, by class and code, never by matching text.
"""

from __future__ import annotations

from typing import ClassVar


class LocalsrvError(Exception):
    """Base of all. `status` is the HTTP status a face answers unless it knows better."""

    status: ClassVar[int] = 500
    code: str = "internal"

    def __init__(
        self, message: str, *, code: str | None = None, details: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.hint = hint
        if code is not None:
            self.code = code

    def as_dict(self) -> dict[str, str | None]:
        """The error as the admin API's JSON body."""
        return {"code": self.code, "message": self.message, "details": self.details, "hint": self.hint}


class ConfigError(LocalsrvError):
    """A setting or manifest is wrong. `details` names file and line."""

    status = 400
    code = "bad-config"


class BadRequest(LocalsrvError):
    """The request cannot be understood: syntax, encoding, a malformed header."""

    status = 400
    code = "bad-request"


class InvalidValue(BadRequest):
    """A value does not fit: wrong type for a declared field, out of range, NUL, bad id."""

    code = "invalid-value"


class UnknownName(BadRequest):
    """A column, operator, relation or function that does not exist; `hint` has the nearest."""

    code = "unknown-name"


class QuerySyntaxError(BadRequest):
    """A query string does not follow the grammar. `position` counts characters from 0."""

    code = "query-syntax"

    def __init__(
        self, message: str, *, position: int = 0, details: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, details=details, hint=hint)
        self.position = position


class Unauthenticated(LocalsrvError):
    status = 401
    code = "unauthenticated"


class Forbidden(LocalsrvError):
    status = 403
    code = "forbidden"


class NotFound(LocalsrvError):
    """No such app, collection, document, revision, attachment. `code` tells which."""

    status = 404
    code = "not-found"


class NotAcceptable(LocalsrvError):
    status = 406
    code = "not-acceptable"


class Conflict(LocalsrvError):
    """The write contradicts what is stored (an id that exists, a stale revision)."""

    status = 409
    code = "conflict"


class UniqueViolation(Conflict):
    code = "unique-violation"


class RelationViolation(Conflict):
    code = "relation-violation"


class SchemaViolation(LocalsrvError):
    """The document does not satisfy the collection's JSON Schema, or a required field is null."""

    status = 400
    code = "schema-violation"


class PreconditionFailed(LocalsrvError):
    """`If-Match` or `_rev` named another revision than the stored one."""

    status = 412
    code = "precondition-failed"


class TooLarge(LocalsrvError):
    status = 413
    code = "too-large"


class UnsupportedMediaType(LocalsrvError):
    status = 415
    code = "unsupported-media-type"


class RangeNotSatisfiable(LocalsrvError):
    status = 416
    code = "range-not-satisfiable"


class TooManyRequests(LocalsrvError):
    """Too often in too short a time. `retry_after_s`: when to come again."""

    status = 429
    code = "too-many-requests"
    retry_after_s: int = 1


class QueryTimeout(LocalsrvError):
    """A query passed its deadline or its row limit."""

    status = 500
    code = "query-timeout"


class Unavailable(LocalsrvError):
    """Not now: shutting down, locked vault, too many waiting writes."""

    status = 503
    code = "unavailable"


class StorageError(LocalsrvError):
    """The disk or the file refuses: `storage-full`, `storage-read-only`, `storage-damaged` and others."""

    status = 507
    code = "storage"


class DesignError(LocalsrvError):
    """What a design document's function said, or why it cannot be run.

    `error` and `message` are told to clients of the sync face as they are.
    """

    code = "design"

    def __init__(self, error: str, reason: str, *, status: int = 500) -> None:
        super().__init__(reason, details=error)
        self.error = error
        self.status = status  # type: ignore[misc] # a function may forbid, or ask who is there


class VaultError(LocalsrvError):
    status = 503
    code = "vault"
