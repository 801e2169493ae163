"""Errors as CouchDB words them: `{"error": …, "reason": …}`.

Clients look at the status, many at `error` (PouchDB names its errors after it), some at CouchDB's exact
`reason`. Source: CouchDB's docs, «HTTP status codes», and the words of `chttpd.erl`, `error_info`.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import hdrs, web

from localsrv.base.errors import (
    BadRequest,
    DesignError,
    LocalsrvError,
    RelationViolation,
    SchemaViolation,
    StorageError,
    UniqueViolation,
)
from localsrv.model.mango_errors import MangoError
from localsrv.web.errors import MethodNotAllowed

JSON = "application/json"

CONFLICT = "Document update conflict."

_ERRORS: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    410: "gone",
    412: "precondition_failed",
    413: "too_large",
    415: "bad_content_type",
    416: "requested_range_not_satisfiable",
    417: "expectation_failed",
    421: "misdirected_request",
    429: "too_many_requests",
    501: "not_implemented",
    503: "service_unavailable",
    507: "insufficient_storage",
}

_BY_CODE: Mapping[str, tuple[int, str, str]] = {
    "no-collection": (404, "not_found", "Database does not exist."),
    "document-not-found": (404, "not_found", "missing"),
    "revision-not-found": (404, "not_found", "missing"),
    "attachment-not-found": (404, "not_found", "Document is missing attachment"),
    "collection-exists": (412, "file_exists", "The database could not be created, the file already exists."),
    "conflict": (409, "conflict", CONFLICT),
    "too-large": (413, "too_large", "the request entity is too large"),
    "document-exists": (409, "conflict", CONFLICT),
    "revision-conflict": (409, "conflict", CONFLICT),
    "unauthenticated": (401, "unauthorized", "You are not authorized to access this db."),
    "bad-token": (401, "unauthorized", "Name or password is incorrect."),
}
"""Codes of our errors that CouchDB has words of its own for."""

_ERROR_BY_CODE: Mapping[str, str] = {
    "invalid-database-name": "illegal_database_name",
    "invalid-id": "illegal_docid",
    "query-timeout": "timeout",
}


class CouchError(LocalsrvError):
    """An error in CouchDB's own words. `error` is its kebab-less name, such as `bad_request`."""

    def __init__(
        self, status: int, error: str, reason: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason, code=error)
        self.status = status  # type: ignore[misc] # each has its own
        self.error = error
        self.headers = headers or {}


def query_parse_error(reason: str) -> CouchError:
    """A parameter that cannot be read."""
    return CouchError(400, "query_parse_error", reason)


def words(error: Exception) -> tuple[int, str, str]:
    """`(status, error, reason)`: what CouchDB would say to the same, decided by class and code alone."""
    if isinstance(error, (CouchError, DesignError)):
        return error.status, error.error, error.message
    if isinstance(error, MangoError):
        return error.status, error.couch_error, _told(error)
    if not isinstance(error, LocalsrvError):
        return 500, "internal_server_error", "Something went wrong in the server; its log says what."
    if isinstance(error, (UniqueViolation, RelationViolation, SchemaViolation)):
        # To a client these are what a validate_doc_update function says: not a conflict to be merged.
        return 403, "forbidden", _told(error)
    if isinstance(error, StorageError) and error.code != "storage-full":
        return 500, "internal_server_error", _told(error)  # space would not help
    known = _BY_CODE.get(error.code)
    if known is not None:
        return known
    if error.code == "invalid-json":
        # CouchDB's words to the letter, which tests of clients look for; what it does not know says itself.
        return 400, "bad_request", "invalid UTF-8 JSON" if error.details else _told(error)
    name = _ERROR_BY_CODE.get(error.code) or _ERRORS.get(error.status)
    if name is None:
        name = "bad_request" if isinstance(error, BadRequest) else "internal_server_error"
    return error.status, name, _told(error)


def _told(error: LocalsrvError) -> str:
    return " ".join(part for part in (error.message, error.hint) if part)


def row_error(error: Exception) -> dict[str, str]:
    """The `error` and `reason` of one row of an answer about many documents."""
    _, name, reason = words(error)
    return {"error": name, "reason": reason}


def render(error: LocalsrvError) -> web.Response:
    """The answer to a request that is refused or that failed."""
    status, name, reason = words(error)
    response = web.Response(
        status=status, body=orjson.dumps({"error": name, "reason": reason}) + b"\n", content_type=JSON
    )
    if isinstance(error, CouchError):
        response.headers.update(error.headers)
    if isinstance(error, MethodNotAllowed):
        response.headers[hdrs.ALLOW] = ", ".join(error.allowed)
    response.headers[hdrs.CACHE_CONTROL] = "must-revalidate"
    return response
