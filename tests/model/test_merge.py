"""Settling conflicts: what is written, and that devices which settle apart end with the same."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localsrv.model import merge
from localsrv.model import revisions as rev
from localsrv.model.differences import canonical
from localsrv.model.merge import Settlement
from localsrv.model.merge_base import MERGED_INTO, History, Version, merge_sources
from localsrv.model.revisions import EMPTY, Tree

Body = dict[str, Any]
FILE = ("text/plain", "0a")


@dataclass
class Device:
    """A store of one document in memory: its tree, and what it knows that the revisions say."""

    tree: Tree = EMPTY
    versions: dict[str, Version] = field(default_factory=dict)
    policy: str = "merge"

    def add(self, revision: str, parent: str | None, version: Version, *, deleted: bool = False) -> None:
        path = [revision] if parent is None else [revision, parent]
        self.tree = rev.merge(self.tree, rev.path_tree(path, deleted=deleted))
        self.versions[revision] = version

    def edit(self, parent: str | None, version: Version, *, deleted: bool = False) -> str:
        files = [(name, *found) for name, found in version.attachments.items()]
        revision = rev.revision_id(parent, canonical(version.body), deleted=deleted, attachments=files)
        self.add(revision, parent, version, deleted=deleted)
        return revision

    def write(self, body: Body, parent: str | None = None, **files: tuple[str, str]) -> str:
        return self.edit(parent, Version(body, files))

    def delete(self, parent: str) -> str:
        return self.edit(parent, Version({}), deleted=True)

    @property
    def sources(self) -> dict[str, list[str]]:
        deleted = [r for r in rev.leaves(self.tree) if self.tree.nodes[r].deleted]
        return merge_sources(self.tree, [(r, self.versions[r].body) for r in deleted])

    @property
    def proposal(self) -> Settlement | None:
        history = History(self.tree, self.sources, self.versions.get)
        return merge.by_latest(history, _number, "at") if self.policy == "latest" else merge.by_merge(history)

    def settle(self) -> Settlement | None:
        """Settles what can be settled, and writes it."""
        found = self.proposal
        if found is not None:
            leaves = merge.live_leaves(self.tree)
            for new in found.revisions:
                files = {n: self.versions[r].attachments[n] for n, r in new.attachments.items()}
                self.add(new.revision, new.parent, Version(new.body, files), deleted=new.deleted)
            assert set(merge.live_leaves(self.tree)) == {found.winner, *found.left}
            assert len(found.left) < len(leaves) - 1 + (found.winner not in leaves)
            assert rev.winner(self.tree) == found.winner
        return found

    def pull(self, other: Device, *, whole: bool = True) -> bool:
        """Takes over the other's leaves with their ancestry, as a replicator does; whether any was new.

        `whole` brings what the ancestors say too, as having been in touch all along would have.
        """
        before = set(self.tree.nodes)
        for leaf in rev.leaves(other.tree):
            if leaf not in self.tree:
                path = list(rev.ancestry(other.tree, leaf))
                deleted = other.tree.nodes[leaf].deleted
                self.tree = rev.merge(self.tree, rev.path_tree(path, deleted=deleted))
                self.versions[leaf] = other.versions[leaf]
        # That an ancestor deletes is known from the leaf that it once was.
        self.tree = rev.merge(self.tree, Tree({r: n for r, n in other.tree.nodes.items() if r in self.tree}))
        if whole:
            self.versions = other.versions | self.versions
        return set(self.tree.nodes) != before

    @property
    def live(self) -> Version:
        winner = rev.winner(self.tree)
        assert winner is not None
        return self.versions[winner]

    def copy(self) -> Device:
        return replace(self, versions=dict(self.versions))


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _converge(devices: list[Device], *, whole: bool = True) -> int:
    """Everybody syncs with everybody and settles, until nothing is new; how many rounds it took."""
    for round_number in itertools.count():
        assert round_number < 8, "they go on for ever"
        news = [a.pull(b, whole=whole) for a, b in itertools.permutations(devices, 2)]
        settled = [device.settle() for device in devices]
        if not any(news) and not any(settled):
            return round_number
    raise AssertionError


def _two(ours: Body, theirs: Body, base: Body | None = None) -> Device:
    """A device with a conflict of two edits of one revision."""
    device = Device()
    first = device.write(base if base is not None else {"a": 1, "b": 1})
    device.write(ours, first)
    device.write(theirs, first)
    return device


# ── what is written ────────────────────────────────────────────────────────────────────────────────────────


def test_a_merge_extends_the_winner_and_ends_the_loser() -> None:
    device = _two({"a": 2, "b": 1}, {"a": 1, "b": 2})
    winner, loser = rev.leaves(device.tree)
    found = device.settle()
    assert found is not None
    extended, ended = found.revisions
    assert (extended.parent, extended.body, extended.deleted) == (winner, {"a": 2, "b": 2}, False)
    assert extended.revision == found.winner == merge.merged_revision(winner, [loser], device.live)
    assert extended.revision != rev.revision_id(winner, canonical({"a": 2, "b": 2}))
    assert (ended.parent, ended.deleted, ended.body) == (loser, True, {MERGED_INTO: found.winner})
    assert (found.decided, found.left) == ((), ())
    assert device.live.body == {"a": 2, "b": 2}
    assert device.settle() is None


def test_a_field_changed_on_both_sides_is_the_winners_and_is_told() -> None:
    device = _two({"a": 2, "b": 1, "o": {"x": 1}}, {"a": 3, "b": 1, "c": 1, "o": {"x": 2}})
    winner, loser = rev.leaves(device.tree)
    ours = device.versions[winner].body
    found = device.settle()
    assert found is not None
    assert device.live.body == {"a": ours["a"], "b": 1, "c": 1, "o": ours["o"]}
    assert sorted((d.loser, d.path) for d in found.decided) == [(loser, ("a",)), (loser, ("o", "x"))]


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ({}, {"f": FILE}, {"g": FILE}, {"f": FILE, "g": FILE}),
        ({"f": FILE}, {}, {"f": FILE}, {}),
        ({"f": FILE}, {"f": ("a/b", "1b")}, {"f": FILE, "g": FILE}, {"f": ("a/b", "1b"), "g": FILE}),
        ({"f": FILE}, {"f": FILE}, {"f": ("text/html", "0a")}, {"f": ("text/html", "0a")}),
    ],
)
def test_attachments_are_merged_by_name(base: Body, ours: Body, theirs: Body, expected: Body) -> None:
    device = Device()
    first = device.write({}, **base)
    device.write({"a": 1}, first, **ours)
    device.write({"b": 1}, first, **theirs)
    assert device.settle() is not None
    assert device.live == Version({"a": 1, "b": 1}, expected)


def test_of_two_attachments_of_one_name_the_winners_stays_and_is_told() -> None:
    device = Device()
    first = device.write({})
    one = device.write({}, first, f=("a/b", "01"))
    two = device.write({}, first, f=("a/b", "02"))
    winner, loser = max(one, two), min(one, two)
    kept = device.versions[winner]
    found = device.settle()
    assert found is not None
    assert device.live == kept
    assert [(d.loser, d.path) for d in found.decided] == [(loser, (merge.ATTACHMENTS, "f"))]


def test_a_winner_that_says_it_all_is_extended_unless_it_holds_the_same_edits() -> None:
    device = Device()
    first = device.write({"a": 1})
    one, two = device.write({"a": 2}, first), device.write({"a": 2, "b": 1}, first)
    apart = device.copy()
    assert device.settle() is not None
    longer = apart.write({"a": 2, "b": 1}, two)  # as if it had been merged there by way of another revision
    apart.edit(one, Version({MERGED_INTO: longer}), deleted=True)
    device.pull(apart)
    live = merge.live_leaves(device.tree)
    found = device.settle()
    assert found is not None
    assert len(live) == 2
    assert [new.deleted for new in found.revisions] == ([True] if found.winner in live else [False, True])


def test_equal_content_needs_no_ancestor() -> None:
    device = Device()
    device.add("1-a", None, Version({"a": 1}))
    device.add("1-b", None, Version({"a": 1}))
    found = device.settle()
    assert found is not None
    assert [(new.parent, new.deleted) for new in found.revisions] == [("1-b", False), ("1-a", True)]
    assert device.live.body == {"a": 1}


@pytest.mark.parametrize("policy", ["merge", "latest"])
def test_without_a_conflict_nothing_is_written(policy: str) -> None:
    device = Device(policy=policy)
    assert device.settle() is None
    first = device.write({"a": 1})
    assert device.settle() is None
    device.delete(first)
    assert device.settle() is None
    device.write({"a": 2}, first)  # an edit beside a delete is no conflict: the edit stands
    assert device.settle() is None
    assert device.live.body == {"a": 2}


def test_documents_without_an_ancestor_stay_in_conflict() -> None:
    device = Device()
    device.write({"a": 1})
    device.write({"a": 2})
    assert device.settle() is None
    assert len(merge.live_leaves(device.tree)) == 2


def test_a_forgotten_ancestor_leaves_the_conflict_and_another_device_settles_it() -> None:
    knows = _two({"a": 2, "b": 1}, {"a": 1, "b": 2})
    forgot = knows.copy()
    forgot.versions = {r: v for r, v in knows.versions.items() if r in rev.leaves(knows.tree)}
    assert forgot.settle() is None
    assert knows.settle() is not None
    forgot.pull(knows, whole=False)
    assert merge.live_leaves(forgot.tree) == merge.live_leaves(knows.tree)
    assert forgot.live == knows.live
    assert forgot.settle() is None


def test_of_three_leaves_those_with_an_ancestor_are_merged() -> None:
    device = _two({"a": 2, "b": 1}, {"a": 1, "b": 2})
    device.add("1-0", None, Version({"c": 1}))
    found = device.settle()
    assert found is not None
    assert found.left == ("1-0",)
    assert device.live.body == {"a": 2, "b": 2}
    assert device.settle() is None


def test_a_revived_document_is_merged_over_nothing() -> None:
    device = Device()
    gone = device.delete(device.write({"a": 1}))
    device.write({"b": 1}, gone)
    device.write({"c": 1}, gone)
    assert device.settle() is not None
    assert device.live.body == {"b": 1, "c": 1}


def test_a_later_edit_of_a_merged_leaf_is_compared_with_that_leaf() -> None:
    """The tree alone would compare with what stood before both, and the newer value would be lost."""
    device = _two({"a": 2, "b": 1}, {"a": 1, "b": 2})
    apart = device.copy()
    loser = rev.leaves(device.tree)[1]
    changed = dict(device.versions[loser].body)
    name = "a" if changed["a"] == 2 else "b"
    assert device.settle() is not None
    apart.write({**changed, name: 3}, loser)
    device.pull(apart)
    assert device.settle() is not None
    assert device.live.body == {"a": 2, "b": 2, name: 3}
    back = device.copy()
    later = apart.write({**changed, name: 1}, rev.leaves(apart.tree)[0])  # and back to what it was
    back.pull(apart)
    assert later in back.tree
    assert back.settle() is not None
    assert back.live.body == {"a": 2, "b": 2, name: 1}


def test_links_that_lead_nowhere_or_in_circles_are_borne() -> None:
    device = _two({"a": 2, "b": 1}, {"a": 1, "b": 2})
    first, loser = device.tree.nodes[rev.leaves(device.tree)[0]].parent, rev.leaves(device.tree)[1]
    assert first is not None
    for into in ("9-unknown", first, loser, 5, None, ["x"]):
        device.edit(loser, Version({MERGED_INTO: into}), deleted=True)
    device.write({"a": 1, "b": 4}, first)
    assert device.settle() is not None
    assert len(merge.live_leaves(device.tree)) == 1
    assert device.settle() is None


# ── latest ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(1, 2, 2), (2, 1, 2), (None, 1, 1), ("text", 1, 1), (1, None, 1), (1, "text", 1)],
)
def test_the_latest_stands_whole(ours: Any, theirs: Any, expected: int) -> None:
    device = _two({"at": ours, "only": "ours"}, {"at": theirs, "only": "theirs"})
    device.policy = "latest"
    side = "ours" if expected == ours else "theirs"
    assert device.settle() is not None
    assert device.live.body == {"at": expected, "only": side}
    assert device.settle() is None


@pytest.mark.parametrize("at", [1, None, "none"])
def test_of_equals_the_winner_stands(at: Any) -> None:
    device = _two({"at": at, "a": 1}, {"at": at, "a": 2})
    device.policy = "latest"
    winner = rev.winner(device.tree)
    found = device.settle()
    assert found is not None
    assert found.winner == winner
    assert [new.deleted for new in found.revisions] == [True]


def test_the_latest_needs_no_ancestor_and_brings_its_attachments() -> None:
    device = Device(policy="latest")
    device.add("1-b", None, Version({"at": 1}, {"f": FILE}))
    device.add("1-a", None, Version({"at": 2}, {"g": FILE}))
    device.add("1-0", None, Version({}))
    found = device.settle()
    assert found is not None
    assert found.revisions[0].attachments == {"g": "1-a"}
    assert device.live == Version({"at": 2}, {"g": FILE})
    assert [new.parent for new in found.revisions] == ["1-b", "1-a", "1-0"]


# ── properties ─────────────────────────────────────────────────────────────────────────────────────────────

bodies = st.dictionaries(
    st.sampled_from(["a", "b", "c", "at"]),
    st.sampled_from([0, 1, 2, None, {"x": 1}, {"x": 2, "y": 1}, [1]]),
    max_size=4,
)
files = st.dictionaries(st.sampled_from("fg"), st.sampled_from([FILE, ("a/b", "01")]), max_size=2)


@st.composite
def conflicted(draw: st.DrawFn) -> Device:
    """A device with a random tree, of which it may have forgotten what some ancestors say."""
    device = Device(policy=draw(st.sampled_from(["merge", "latest"])))
    made: list[str] = []
    for _ in range(draw(st.integers(1, 9))):
        parent = draw(st.sampled_from([*made, *made[-2:]])) if made else None
        parent = None if draw(st.integers(0, 9)) == 0 else parent
        if parent and draw(st.integers(0, 5)) == 0 and not device.tree.nodes[parent].deleted:
            made.append(device.delete(parent))
        else:
            made.append(device.edit(parent, Version(draw(bodies), draw(files))))
    for forgotten in draw(st.lists(st.sampled_from(made), max_size=2)):
        if forgotten not in rev.leaves(device.tree):
            device.versions.pop(forgotten, None)
    return device


@given(conflicted(), st.randoms(use_true_random=False))
def test_the_order_in_which_leaves_came_does_not_matter(device: Device, random: Any) -> None:
    nodes = list(device.tree.nodes.items())
    random.shuffle(nodes)
    versions = list(device.versions.items())
    random.shuffle(versions)
    other = Device(Tree(dict(nodes)), dict(versions), device.policy)
    assert device.proposal == other.proposal


@given(conflicted())
def test_settling_changes_nothing_when_it_is_done_again(device: Device) -> None:
    for _ in range(10):
        before = set(device.tree.nodes)
        if device.settle() is None:
            assert set(device.tree.nodes) == before
            return
        assert before < set(device.tree.nodes)
    raise AssertionError("it goes on for ever")


@given(conflicted(), st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_devices_that_know_different_parts_converge(whole: Device, data: st.DataObject) -> None:
    """Each begins with some leaves of one tree, settles on its own, and meets the others in any order."""
    leaves = rev.leaves(whole.tree)
    devices = []
    for _ in range(data.draw(st.integers(2, 5))):
        device = Device(policy=whole.policy)
        for leaf in data.draw(st.lists(st.sampled_from(leaves), unique=True)):
            device.pull(_only(whole, leaf), whole=data.draw(st.booleans()))
        devices.append(device)
    devices.append(whole)
    pairs = list(itertools.permutations(range(len(devices)), 2))
    for a, b in data.draw(st.lists(st.sampled_from(pairs), max_size=8)):
        devices[a].pull(devices[b], whole=data.draw(st.booleans()))
        if data.draw(st.booleans()):
            devices[a].settle()
    rounds = _converge(devices, whole=data.draw(st.booleans()))
    assert rounds <= 5
    for device in devices:
        assert dict(device.tree.nodes) == dict(devices[0].tree.nodes)
        assert set(leaves) <= set(device.tree.nodes)
        assert device.live == devices[0].live


def _only(device: Device, leaf: str) -> Device:
    path = list(rev.ancestry(device.tree, leaf))
    nodes = {r: device.tree.nodes[r] for r in path}
    return Device(Tree(nodes), {r: device.versions[r] for r in path if r in device.versions})


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_nobodys_edit_of_a_field_of_their_own_is_lost_or_undone(data: st.DataObject) -> None:
    """Devices edit, sync and settle in any order, each with a field that it alone writes: at the end every
    field says what its device wrote last, however often merges were merged."""
    first = Device()
    first.write({"shared": 0})
    devices = [first.copy() for _ in range(data.draw(st.integers(2, 4)))]
    last: Body = {"shared": 0}
    steps = st.tuples(st.integers(0, len(devices) - 1), st.integers(0, len(devices) - 1), st.integers(0, 3))
    for a, b, value in data.draw(st.lists(steps, max_size=25)):
        device = devices[a]
        if a != b:
            device.pull(devices[b])
            device.settle()
            assert len(merge.live_leaves(device.tree)) == 1
            continue
        name = f"d{a}"
        body = {n: v for n, v in device.live.body.items() if n != name or value}
        body |= {name: value} if value else {}
        device.write(body, rev.winner(device.tree))
        last = {n: v for n, v in last.items() if n != name} | ({name: value} if value else {})
    _converge(devices)
    assert [canonical(device.live.body) for device in devices] == [canonical(last)] * len(devices)


@pytest.mark.parametrize("shape", ["deep", "wide"])
def test_deep_and_wide_trees_are_settled_in_little_time(shape: str) -> None:
    device = Device()
    versions: dict[str, Version] = {}
    nodes: dict[str, rev.Node] = {}

    def grow(parent: str | None, count: int, name: str) -> str:
        for _ in range(count):
            generation = rev.parse_revision(parent)[0] + 1 if parent else 1
            revision = f"{generation}-{name}"
            nodes[revision] = rev.Node(parent)
            parent = revision
        assert parent is not None
        versions[parent] = Version({name: 1})
        return parent

    root = grow(None, 1, "root")
    versions[root] = Version({})
    if shape == "deep":
        grow(root, 10_000, "a")
        grow(root, 9_000, "b")
    else:
        for i in range(1000):
            grow(root, 2, f"leaf{i}")
    device = Device(Tree(nodes), versions)
    assert device.settle() is not None
    assert len(device.live.body) == (2 if shape == "deep" else 1000)
    assert len(merge.live_leaves(device.tree)) == 1


def test_a_tombstone_depends_on_its_leaf_and_on_what_took_it_in() -> None:
    assert merge.tombstone("2-a", "3-b") == merge.tombstone("2-a", "3-b")
    made = [merge.tombstone(*pair).revision for pair in (("2-a", "3-b"), ("2-a", "3-c"), ("2-b", "3-b"))]
    assert len(set(made)) == 3
    assert all(revision.startswith("3-") for revision in made)
