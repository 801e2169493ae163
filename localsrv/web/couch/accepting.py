"""Which form of an answer a client takes, by its Accept header (RFC 9110, 12.5.1).

Without the header, and by `*/*`, everything is taken, as by CouchDB: a client that wants JSON of what also
comes as multipart must say so.
"""

from __future__ import annotations

from functools import lru_cache

from aiohttp import hdrs, web


def takes(request: web.Request, media_type: str) -> bool:
    """Whether the client takes answers of this type."""
    return accepts(",".join(request.headers.getall(hdrs.ACCEPT, ())), media_type)


@lru_cache(1024)
def accepts(header: str, media_type: str) -> bool:
    """Whether an Accept header takes a type: the nearest of its ranges decides."""
    ranges = dict(_quality(part) for part in header.split(",") if part.strip())
    if not ranges:
        return True
    kind = media_type.partition("/")[0]
    for name in (media_type, f"{kind}/*", "*/*"):
        if name in ranges:
            return ranges[name] > 0
    return False


def _quality(part: str) -> tuple[str, float]:
    name, *parameters = (p.strip().lower() for p in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 1.0
    return name, 1.0
