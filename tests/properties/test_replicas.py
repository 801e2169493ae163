"""Three to five replicas in one process: whatever happens to them, once they have met they hold the same.

What happens: documents are made, edited, deleted and given attachments through both faces, leaves that lose
are edited too, revisions come from a client that made them elsewhere; replicas sync in any topology, by the
plain protocol of `tests.support.replicas` and by the replicator with its checkpoints; requests and answers
are lost, arrive twice, late, in part or in another order; a replica crashes and goes on from what is on
disk; bodies are forgotten. Collections keep conflicts, merge them, or let the latest stand; conflicts are
also settled by hand.

Every write that was answered is written down beside, as a tree and as what each revision said. Healing is
that neighbours of a chain sync with each other until nobody learns anything, by the replicator alone or by
the plain protocol alone: so nothing comes around by another way when one fails to bring it. Then all
replicas must agree on trees, winners, leaves, bodies and attachments (`state_of`), every answered revision
must be in the tree, and where conflicts are kept the trees must be exactly what was written down: no leaf
missing, none invented.

It was seen to fail, in a copy of the repository, each time within some hundred examples, when
- `store.new_leaf.add_loser` gave the document no new place in the change feed,
- `model.revisions.merge` took the second tree's word for a revision instead of joining both,
- `store.document_changes` told one losing leaf instead of all,
- `services.replication.local_peer` took an attachment for known that the target does not have,
- `services.replication.run` took a change for an echo while the document has several leaves,
- and when it saved a checkpoint beyond what it had written after a request was lost.

`make test` runs some examples; `make soak` many (`LOCALSRV_SOAK=<how many>`).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from localsrv.base.errors import LocalsrvError
from localsrv.model import revisions as rev
from localsrv.model.merge import live_leaves
from localsrv.model.query import parse_query
from localsrv.model.revisions import EMPTY, Tree
from localsrv.model.schema_parse import parse_collection
from localsrv.services.conflicts import Follower
from localsrv.store.database import Database, Edit, StoreOptions
from localsrv.store.editing import NewAttachment
from tests.support.replicas import fetch, replicate, state_of, sync

NAME = "notes"
IDS = ["a", "b", "c", "d"]
POLICIES: dict[str, Any] = {"keep": "keep", "merge": "merge", "latest": {"latest": "at"}}
SMALL, LARGE = b"small", b"large " * 12_000
FATES = st.sampled_from([(), (), ("lost",), ("unanswered",), ("twice",), ("", "lost"), ("", "", "lost")])
"""What becomes of the first requests that write: documents, then the checkpoints on both sides."""

SOAK = int(os.environ.get("LOCALSRV_SOAK", "0"))


@dataclass
class Replica:
    """A device: its file, and the service that settles its conflicts."""

    label: str
    folder: Path
    options: StoreOptions
    db: Database = field(init=False)
    follower: Follower = field(init=False)

    async def open(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.db = await Database.open(self.folder / "app.db", self.folder / "blobs", self.options)
        self.follower = Follower(self.label, self.db)

    async def crash(self, to: Path) -> None:
        """Goes on from a copy of what is on disk while the file is open: nothing is written back before."""
        shutil.copytree(self.folder, to, ignore=shutil.ignore_patterns("*-shm"))
        await self.db.close()
        shutil.rmtree(self.folder)
        self.folder = to
        await self.open()

    def tree(self, document_id: str) -> Tree:
        found = self.db.revisions(NAME, document_id)
        return found.tree if found is not None else EMPTY


@dataclass
class Written:
    """What was answered: every document's tree, and what its revisions said."""

    trees: dict[str, Tree] = field(default_factory=lambda: dict.fromkeys(IDS, EMPTY))
    said: dict[tuple[str, str], Any] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """Does things to replicas, and writes down what they answered."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.home = Path(tempfile.mkdtemp())
        self.replicas: list[Replica] = []
        self.written = Written()
        self.late: list[tuple[Replica, list[Edit]]] = []
        self.policy, self.healed_by = "keep", "plain"
        self.crashes = 0

    @initialize(
        count=st.integers(3, 5),
        policy=st.sampled_from(sorted(POLICIES)),
        healed_by=st.sampled_from(["replicator", "replicator", "plain"]),
        forgetful=st.booleans(),
    )
    def begin(self, count: int, policy: str, healed_by: str, forgetful: bool) -> None:
        self.policy, self.healed_by = policy, healed_by
        self.runner.run(self._begin(count, forgetful))

    async def _begin(self, count: int, forgetful: bool) -> None:
        definition = {"conflicts": POLICIES[self.policy], "fields": {"at": "integer"}}
        for number in range(count):
            options = StoreOptions(retention_s=0 if forgetful and number == 0 else 1e9)
            replica = Replica(f"r{number}", self.home / f"r{number}", options)
            await replica.open()
            await replica.db.define({NAME: parse_collection(NAME, definition)})
            self.replicas.append(replica)

    def teardown(self) -> None:
        try:
            if self.replicas:
                self.runner.run(self._heal())
        finally:
            self.runner.run(self._end())
            self.runner.close()
            shutil.rmtree(self.home)

    async def _end(self) -> None:
        for replica in self.replicas:
            await replica.db.close()

    # ── writing ────────────────────────────────────────────────────────────────────────────────────────────

    def _do(self, at: int, document_id: str, action: Callable[[Replica], Awaitable[Any]]) -> None:
        """Runs a write on a replica and writes down what came of it. A refusal changes nothing."""
        self.runner.run(self._record(self._at(at), document_id, action))

    async def _record(
        self, replica: Replica, document_id: str, action: Callable[[Replica], Awaitable[Any]]
    ) -> None:
        before = replica.tree(document_id)
        try:
            answer = await action(replica)
        except LocalsrvError:
            assert replica.tree(document_id).nodes == before.nodes
            return
        after = replica.tree(document_id)
        new = {r: n for r, n in after.nodes.items() if r not in before.nodes}
        assert not isinstance(answer, str) or answer in after.nodes
        known = self.written.trees[document_id]
        self.written.trees[document_id] = rev.merge(known, Tree(new))
        leaves = (await state_of(replica.db, NAME)).get(document_id, {"leaves": {}})["leaves"]
        for revision in new:
            if revision in leaves:
                self.written.said[document_id, revision] = leaves[revision]

    def _at(self, number: int) -> Replica:
        return self.replicas[number % len(self.replicas)]

    replica_numbers = st.integers(0, 59)
    ids = st.sampled_from(IDS)
    choices = st.integers(0, 11)
    bodies = st.dictionaries(
        st.sampled_from(["x", "y", "at"]), st.sampled_from([0, 1, 2, None, {"k": 1}, {"k": 2, "l": 1}])
    )

    @rule(at=replica_numbers, i=ids, body=bodies, leaf=choices, files=st.integers(0, 3))
    def put(self, at: int, i: str, body: dict[str, Any], leaf: int, files: int) -> None:
        """An edit of the winner or of another leaf, with or without attachments; or a creation."""

        async def act(replica: Replica) -> Any:
            tree = replica.tree(i)
            found = rev.leaves(tree)
            parent = found[leaf % len(found)] if found else None
            stored = replica.db.get_document(NAME, i, parent) if parent else None
            kept = tuple(a.name for a in stored.attachments) if stored and files != 1 else ()
            new = [("f", SMALL), ("g", LARGE)][: max(files - 1, 0)]
            attachments = [
                NewAttachment(n, "text/plain", await replica.db.receive(_chunks(d))) for n, d in new
            ]
            kept = tuple(name for name in kept if name not in dict(new))
            return await replica.db.put(
                NAME, Edit(i, body, parent, attachments=tuple(attachments), kept=kept)
            )

        self._do(at, i, act)

    @rule(at=replica_numbers, i=ids, leaf=choices)
    def delete(self, at: int, i: str, leaf: int) -> None:
        async def act(replica: Replica) -> Any:
            found = live_leaves(replica.tree(i))
            parent = found[leaf % len(found)] if found else None
            return await replica.db.put(NAME, Edit(i, {}, parent, deleted=True))

        self._do(at, i, act)

    @rule(at=replica_numbers, i=ids, body=bodies, deletes=st.integers(0, 4))
    def write_rows(self, at: int, i: str, body: dict[str, Any], deletes: int) -> None:
        """The data face: a row is inserted, changed or deleted."""

        async def act(replica: Replica) -> None:
            where = parse_query([("id", f"eq.{i}")])
            row = {
                name: value for name, value in body.items() if name != "at" or isinstance(value, int | None)
            }
            if not live_leaves(replica.tree(i)):
                await replica.db.insert(NAME, [{"id": i, **row}])
            elif deletes == 0:
                await replica.db.delete(NAME, where)
            else:
                await replica.db.update(NAME, where, row)

        self._do(at, i, act)

    @rule(
        at=replica_numbers, i=ids, name=st.sampled_from("fg"), content=st.sampled_from([None, SMALL, LARGE])
    )
    def attach(self, at: int, i: str, name: str, content: bytes | None) -> None:
        async def act(replica: Replica) -> Any:
            if content is None:
                return await replica.db.delete_attachment(NAME, i, name)
            blob = await replica.db.receive(_chunks(content))
            return await replica.db.put_attachment(NAME, i, name, "text/plain", blob)

        self._do(at, i, act)

    @rule(
        at=replica_numbers,
        i=ids,
        base=choices,
        names=st.lists(st.sampled_from("mnd"), min_size=1, max_size=3),
    )
    def push(self, at: int, i: str, base: int, names: list[str]) -> None:
        """A client brings revisions that it made on its own, on top of one that it knows; `d` deletes."""

        async def act(replica: Replica) -> None:
            tree = replica.tree(i)
            known = sorted(tree.nodes)
            path = list(rev.ancestry(tree, known[base % len(known)])) if known and base < 10 else []
            if path and tree.nodes[path[0]].deleted:
                return
            for name in names[:-1]:
                path.insert(0, _made(path, name.replace("d", "m")))
            path.insert(0, _made(path, names[-1]))
            deleted = names[-1] == "d"
            edit = Edit(i, {} if deleted else {"x": path[0]}, deleted=deleted, path=tuple(path))
            (done,) = await replica.db.put_many(NAME, [edit], new_edits=False)
            assert done == path[0]

        self._do(at, i, act)

    @rule(at=replica_numbers, i=ids, body=bodies)
    def resolve(self, at: int, i: str, body: dict[str, Any]) -> None:
        async def act(replica: Replica) -> Any:
            live = live_leaves(replica.tree(i))
            answer = await replica.db.resolve(NAME, frozenset(live), Edit(i, body))
            assert live_leaves(replica.tree(i)) == [answer]
            return answer

        self._do(at, i, act)

    # ── meeting ────────────────────────────────────────────────────────────────────────────────────────────

    @rule(giver=replica_numbers, taker=replica_numbers, fate=choices)
    def exchange(self, giver: int, taker: int, fate: int) -> None:
        """One request of the plain protocol: whole, lost, twice, in part, turned around, or late."""

        async def run(one: Replica, two: Replica) -> None:
            edits = await fetch(one.db, two.db, NAME)
            if fate == 0:
                return
            if fate == 1:
                self.late.append((two, edits))
                return
            if fate == 2:
                edits = edits[: len(edits) // 2]
            if fate == 3:
                edits = edits[::-1]
            for _ in range(2 if fate == 4 else 1):
                await _store(two, edits)

        if self._at(giver) is not self._at(taker):
            self.runner.run(run(self._at(giver), self._at(taker)))

    @precondition(lambda self: self.late)
    @rule(which=choices, again=st.booleans())
    def arrive_late(self, which: int, again: bool) -> None:
        replica, edits = self.late[which % len(self.late)]
        if not again:
            self.late.remove((replica, edits))
        self.runner.run(_store(replica, edits))

    @rule(giver=replica_numbers, taker=replica_numbers, fates=FATES)
    def replicate(self, giver: int, taker: int, fates: tuple[str, ...]) -> None:
        one, two = self._at(giver), self._at(taker)
        if one is not two:
            self.runner.run(replicate((one.label, one.db), (two.label, two.db), NAME, fates))

    @rule(at=replica_numbers)
    def settle(self, at: int) -> None:
        self.runner.run(self._at(at).follower.look())

    # ── misfortune ─────────────────────────────────────────────────────────────────────────────────────────

    @rule(at=replica_numbers)
    def crash(self, at: int) -> None:
        replica = self._at(at)
        self.crashes += 1
        to = self.home / f"{replica.label}-{self.crashes}"

        async def run() -> None:
            before, newest = await state_of(replica.db, NAME), replica.db.last_seq
            self.late = [entry for entry in self.late if entry[0] is not replica]
            await replica.crash(to)
            assert await state_of(replica.db, NAME) == before
            assert replica.db.last_seq >= newest

        self.runner.run(run())

    @rule(at=replica_numbers)
    def compact(self, at: int) -> None:
        """Forgets bodies at once on the replica that is forgetful; the leaves' stay."""
        self.runner.run(self._at(at).db.compact())

    @invariant()
    def what_was_answered_is_there(self) -> None:
        """On every replica a revision says what it was written with."""
        if self.replicas:
            self.runner.run(self._check_contents())

    async def _check_contents(self) -> None:
        for replica in self.replicas:
            for document_id, found in (await state_of(replica.db, NAME)).items():
                for revision, said in found["leaves"].items():
                    assert self.written.said.get((document_id, revision), said) == said

    # ── in the end ─────────────────────────────────────────────────────────────────────────────────────────

    async def _heal(self) -> None:
        for replica, edits in self.late:
            await _store(replica, edits)
        for _ in range(30):
            news = 0
            for one, two in itertools.pairwise(
                self.replicas
            ):  # a chain: no way around what one fails to bring
                news += await self._meet(one, two)
                news += await self._meet(two, one)
            for replica in self.replicas:
                newest = replica.db.last_seq
                await replica.follower.look()
                news += replica.db.last_seq != newest
            if not news:
                break
        else:
            raise AssertionError("they go on for ever")
        await self._compare()

    async def _meet(self, one: Replica, two: Replica) -> bool:
        """Brings all of one replica to another; in one way alone, so that it hides no fault of the other."""
        if self.healed_by == "plain":
            return bool(await sync(one.db, two.db, NAME))
        before = await state_of(two.db, NAME)
        assert await replicate((one.label, one.db), (two.label, two.db), NAME)
        return before != await state_of(two.db, NAME)

    async def _compare(self) -> None:
        states = [await state_of(replica.db, NAME) for replica in self.replicas]
        for state in states[1:]:
            assert state == states[0]
        for document_id, tree in self.written.trees.items():
            there = states[0].get(document_id, {"tree": {}, "leaves": {}})
            wanted = {r: n.parent for r, n in tree.nodes.items()}
            if self.policy == "keep":
                assert there["tree"] == wanted
                assert set(there["leaves"]) == set(rev.leaves(tree))
            else:
                assert {r: there["tree"].get(r) for r in wanted} == wanted
        await self._check_contents()


def _made(path: Sequence[str], name: str) -> str:
    """A revision that a client made: its id says where it stands, so that every client makes the same."""
    generation = rev.parse_revision(path[0])[0] + 1 if path else 1
    below = path[0].partition("-")[2][:6] if path else ""
    return f"{generation}-{name}{below}"


async def _store(replica: Replica, edits: Sequence[Edit]) -> None:
    done = await replica.db.put_many(NAME, edits, new_edits=False)
    assert not [error for error in done if isinstance(error, Exception)]


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


class TestReplicas(Machine.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(
        max_examples=SOAK or 40,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
