"""Which revision a request names, by its query, If-Match or body; and whether the client has it already."""

from __future__ import annotations

from aiohttp import hdrs, web

from localsrv.web.couch.drafts import checked_rev
from localsrv.web.couch.errors import CouchError


def named_rev(request: web.Request, by_query: str | None, by_body: str | None = None) -> str | None:
    """The revision that all places which name one name alike; None when no place does.

    Source: CouchDB's `chttpd_db.erl`, `couch_doc_from_req` and `extract_header_rev`.

    Raises:
        CouchError: they differ, or If-Match is no revision.
    """
    if by_body is not None and by_query is not None and by_body != by_query:
        reason = "Document rev from request body and query string have different values"
        raise CouchError(400, "bad_request", reason)
    explicit = by_body if by_body is not None else by_query
    header = request.headers.get(hdrs.IF_MATCH)
    if header is None:
        return explicit
    by_header = checked_rev(header.strip().strip('"'))
    if explicit is not None and explicit != by_header:
        raise CouchError(400, "bad_request", "Document rev and etag have different values")
    return by_header


def is_unchanged(request: web.Request, tag: str) -> bool:
    """Whether If-None-Match names this entity tag, given without its quotes; weak ones are as good here."""
    header = request.headers.get(hdrs.IF_NONE_MATCH)
    if header is None:
        return False
    tags = [one.strip().removeprefix("W/").strip('"') for one in header.split(",")]
    return tag in tags or "*" in tags
