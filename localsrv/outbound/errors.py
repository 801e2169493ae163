"""What can go wrong with a peer, each as one error that says whether to try again and when.

A peer's own words are told as far as they are CouchDB's `reason`, cut short; its address never has
credentials (`Endpoint.url`).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import aiohttp

from localsrv.base.errors import LocalsrvError

LONGEST_REASON = 300

NO_COUCHDB = "Is this the address of a CouchDB database, such as https://host:5984/name?"

_PASSING = frozenset(
    {
        "enospc",
        "insufficient_storage",
        "internal_server_error",
        "security_migration",
        "service unavailable",
        "service_unavailable",
        "timeout",
        "unknown_error",
        "write_quorum_not_met",
    }
)
"""Errors in rows of `_bulk_docs` that say nothing about the document: CouchDB's of 5xx (`chttpd.erl`,
`error_info`) and PouchDB Server's. A document that was passed over for one of them would never arrive."""


class PeerError(LocalsrvError):
    """Something about a peer. `is_passing`: worth trying again at once; `after_s`: the peer asked for it."""

    status = 502
    code = "peer"
    is_passing = False
    after_s: float | None = None


class PeerUnreachable(PeerError):
    """No connection: no network, no such host, nobody listens."""

    code = "peer-unreachable"
    is_passing = True


class PeerLost(PeerError):
    """The connection broke, or stayed silent for too long."""

    code = "peer-lost"
    is_passing = True


class PeerBusy(PeerError):
    """429, or an error of the peer's own (5xx)."""

    code = "peer-busy"
    is_passing = True


class PeerRefused(PeerError):
    """401 or 403 (`code` `peer-unauthorized`, `peer-forbidden`)."""

    code = "peer-unauthorized"


class PeerMissing(PeerError):
    """404: no such database, document or attachment."""

    status = 404
    code = "peer-missing"


class PeerGarbage(PeerError):
    """The answer is none of CouchDB's: HTML, broken JSON, the wrong shape, a redirect, a wrong digest."""

    code = "peer-garbage"


class PeerTooLarge(PeerError):
    """The peer says 413, or (`code` `peer-answer-too-large`) answers more than fits in memory."""

    code = "peer-too-large"


def from_client(error: BaseException, where: str) -> PeerError:
    """An aiohttp or socket error in the words of this module."""
    if isinstance(error, ssl.SSLCertVerificationError | aiohttp.ClientConnectorCertificateError):
        return PeerUnreachable(
            f"{where} has no certificate that this computer trusts.",
            code="peer-certificate",
            details=type(error).__name__,
            hint="Use the name the certificate was made for, or install its authority.",
        )
    if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        return PeerUnreachable(
            f"{where} does not speak HTTPS.",
            code="peer-no-https",
            details=type(error).__name__,
            hint="Does its address begin with http://, or does HTTPS have another port?",
        )
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return PeerUnreachable(
            f"{where} cannot be reached.",
            details=_words(error),
            hint="Is the network there, and the other server running?",
        )
    if isinstance(error, TimeoutError):
        return PeerLost(f"{where} does not answer.", code="peer-silent")
    if isinstance(error, aiohttp.ClientResponseError):
        return PeerGarbage(f"{where} does not speak HTTP.", details=type(error).__name__)
    return PeerLost(f"The connection to {where} broke.", details=_words(error))


def _refused(status: int, where: str, words: str) -> PeerRefused:
    if status == 401:
        return PeerRefused(
            f"{where} refuses the name or the password.",
            details=words,
            hint="For a localsrv they are a key's name and its token; the key may have been revoked. Remove "
            "this replication and add it again with --user.",
        )
    return PeerRefused(
        f"{where} does not allow this.",
        code="peer-forbidden",
        details=words,
        hint="A localsrv wants a key of that app with the scope sync; a CouchDB, a member of the database.",
    )


def _words(error: BaseException) -> str:
    cause = getattr(error, "os_error", None) or error
    text = getattr(cause, "strerror", None)
    return text if isinstance(text, str) and text else type(cause).__name__


def from_status(status: int, body: object, where: str, retry_after: str | None) -> PeerError:
    """An answer that is not 2xx. `body` is its JSON, or None when it is something else."""
    told = body if isinstance(body, dict) else {}
    reason = str(told.get("reason") or told.get("message") or told.get("error") or "")[:LONGEST_REASON]
    words = f"{status}" + (f": {reason}" if reason.isprintable() and reason else "")
    if 300 <= status < 400:
        return PeerGarbage(
            f"{where} answers with a redirect, which is not followed.",
            code="peer-redirects",
            details=words,
            hint="Give the address that it redirects to, if you trust it.",
        )
    if status in (401, 403):
        return _refused(status, where, words)
    if status == 404:
        return PeerMissing(
            f"{where} has no such database or document.",
            details=words,
            hint=None if "error" in told else NO_COUCHDB,  # CouchDB always says what `error` it is
        )
    if status == 421:
        return PeerGarbage(
            f"{where} does not answer to that name.",
            code="peer-421",
            details=words,
            hint="A localsrv answers to its own port alone: a tunnel needs the same port on both ends.",
        )
    if status == 413:
        return PeerTooLarge(f"{where} refuses a request of that size.", details=words)
    if status in (408, 425, 429) or status >= 500:
        error = PeerBusy(f"{where} cannot answer now.", details=words)
        if (
            retry_after is not None
            and retry_after.isascii()
            and retry_after.isdecimal()
            and len(retry_after) < 6
        ):
            error.after_s = float(retry_after)
        return error
    return PeerGarbage(f"{where} refuses a request.", code=f"peer-{status}", details=words)


def raise_passing(rows: Iterable[tuple[str, str]], where: str) -> None:
    """Of rows of an answer, `(error, reason)`, the first that is not about its document. Raises PeerBusy."""
    for error, reason in rows:
        if error in _PASSING:
            words = f"{error}: {reason[:LONGEST_REASON]}" if reason and reason.isprintable() else error
            raise PeerBusy(f"{where} could not write.", details=words)
