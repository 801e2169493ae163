"""Checkpoints: how far a replication came, kept in a local document of both sides.

The document's form is CouchDB's (docs: replication/protocol, «Find Common Ancestry»): each session has an id
and is written to both sides; the newest session that both know is where a run goes on. Whatever happens
to one side, a session that it does not know is one whose documents it may not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

VERSION = 4
KEPT_SESSIONS = 50

Sequence_ = str | int
"""A peer's sequence: opaque, older servers have numbers."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to go on. `is_latest`: both sides agreed on their newest session, so neither was set back."""

    since: Sequence_ = 0
    history: tuple[Mapping[str, Any], ...] = ()
    is_latest: bool = False


def common_start(source: Mapping[str, Any] | None, target: Mapping[str, Any] | None) -> Start:
    """The newest session that both documents know; the beginning when there is none.

    Where the two recorded different sequences of one session, a crash came between the two writes, or one
    side was set back to a backup; so the lower counts, and if that cannot be told the session does not. A
    peer may answer anything: what is no checkpoint counts as none.
    """
    mine, theirs = _sessions(source), {entry["session_id"]: entry for entry in _sessions(target)}
    for at, entry in enumerate(mine):
        other = theirs.get(entry["session_id"])
        since = None if other is None else lower(entry["recorded_seq"], other["recorded_seq"])
        if other is not None and since is not None:
            agreed = at == 0 and next(iter(theirs)) == entry["session_id"]
            return Start(since, tuple(mine), agreed and entry["recorded_seq"] == other["recorded_seq"])
    return Start()


def lower(first: Sequence_, second: Sequence_) -> Sequence_ | None:
    """The earlier of two sequences of one database; None when that cannot be told.

    Sequences are opaque; but numbers compare, and CouchDB's begin with a number (`113-g1AAAA…`), as ours do.
    """
    if first == second:
        return first
    if isinstance(first, int) and isinstance(second, int):
        return min(first, second)
    one, two = str(first).partition("-"), str(second).partition("-")
    if _is_number(one[0]) and _is_number(two[0]) and int(one[0]) != int(two[0]):
        return first if int(one[0]) < int(two[0]) else second
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def _sessions(document: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    history = (document or {}).get("history")
    if not isinstance(history, list):
        return []
    return [
        entry
        for entry in history
        if isinstance(entry, dict)
        and isinstance(entry.get("session_id"), str)
        and _is_sequence(entry.get("recorded_seq"))
    ]


def _is_sequence(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a session did, in CouchDB's words of `_scheduler`."""

    revisions_checked: int = 0
    missing_revisions_found: int = 0
    docs_read: int = 0
    docs_written: int = 0
    doc_write_failures: int = 0
    bulk_get_attempts: int = 0
    bulk_get_docs: int = 0
    bytes: int = 0

    def plus(self, **more: int) -> Counts:
        return replace(self, **{name: getattr(self, name) + value for name, value in more.items()})


@dataclass(frozen=True, slots=True)
class Session:
    """One run of a replication. `start_time` is RFC 5322 text."""

    id: str
    start_time: str
    start: Start

    def entry(self, counts: Counts, through: Sequence_, end_time: str) -> dict[str, Any]:
        """The session in the history."""
        return {
            "session_id": self.id,
            "start_time": self.start_time,
            "end_time": end_time,
            "start_last_seq": self.start.since,
            "end_last_seq": through,
            "recorded_seq": through,
            "missing_checked": counts.revisions_checked,
            "missing_found": counts.missing_revisions_found,
            "docs_read": counts.docs_read,
            "docs_written": counts.docs_written,
            "doc_write_failures": counts.doc_write_failures,
            "bulk_get_attempts": counts.bulk_get_attempts,
            "bulk_get_docs": counts.bulk_get_docs,
        }

    def document(self, counts: Counts, through: Sequence_, end_time: str) -> dict[str, Any]:
        """The checkpoint as both sides get it, and as `_replicate` answers it."""
        entry = self.entry(counts, through, end_time)
        earlier = [dict(e) for e in self.start.history if e.get("session_id") != self.id]
        return {
            "session_id": self.id,
            "source_last_seq": through,
            "replication_id_version": VERSION,
            "history": [entry, *earlier][:KEPT_SESSIONS],
        }
