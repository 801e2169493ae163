"""What a client asks of `_changes`.

Source: `chttpd_db.erl`, `parse_changes_query`, and `couch_changes.erl`, `get_changes_timeout`. Parameters
whose value CouchDB passes over (`descending=no`) are refused here where they are flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from localsrv.store.database import Database
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.included import Included
from localsrv.web.couch.parameters import flag
from localsrv.web.couch.sequences import number_of

LONGEST_WAIT = 60.0
"""Seconds after which a feed without a heartbeat ends, and at most between two heartbeats."""


class Feed(StrEnum):
    """How changes are told."""

    NORMAL = "normal"
    LONGPOLL = "longpoll"
    CONTINUOUS = "continuous"
    EVENTSOURCE = "eventsource"


@dataclass(frozen=True, slots=True)
class ChangesArguments:
    """`since` None means from now on. `limit` None means all. `wait` and `heartbeat` are seconds."""

    feed: Feed
    since: int | None
    limit: int | None
    descending: bool
    all_leaves: bool
    included: Included | None
    filter: str
    seq_interval: int | None
    wait: float
    heartbeat: float | None


def changes_arguments(
    parameters: Mapping[str, str], last_event_id: str | None, db: Database, name: str
) -> ChangesArguments:
    """The arguments that a query string gives. `last_event_id` is the header of that name.

    Raises:
        CouchError: one that cannot be read.
    """
    given = {key.lower(): value for key, value in parameters.items()}
    feed = _feed(given.get("feed", "normal"))
    since = given.get("last-event-id") or given.get("since") or "0"
    if feed is Feed.EVENTSOURCE and last_event_id is not None:
        since = last_event_id
    limit = _natural(given, "limit")
    interval = given.get("seq_interval")
    if interval is not None and not (_is_number(interval) and int(interval) > 0):
        raise CouchError(400, "bad_request", "invalid_seq_interval")
    heartbeat = _heartbeat(given.get("heartbeat"))
    timeout = _natural(given, "timeout")
    descending = flag(given, "descending")
    included = replace(Included.of(given), revisions=flag(given, "revs"))
    return ChangesArguments(
        feed,
        None if since == "now" and not descending else 0 if since == "now" else number_of(db, name, since),
        None if limit is None else max(limit, 1),
        descending,
        _all_leaves(given.get("style", "main_only")),
        included if flag(given, "include_docs") else None,
        given.get("filter", ""),
        None if interval is None else int(interval),
        LONGEST_WAIT if timeout is None else min(timeout / 1000, LONGEST_WAIT),
        heartbeat,
    )


def _feed(value: str) -> Feed:
    try:
        return Feed.CONTINUOUS if value == "live" else Feed(value)
    except ValueError:
        reason = "Supported `feed` types: normal, continuous, live, longpoll, eventsource"
        raise CouchError(400, "bad_request", reason) from None


def _all_leaves(value: str) -> bool:
    if value not in ("main_only", "all_docs"):
        raise CouchError(400, "bad_request", "Supported `style` types: main_only, all_docs")
    return value == "all_docs"


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) <= 18


def _natural(given: Mapping[str, str], name: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if not _is_number(value):
        what = "value" if _is_number(value.removeprefix("-")) else "parameter"
        raise CouchError(400, "bad_request", f"The {name} {what} should be a non-negative integer")
    return int(value)


def _heartbeat(value: str | None) -> float | None:
    if value is None or value == "false":
        return None
    if value == "true":
        return LONGEST_WAIT
    if not _is_number(value.removeprefix("-")):
        reason = "Invalid heartbeat value. Expecting a positive integer value (in milliseconds)."
        raise CouchError(400, "bad_request", reason)
    if int(value) <= 0:
        reason = "The heartbeat value should be a positive integer (in milliseconds)."
        raise CouchError(400, "bad_request", reason)
    return min(int(value) / 1000, LONGEST_WAIT)
