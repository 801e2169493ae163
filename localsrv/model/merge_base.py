"""What two versions are compared with when they are merged: the newest that both came from.

Theory of operation. In a revision tree a revision has one parent. A merge came from more, and the tombstones
of the leaves that it took in say so (`merged_into`); with these links the tree is a graph such as Git's, and
the newest common version is found in it as Git does. There may be several that are as new: two devices merged
the same leaves, each with further ones of its own. Then what is compared with is the merge of these, over
what they came from in turn. Taking one of them instead would bring back what somebody took away.

All of it is a function of the tree. A version that is forgotten makes a merge impossible, never different,
since devices that remember different things would otherwise outbid each other for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localsrv.model.differences import three_way
from localsrv.model.revisions import Tree, parse_revision

MERGED_INTO = "merged_into"
"""The member of a tombstone's body that names the revision which took its leaf in."""

MAX_NESTING = 100
"""How often what is compared with may itself be a merge. Deeper ones take the newest as it is."""


@dataclass(frozen=True, slots=True)
class Version:
    """What one revision says. `attachments` maps a name to (content type, SHA-256 in hexadecimal)."""

    body: Mapping[str, Any]
    attachments: Mapping[str, tuple[str, str]] = field(default_factory=dict)


Versions = Callable[[str], Version | None]
"""What a revision says; None when that is forgotten or was never received."""

Sources = Mapping[str, Collection[str]]
"""Revision → the leaves that were merged into it."""


def merge_sources(tree: Tree, tombstones: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, list[str]]:
    """What was merged into what, as deleted leaves (revision, body) tell it.

    A link that leads nowhere, or from a lower revision to a higher one, is left aside: no merge made it.
    """
    found: dict[str, list[str]] = {}
    for revision, body in tombstones:
        into, loser = body.get(MERGED_INTO), tree.nodes[revision].parent
        if not isinstance(into, str) or into not in tree or loser is None or loser not in tree:
            continue
        if parse_revision(loser) < parse_revision(into):
            found.setdefault(into, []).append(loser)
    return found


class History:
    """A tree with its merges, and what its revisions say."""

    def __init__(self, tree: Tree, sources: Sources, version_of: Versions) -> None:
        self.tree = tree
        self._sources = sources
        self._version_of = version_of
        self._merged: dict[tuple[str, ...], Version | None] = {}

    def version(self, revision: str) -> Version | None:
        """What a revision says: nothing, when it deletes; None when that is forgotten."""
        return Version({}) if self.tree.nodes[revision].deleted else self._version_of(revision)

    def ancestors(self, revision: str) -> set[str]:
        """`revision` and all that it came from."""
        seen: set[str] = set()
        pending = [revision]
        while pending:
            at = pending.pop()
            if at not in seen:
                seen.add(at)
                pending += self._origins(at)
        return seen

    def edits(self, revision: str) -> set[str]:
        """Those of its ancestors that somebody wrote, and no merge."""
        return self.ancestors(revision) - self._sources.keys()

    def common(self, revisions: Iterable[str]) -> str | None:
        """The newest revision that all of `revisions` came from."""
        first, *others = revisions
        known = self.ancestors(first)
        for other in others:
            known &= self.ancestors(other)
        return max(known, key=parse_revision, default=None)

    def base(self, known: Collection[str], revision: str, nesting: int = 0) -> Version | None:
        """What to compare `revision` with, when it is merged into something that came from all of `known`.

        None when they have nothing in common, or it is forgotten.
        """
        found = self._newest_of(known, revision)
        if not found:
            return None
        if len(found) == 1 or nesting >= MAX_NESTING:
            return self.version(found[0])
        key = tuple(found)
        if key not in self._merged:
            self._merged[key] = self._merge(found, nesting + 1)
        return self._merged[key]

    def _merge(self, revisions: Sequence[str], nesting: int) -> Version | None:
        """One version of several that came from each other in no way."""
        merged = self.version(revisions[0])
        known = self.ancestors(revisions[0])
        for revision in revisions[1:]:
            theirs = self.version(revision)
            base = self.base(known, revision, nesting)
            if base is None and self._newest_of(known, revision):
                return None  # there is one, and it is forgotten
            if merged is None or theirs is None:
                return None
            merged, _, _ = merge_versions(base or Version({}), merged, theirs)
            known |= self.ancestors(revision)
        return merged

    def _newest_of(self, known: Collection[str], revision: str) -> list[str]:
        """Those ancestors of `revision` in `known` that no other of them came from, highest first."""
        seen, pending, found = {revision}, [revision], []
        while pending:
            at = pending.pop()
            if at in known:
                found.append(at)
                continue
            origins = [origin for origin in self._origins(at) if origin not in seen]
            seen.update(origins)
            pending += origins
        if len(found) > 1:
            older = set().union(*(self.ancestors(r) - {r} for r in found))
            found = [r for r in found if r not in older]
        return sorted(found, key=parse_revision, reverse=True)

    def _origins(self, revision: str) -> list[str]:
        parent = self.tree.nodes[revision].parent
        own = [parent] if parent is not None and parent in self.tree else []
        return [*own, *self._sources.get(revision, ())]


def merge_versions(
    base: Version, ours: Version, theirs: Version
) -> tuple[Version, list[tuple[str, ...]], list[str]]:
    """`ours` with the changes of `theirs`, and where both changed: the fields, the names of attachments."""
    body, fields = three_way(base.body, ours.body, theirs.body)
    files, names = three_way(base.attachments, ours.attachments, theirs.attachments)
    return Version(body, files), fields, [name for (name,) in names]
