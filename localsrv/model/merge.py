"""Settling a document's conflict: which revisions end it, the same on every device.

Theory of operation. A conflict is a tree with several live leaves. Settling it writes one revision that
extends the winner with what the other leaves say, and below each of these a tombstone. All of it is a
function of the tree and of the versions it holds, so devices that see the same conflict write the same
revisions, which are no new conflict when they meet. Devices that see different leaves write different ones;
when these meet, the same rules settle them, and every such step leaves fewer live leaves, until all devices
have the same single one.

The winner is extended even when it says it all already: another device may have extended it by then with
the very thing that the loser took back, and the two must meet as a conflict. Only when the loser holds
nobody's edit that the winner does not hold too is its tombstone enough. So devices that merged the same
edits in different ways to the same content end with the highest of their merges, instead of outbidding each
other.

A leaf whose ancestor is forgotten, or not there at all, stays a conflict: guessing would undo somebody's
edit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localsrv.model.differences import Path, canonical, same
from localsrv.model.merge_base import MERGED_INTO, History, Version, merge_versions
from localsrv.model.revisions import Tree, leaves, parse_revision, revision_id

ATTACHMENTS = "_attachments"
"""Begins the path of a decided attachment; no field of a document can have this name."""


@dataclass(frozen=True, slots=True)
class NewRevision:
    """A revision to write below `parent`.

    `attachments` maps each name to the revision whose attachment of that name it is.
    """

    revision: str
    parent: str
    body: Mapping[str, Any]
    deleted: bool = False
    attachments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decided:
    """A field that `loser` changed too, to something else: the winner's value stood."""

    loser: str
    path: Path


@dataclass(frozen=True, slots=True)
class Settlement:
    """What ends a conflict. `winner` is the leaf that will stand; `left` are those that stay in conflict."""

    winner: str
    revisions: tuple[NewRevision, ...]
    decided: tuple[Decided, ...] = ()
    left: tuple[str, ...] = ()


def live_leaves(tree: Tree) -> list[str]:
    """The leaves that do not delete, winner first. More than one is a conflict."""
    return [revision for revision in leaves(tree) if not tree.nodes[revision].deleted]


def merged_revision(winner: str, losers: Iterable[str], version: Version) -> str:
    """The id of a merge: of an edit that says the same, and of what was merged.

    So it is not taken for an edit of the winner alone that happens to say the same.
    """
    files = [(name, *found) for name, found in version.attachments.items()]
    edit = revision_id(winner, canonical(version.body), attachments=files)
    generation, digest = parse_revision(edit)
    merged = "\0".join((digest, *sorted(losers)))
    return f"{generation}-{hashlib.md5(merged.encode(), usedforsecurity=False).hexdigest()}"


def tombstone(loser: str, into: str) -> NewRevision:
    """The revision that ends a leaf which `into` took in."""
    body = {MERGED_INTO: into}
    return NewRevision(revision_id(loser, canonical(body), deleted=True), loser, body, deleted=True)


# ── policies ───────────────────────────────────────────────────────────────────────────────────────────────


def by_merge(history: History) -> Settlement | None:
    """Merges the other live leaves into the winner, one after the other in the order in which they would win.

    None when there is nothing to write: no conflict, or none that has the ancestors it takes.
    """
    live = live_leaves(history.tree)
    if len(live) < 2 or (first := history.version(live[0])) is None:
        return None
    draft = _Draft(live[0], first)
    known, edits = history.ancestors(live[0]), history.edits(live[0])
    left: list[str] = []
    for loser in live[1:]:
        if _merge_in(draft, loser, history.version(loser), history.base(known, loser)):
            draft.settled.append(loser)
            draft.must_extend |= not history.edits(loser) <= edits
            known |= history.ancestors(loser)
        else:
            left.append(loser)
    return draft.settlement(left)


def _merge_in(draft: _Draft, loser: str, theirs: Version | None, base: Version | None) -> bool:
    if theirs is None:
        return False
    if base is None:
        return draft.says(theirs)
    merged, fields, names = merge_versions(base, draft.version, theirs)
    draft.take(merged, loser)
    draft.decided += [Decided(loser, path) for path in fields]
    draft.decided += [Decided(loser, (ATTACHMENTS, name)) for name in names]
    return True


def by_latest(history: History, moment: Callable[[Any], Any], name: str) -> Settlement | None:
    """Lets the live leaf with the latest moment in field `name` stand, by a revision that extends the winner.

    `moment` makes a value comparable, or None where it is none (or ABSENT); such a leaf loses. Of equals the
    winner stands. None when there is nothing to write.
    """
    live = live_leaves(history.tree)
    versions = {revision: history.version(revision) for revision in live}
    if len(live) < 2 or (first := versions[live[0]]) is None:
        return None
    latest, best = live[0], moment(first.body.get(name))
    left = [revision for revision in live if versions[revision] is None]
    for revision in live[1:]:
        if (version := versions[revision]) is not None:
            at = moment(version.body.get(name))
            if at is not None and (best is None or at > best):
                latest, best = revision, at
    draft = _Draft(live[0], first)
    draft.take(versions[latest] or first, latest)
    draft.settled += [revision for revision in live[1:] if revision not in left]
    return draft.settlement(left)


class _Draft:
    """A settlement in the making: what the winner will say, and where its attachments come from."""

    def __init__(self, winner: str, version: Version) -> None:
        self.winner = winner
        self.first = self.version = version
        self.origins = dict.fromkeys(version.attachments, winner)
        self.must_extend = False
        self.settled: list[str] = []
        self.decided: list[Decided] = []

    def says(self, version: Version) -> bool:
        return same(version.body, self.version.body) and same(version.attachments, self.version.attachments)

    def take(self, version: Version, loser: str) -> None:
        """Makes it say `version`; attachments that are new in it are the loser's."""
        before = self.version.attachments
        self.origins = {
            name: self.origins[name] if before.get(name) == found else loser
            for name, found in version.attachments.items()
        }
        self.version = version

    def settlement(self, left: Iterable[str]) -> Settlement | None:
        if not self.settled:
            return None
        revisions, winner = [], self.winner
        if self.must_extend or not self.says(self.first):
            winner = merged_revision(self.winner, self.settled, self.version)
            revisions.append(NewRevision(winner, self.winner, self.version.body, attachments=self.origins))
        revisions += [tombstone(loser, winner) for loser in self.settled]
        return Settlement(winner, tuple(revisions), tuple(self.decided), tuple(left))
