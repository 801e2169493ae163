"""The parts of an attachment that a Range header asks for (RFC 9110, 14), answered as CouchDB does.

A range that covers everything from the beginning is the whole; one that begins behind its end, or the end, is
refused; what is no range, or more than nine of them, is passed over.
"""

from __future__ import annotations

import re

from localsrv.web.couch.errors import CouchError

MOST = 9

_RANGE = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")

Part = tuple[int, int]
"""The first byte, and the one behind the last."""


def ranges_of(header: str | None, length: int) -> list[Part] | None:
    """The parts asked for of something `length` bytes long; None for the whole.

    Raises:
        CouchError: 416.
    """
    unit, _, value = (header or "").partition("=")
    if unit.strip().lower() != "bytes":
        return None
    found = [_RANGE.fullmatch(one.strip()) for one in value.split(",")]
    pairs = [match.groups() for match in found if match is not None]
    if len(pairs) < len(found) or len(pairs) > MOST or ("", "") in pairs:
        return None
    if any(first == "0" and not last for first, last in pairs):
        return None
    return [_part(first, last, length) for first, last in pairs]


def _part(first: str, last: str, length: int) -> Part:
    start, end = (int(first), int(last) + 1 if last else length) if first else (length - int(last), length)
    start, end = max(0, start), min(end, length)
    if start >= end:
        headers = {"Content-Range": f"bytes */{length}"}
        reason = "Requested range not satisfiable"
        raise CouchError(416, "requested_range_not_satisfiable", reason, headers=headers)
    return start, end
