"""Revision trees: what every document's history is, and how two histories become one.

A revision is `"<generation>-<digest>"`. A tree maps each known revision to its parent and says whether it
deletes the document. Replicas learn trees in any order and with gaps (a path may start at any generation,
because old ancestors are forgotten by *stemming*), so merging is a union that is commutative, associative
and idempotent: any order of the same revisions gives the same tree, the same leaves and the same winner.

The winner is chosen as Apache CouchDB chooses it (docs: replication/conflicts): leaves that do not delete
come first, then the higher generation, then the higher digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType

from localsrv.base.errors import InvalidValue

MAX_GENERATION = 2**31 - 1

# OpenSSL takes longer to find MD5 than to reckon with it; a copy needs not look for it.
_ALIVE = hashlib.md5(b"0\0", usedforsecurity=False)
_DELETED = hashlib.md5(b"1\0", usedforsecurity=False)


@lru_cache(8192)
def parse_revision(revision: str) -> tuple[int, str]:
    """`(generation, digest)` of a revision id.

    Raises:
        InvalidValue: not `<number from 1>-<digest>`. An empty digest is one, as in CouchDB (`parse_rev`).
            One with a quote or a backslash is none: revisions are put into JSON texts and ETags as they are.
    """
    generation, dash, digest = revision.partition("-")
    if dash and generation.isascii() and generation.isdecimal() and len(generation) < 11:
        number = int(generation)
        if (
            0 < number <= MAX_GENERATION
            and generation[0] != "0"
            and len(digest) <= 255
            and digest.isprintable()
            and '"' not in digest
            and "\\" not in digest
        ):
            return number, digest
    raise InvalidValue(
        f"`{revision[:80]}` is not a revision.",
        code="invalid-revision",
        hint="A revision looks like 2-7051cbe5c8.",
    )


@dataclass(frozen=True, slots=True)
class Node:
    """A revision's place: its parent (None when first or forgotten) and whether it deletes."""

    parent: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """All known revisions of one document."""

    nodes: Mapping[str, Node] = field(default_factory=dict)

    def __contains__(self, revision: str) -> bool:
        return revision in self.nodes

    def __len__(self) -> int:
        return len(self.nodes)


EMPTY = Tree()


def path_tree(path: Sequence[str], *, deleted: bool = False) -> Tree:
    """The tree of one path, newest revision first, as CouchDB's `_revisions` lists it.

    Raises:
        InvalidValue: empty, or generations that do not go down one by one.
    """
    check_path(path)
    parents = (*path[1:], None)
    return Tree(
        MappingProxyType({r: Node(p, deleted and r == path[0]) for r, p in zip(path, parents, strict=True)})
    )


def check_path(path: Sequence[str]) -> None:
    """Refuses what is no path of revisions, newest first. Raises as `path_tree`."""
    if not path:
        raise InvalidValue("A revision path is empty.", code="invalid-revision")
    generation, _ = parse_revision(path[0])
    for child, parent in pairwise(path):
        generation -= 1
        if parse_revision(parent)[0] != generation:
            raise InvalidValue(f"Revision {parent} cannot be the parent of {child}.", code="invalid-revision")


def revisions_path(start: int, ids: Sequence[str]) -> list[str]:
    """CouchDB's `{"start": 3, "ids": ["c", "b", "a"]}` as `["3-c", "2-b", "1-a"]`."""
    return [f"{start - i}-{digest}" for i, digest in enumerate(ids)]


def merge(first: Tree, second: Tree) -> Tree:
    """The union of two trees of one document.

    Where one side has forgotten a parent the other's is taken; a revision deletes if either says so.
    """
    if not first.nodes:
        return second
    if not second.nodes:
        return first
    nodes = dict(first.nodes)
    for revision, node in second.nodes.items():
        mine = nodes.get(revision)
        nodes[revision] = node if mine is None else _joined(mine, node)
    return Tree(MappingProxyType(nodes))


def _joined(a: Node, b: Node) -> Node:
    # Two different parents of one revision can only come from a peer that lies; any rule does, as
    # long as it is the same in every order.
    parent = a.parent if b.parent is None else b.parent if a.parent is None else max(a.parent, b.parent)
    return Node(parent, a.deleted or b.deleted)


def leaves(tree: Tree) -> list[str]:
    """The revisions nothing extends, winner first, then in the order in which they would win."""
    parents = {node.parent for node in tree.nodes.values()}
    return sorted((r for r in tree.nodes if r not in parents), key=lambda r: _rank(tree, r), reverse=True)


def _rank(tree: Tree, revision: str) -> tuple[bool, int, str]:
    return rank(revision, deleted=tree.nodes[revision].deleted)


def rank(revision: str, *, deleted: bool) -> tuple[bool, int, str]:
    """Sort key: of several leaves, the one with the greatest is the winner."""
    generation, digest = parse_revision(revision)
    return (not deleted, generation, digest)


def winner(tree: Tree) -> str | None:
    """The winning leaf; None for an empty tree."""
    found = leaves(tree)
    return found[0] if found else None


def ancestry(tree: Tree, revision: str) -> Iterator[str]:
    """`revision` and its known ancestors, newest first."""
    at: str | None = revision
    while at is not None and at in tree.nodes:
        yield at
        at = tree.nodes[at].parent


def missing(tree: Tree, revisions: Iterable[str]) -> list[str]:
    """Those of `revisions` that the tree does not know, in the order given."""
    return [r for r in revisions if r not in tree.nodes]


def possible_ancestors(tree: Tree, revision: str) -> list[str]:
    """Known leaves older than an unknown `revision`: from them a peer may send only the difference.

    Source: CouchDB `_revs_diff`, field `possible_ancestors`.
    """
    generation, _ = parse_revision(revision)
    return [r for r in leaves(tree) if parse_revision(r)[0] < generation]


def stemmed(tree: Tree, limit: int) -> Tree:
    """The tree with at most `limit` revisions on each path from a leaf (CouchDB's `_revs_limit`)."""
    kept: dict[str, int] = {}
    for leaf in leaves(tree):
        for depth, revision in enumerate(ancestry(tree, leaf)):
            if depth >= limit:
                break
            kept[revision] = min(depth, kept.get(revision, depth))
    if len(kept) == len(tree.nodes):
        return tree
    nodes = {
        r: Node(tree.nodes[r].parent if tree.nodes[r].parent in kept else None, tree.nodes[r].deleted)
        for r in kept
    }
    return Tree(MappingProxyType(nodes))


def first_revision(body: bytes) -> str:
    """`revision_id` of a new document without attachments; the path most writes take."""
    digest = _ALIVE.copy()
    digest.update(b"\0%b\0" % body)
    return "1-" + digest.hexdigest()


def revision_id(
    parent: str | None,
    canonical_body: bytes,
    *,
    deleted: bool = False,
    attachments: Iterable[tuple[str, str, str]] = (),
) -> str:
    """The id of an edit, the same on every device that makes the same edit of the same parent.

    MD5 over the deleted flag, the parent, the canonical body (UTF-8 JSON with sorted keys and no white
    space) and the attachments' (name, content type, SHA-256 of the identity bytes), sorted.
    """
    digest = (_DELETED if deleted else _ALIVE).copy()
    digest.update((parent or "").encode() + b"\0")
    digest.update(canonical_body + b"\0")
    for name, content_type, sha256 in sorted(attachments):
        for part in (name, content_type, sha256):
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(4, "big") + raw)
    generation = parse_revision(parent)[0] + 1 if parent else 1
    return f"{generation}-{digest.hexdigest()}"
