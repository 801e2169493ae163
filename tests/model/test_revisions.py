"""Properties of revision trees: the ground that convergence between devices stands on."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localsrv.base.errors import InvalidValue
from localsrv.model import revisions as rev
from localsrv.model.revisions import EMPTY, Node, Tree


@st.composite
def histories(draw: st.DrawFn) -> Tree:
    """A tree grown edit by edit, as devices grow them: each edit extends a known revision or starts anew."""
    nodes: dict[str, Node] = {}
    for i in range(draw(st.integers(1, 14))):
        parent = draw(st.sampled_from([None, *nodes]))
        generation = 1 if parent is None else rev.parse_revision(parent)[0] + 1
        nodes[f"{generation}-{draw(st.sampled_from('abcdef'))}{i:02}"] = Node(parent, draw(st.booleans()))
    return Tree(nodes)


@st.composite
def pieces(draw: st.DrawFn) -> list[Tree]:
    """One history cut into overlapping paths, each from some revision down to some ancestor."""
    tree = draw(histories())
    out = [_path(tree, revision, len(tree)) for revision in rev.leaves(tree)]
    for revision in draw(st.lists(st.sampled_from(sorted(tree.nodes)), max_size=6)):
        out.append(_path(tree, revision, draw(st.integers(1, 5))))
    return draw(st.permutations(out))


def _path(tree: Tree, revision: str, depth: int) -> Tree:
    path = list(itertools.islice(rev.ancestry(tree, revision), depth))
    return rev.path_tree(path, deleted=tree.nodes[revision].deleted)


def _all(trees: list[Tree]) -> Tree:
    merged = EMPTY
    for tree in trees:
        merged = rev.merge(merged, tree)
    return merged


@given(histories(), histories(), histories())
def test_merge_is_commutative_associative_idempotent(a: Tree, b: Tree, c: Tree) -> None:
    assert dict(rev.merge(a, b).nodes) == dict(rev.merge(b, a).nodes)
    assert dict(rev.merge(rev.merge(a, b), c).nodes) == dict(rev.merge(a, rev.merge(b, c)).nodes)
    assert dict(rev.merge(a, a).nodes) == dict(a.nodes)


@given(pieces(), st.randoms(use_true_random=False))
def test_any_order_of_the_same_revisions_gives_the_same_tree_and_winner(
    trees: list[Tree], random: object
) -> None:
    first = _all(trees)
    shuffled = list(trees)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    second = _all(shuffled + trees)
    assert dict(first.nodes) == dict(second.nodes)
    assert rev.winner(first) == rev.winner(second)
    assert rev.leaves(first) == rev.leaves(second)


@given(histories())
def test_merging_never_loses_a_leaf_or_a_revision(tree: Tree) -> None:
    for revision in tree.nodes:
        assert revision in rev.merge(tree, _path(tree, revision, 2)).nodes
    assert set(rev.leaves(tree)) == set(rev.leaves(rev.merge(tree, EMPTY)))


@given(histories(), st.integers(1, 6))
def test_stemming_keeps_every_leaf_and_the_winner(tree: Tree, limit: int) -> None:
    short = rev.stemmed(tree, limit)
    assert rev.leaves(short) == rev.leaves(tree)
    for leaf in rev.leaves(short):
        assert len(list(rev.ancestry(short, leaf))) >= min(limit, len(list(rev.ancestry(tree, leaf))))
    assert dict(rev.merge(tree, short).nodes) == dict(tree.nodes)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ({"1-a": Node()}, "1-a"),
        ({"1-a": Node(), "1-b": Node()}, "1-b"),
        ({"1-a": Node(), "2-a": Node("1-a"), "1-b": Node()}, "2-a"),
        ({"1-a": Node(), "2-a": Node("1-a", deleted=True), "1-b": Node()}, "1-b"),
        ({"1-a": Node(), "2-a": Node("1-a", deleted=True)}, "2-a"),
        ({"9-a": Node(), "10-a": Node()}, "10-a"),
    ],
)
def test_winner_is_couchdbs(nodes: dict[str, Node], expected: str) -> None:
    assert rev.winner(Tree(nodes)) == expected


def test_missing_revisions_and_possible_ancestors() -> None:
    tree = Tree({"1-a": Node(), "2-b": Node("1-a"), "3-c": Node("2-b"), "3-d": Node("2-b")})
    assert rev.missing(tree, ["3-c", "4-x", "2-b", "9-y"]) == ["4-x", "9-y"]
    assert rev.possible_ancestors(tree, "4-x") == ["3-d", "3-c"]
    assert rev.possible_ancestors(tree, "3-x") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "-a",
        "0-a",
        "01-a",
        "x-a",
        "1-\0",
        "99999999999-a",
        "-1-a",
        "1.5-a",
        "²-a",
        '1-a"b',
        "1-a\\\\b",
    ],
)
def test_bad_revisions_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        rev.parse_revision(text)


def test_a_path_must_go_down_one_by_one() -> None:
    with pytest.raises(InvalidValue):
        rev.path_tree(["3-a", "1-b"])
    assert rev.revisions_path(3, ["c", "b", "a"]) == ["3-c", "2-b", "1-a"]


def test_revision_ids_depend_on_everything_that_matters() -> None:
    body = b'{"a":1}'
    ids = {
        rev.revision_id(None, body),
        rev.revision_id(None, b'{"a":2}'),
        rev.revision_id("1-a", body),
        rev.revision_id("1-b", body),
        rev.revision_id(None, body, deleted=True),
        rev.revision_id(None, body, attachments=[("a", "text/plain", "00")]),
        rev.revision_id(None, body, attachments=[("a", "text/html", "00")]),
        rev.revision_id(None, body, attachments=[("at", "ext/plain", "00")]),
    }
    assert len(ids) == 8
    assert rev.first_revision(body) == rev.revision_id(None, body)
    two = [("b", "t", "1"), ("a", "t", "2")]
    assert rev.revision_id(None, body, attachments=two) == rev.revision_id(
        None, body, attachments=reversed(two)
    )
