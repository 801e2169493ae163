"""Random work on a real file, compared after every step with a simple model of what it should hold.

The model keeps each document's revision tree by the functions of `localsrv.model.revisions` and beside it the
bodies and attachments of its revisions. It knows nothing of tables, tombstones, columns or caches: that these
agree with it is what is tested.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from localsrv.base.errors import Conflict, LocalsrvError, NotFound, UniqueViolation
from localsrv.model import revisions as rev
from localsrv.model.query import parse_query
from localsrv.model.revisions import EMPTY, Tree
from localsrv.store.database import Database, Edit, InsertOptions, StoreOptions
from localsrv.store.driver import Connection, connect
from localsrv.store.editing import NewAttachment
from tests.store.conftest import collections

REVS_LIMIT = 6
IDS = {"plain": ["a", "b", "é\"'%"], "keyed": ["1", "2", "3"]}
DEFINITIONS: list[dict[str, Any]] = [
    {"fields": {"a": "text"}},
    {"fields": {"a": "text", "n": "integer"}, "full_text": ["a"]},
    {"fields": {"n": "number", "u": "text"}, "indexes": ["n"], "unique": ["u"]},
    {"fields": {"u": "text", "a": "text", "n": "json"}, "unique": [["u"]], "full_text": {"u": 2, "a": 1}},
]
BIG = b"large content " * 6000
CONTENTS = {"small": b"hello", "empty": b"", "large": BIG}

Body = dict[str, Any]


# ── the model ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Doc:
    """A document: its tree, and what is known of its revisions."""

    tree: Tree = EMPTY
    bodies: Mapping[str, Body] = field(default_factory=dict)
    files: Mapping[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def winner(self) -> str | None:
        return rev.winner(self.tree)

    @property
    def live(self) -> str | None:
        winner = self.winner
        return winner if winner and not self.tree.nodes[winner].deleted else None

    def grown(self, path: Sequence[str], body: Body, deleted: bool, files: dict[str, bytes]) -> Doc:
        """With one more revision and its ancestors."""
        tree = rev.merge(self.tree, rev.path_tree(path, deleted=deleted))
        return Doc(tree, {**self.bodies, path[0]: body}, {**self.files, path[0]: files})


def canonical(body: Body) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def made(parent: str | None, body: Body, deleted: bool, files: dict[str, bytes]) -> str:
    hashed = [(n, "text/plain", hashlib.sha256(data).hexdigest()) for n, data in files.items()]
    return rev.revision_id(parent, canonical(body), deleted=deleted, attachments=hashed)


@dataclass
class Model:
    """All documents by collection and id, what is unique, and who changed since the feed was last read."""

    docs: dict[tuple[str, str], Doc] = field(default_factory=dict)
    unique: dict[str, bool] = field(default_factory=lambda: {"plain": False, "keyed": False})
    changed: set[tuple[str, str]] = field(default_factory=set)

    def doc(self, at: tuple[str, str]) -> Doc:
        return self.docs.get(at, Doc())

    def attempt(self, action: Callable[[], Any]) -> Any:
        """The action's result; what it raises, with nothing changed."""
        docs, changed = dict(self.docs), set(self.changed)
        try:
            return action()
        except LocalsrvError as error:
            self.docs, self.changed = docs, changed
            return type(error)

    def edit(
        self,
        at: tuple[str, str],
        body: Body,
        parent: str | None,
        deleted: bool = False,
        files: dict[str, bytes] | None = None,
        by_row: bool = False,
    ) -> str:
        doc = self.doc(at)
        leaves = rev.leaves(doc.tree)
        # Writes of a document's only branch leave cutting its history to compaction; others cut it at once.
        short = (not deleted and parent == doc.live) or (by_row and len(leaves) == 1)
        if parent is None and leaves:
            if doc.live:
                raise Conflict("")
            parent = leaves[0]
        elif parent is not None and parent not in leaves:
            raise Conflict("")
        if parent is not None and deleted and doc.tree.nodes[parent].deleted:
            raise NotFound("")
        revision = made(parent, body, deleted, files or {})
        path = [revision] if parent is None else [revision, parent]
        grown = doc.grown(path, body, deleted, files or {})
        self.docs[at] = grown if short else replace(grown, tree=rev.stemmed(grown.tree, REVS_LIMIT))
        self.changed.add(at)
        return revision

    def graft(self, at: tuple[str, str], path: Sequence[str], body: Body, deleted: bool) -> str:
        doc = self.doc(at)
        grown = doc.grown(path, body, deleted, doc.files.get(path[0], {}))
        if path[0] not in doc.tree or rev.leaves(grown.tree) != rev.leaves(doc.tree):
            self.docs[at] = replace(grown, tree=rev.stemmed(grown.tree, REVS_LIMIT))
            self.changed.add(at)
        return path[0]

    def change(self, at: tuple[str, str], body: Body) -> bool:
        """Extends the winner unless it says the same."""
        doc = self.doc(at)
        assert doc.live
        if canonical(doc.bodies[doc.live]) == canonical(body):
            return False
        self.edit(at, body, doc.live, files=doc.files[doc.live])
        return True

    def check_unique(self, name: str, ids: Sequence[str]) -> None:
        if not self.unique[name]:
            return
        values = {i: d.bodies[d.live].get("u") for (c, i), d in self.docs.items() if c == name and d.live}
        for i in ids:
            if values.get(i) is not None and any(o != i and v == values[i] for o, v in values.items()):
                raise UniqueViolation("")

    def insert(self, name: str, rows: Sequence[tuple[str, Body]], resolution: str) -> None:
        touched = []
        for i, body in rows:
            doc = self.doc((name, i))
            if doc.live is None:
                self.edit((name, i), body, None)
                touched.append(i)
            elif resolution == "error":
                raise Conflict("")
            elif resolution == "merge" and self.change((name, i), doc.bodies[doc.live] | body):
                touched.append(i)
        self.check_unique(name, touched)

    def update(self, name: str, ids: Sequence[str], changes: Body) -> None:
        touched = []
        for i in dict.fromkeys(ids):
            doc = self.doc((name, i))
            if doc.live and self.change((name, i), doc.bodies[doc.live] | changes):
                touched.append(i)
        self.check_unique(name, touched)

    def delete(self, name: str, ids: Sequence[str]) -> None:
        for i in dict.fromkeys(ids):
            if live := self.doc((name, i)).live:
                self.edit((name, i), {}, live, deleted=True, by_row=True)

    def put(self, name: str, i: str, edit: Edit, files: dict[str, bytes]) -> str:
        doc = self.doc((name, i))
        if edit.parent is not None and edit.parent not in rev.leaves(doc.tree):
            raise Conflict("")
        if edit.kept and not set(edit.kept) <= doc.files.get(edit.parent or "", {}).keys():
            raise NotFound("")
        kept = {n: doc.files[edit.parent or ""][n] for n in edit.kept}
        revision = self.edit((name, i), dict(edit.document), edit.parent, edit.deleted, kept | files)
        if not edit.deleted:
            self.check_unique(name, [i])
        return revision

    def attach(self, name: str, i: str, file: str, data: bytes | None) -> str:
        doc = self.doc((name, i))
        if doc.live is None or (data is None and file not in doc.files[doc.live]):
            raise NotFound("")
        files = {n: d for n, d in doc.files[doc.live].items() if n != file}
        if data is not None:
            files[file] = data
        return self.edit((name, i), doc.bodies[doc.live], doc.live, files=files)

    def import_one(self, name: str, i: str, body: Body) -> None:
        if self.doc((name, i)).live is None:
            self.edit((name, i), body, None)
        else:
            self.change((name, i), body)

    def compact(self) -> None:
        for at, doc in self.docs.items():
            if len(doc.tree) > REVS_LIMIT:
                self.docs[at] = replace(doc, tree=rev.stemmed(doc.tree, REVS_LIMIT))


# ── what is done ───────────────────────────────────────────────────────────────────────────────────────────

Blobs = Mapping[str, Any]
Action = tuple[Callable[[Database, Blobs], Coroutine[Any, Any, Any]], Callable[[Model], Any]]
"""One operation: on the file, and on the model. Both give a result or the type of an error."""

names = st.sampled_from(["plain", "keyed"])
bodies = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from(["one", "two words", "three more words", ""]),
        "n": st.integers(-2, 2),
        "u": st.sampled_from(["x", "y", None]),
        "free": st.sampled_from([[1, {"k": None}], 1.5, "é"]),
    },
)
seeds = st.integers(0, 2**32)


def whole(name: str, i: str, body: Body) -> Body:
    """A document with its key."""
    return {"k": int(i), **body} if name == "keyed" else body


def inserting(model: Model, name: str, chance: Any, data: Sequence[Body]) -> Action:
    rows = [(chance.choice(IDS[name]), body) for body in data]
    resolution = chance.choice(["error", "error", "merge", "ignore"])
    sent = [{"id": i, **b} if name == "plain" else whole(name, i, b) for i, b in rows]
    dry = chance.random() < 0.1
    options = InsertOptions(resolution=resolution, rollback=dry)

    def expect(model: Model) -> None:
        docs, changed = dict(model.docs), set(model.changed)
        model.insert(name, [(i, whole(name, i, b)) for i, b in rows], resolution)
        if dry:
            model.docs, model.changed = docs, changed

    async def act(db: Database, blobs: Blobs) -> None:
        await db.insert(name, sent, options)

    return act, expect


def updating(model: Model, name: str, chance: Any, data: Sequence[Body]) -> Action:
    ids = chance.sample(IDS[name], chance.randint(1, 3))
    where = parse_query([("_id", f"in.({','.join(quote(i) for i in ids)})")])
    changes = data[0]

    async def act(db: Database, blobs: Blobs) -> None:
        await db.update(name, where, dict(changes))

    return act, lambda model: model.update(name, ids, changes)


def deleting(model: Model, name: str, chance: Any, data: Sequence[Body]) -> Action:
    ids = chance.sample(IDS[name], chance.randint(1, 2))
    where = parse_query([("_id", f"in.({','.join(quote(i) for i in ids)})")])

    async def act(db: Database, blobs: Blobs) -> None:
        await db.delete(name, where)

    return act, lambda model: model.delete(name, ids)


def quote(i: str) -> str:
    return '"' + i.replace("\\", "\\\\").replace('"', '\\"') + '"'


def an_edit(model: Model, name: str, chance: Any, body: Body) -> tuple[Edit, dict[str, str]]:
    i = chance.choice(IDS[name])
    doc = model.doc((name, i))
    leaves = rev.leaves(doc.tree)
    parent = chance.choice([None, doc.winner, doc.winner, "9-unknown", *leaves, *sorted(doc.tree.nodes)[:2]])
    deleted = chance.random() < 0.3
    files = {f: chance.choice(list(CONTENTS)) for f in ("f", "g") if chance.random() < 0.2}
    kept = tuple(n for n in doc.files.get(parent or "", {}) if n not in files and chance.random() < 0.7)
    document = {} if deleted else whole(name, i, body)
    return Edit(i, document, parent=parent, deleted=deleted, kept=() if deleted else kept), (
        {} if deleted else files
    )


def with_files(edit: Edit, files: dict[str, str], blobs: Blobs) -> Edit:
    new = [NewAttachment(n, "text/plain", blobs[c]) for n, c in files.items()]
    return replace(edit, attachments=tuple(new))


async def chunks(data: bytes) -> Any:
    yield data


def putting(model: Model, name: str, chance: Any, data: Sequence[Body]) -> Action:
    edits = [an_edit(model, name, chance, body) for body in data]

    async def act(db: Database, blobs: Blobs) -> Any:
        done = await db.put_many(name, [with_files(e, f, blobs) for e, f in edits])
        return [type(d) if isinstance(d, Exception) else d for d in done]

    def expect(model: Model) -> Any:
        return [
            model.attempt(lambda e=e, f=f: model.put(name, e.id, e, {n: CONTENTS[c] for n, c in f.items()}))
            for e, f in edits
        ]

    return act, expect


def grafting(model: Model, name: str, chance: Any, data: Sequence[Body]) -> Action:
    """Revisions from elsewhere: what they say follows from their id, as it does between honest peers."""
    i = chance.choice(IDS[name])
    doc = model.doc((name, i))
    edits = []
    for _ in data:
        base = chance.choice([None, None, *doc.tree.nodes])
        path = [*rev.ancestry(doc.tree, base)] if base else []
        for _ in range(chance.randint(0 if path else 1, 4)):
            parent = path[0] if path else "0-"
            letter = chance.choice("abd")
            digest = hashlib.md5(f"{parent}{letter}".encode()).hexdigest()[:8]
            path.insert(0, f"{rev.parse_revision(parent)[0] + 1 if path else 1}-{letter}{digest}")
        if path[0][2] not in "abd" or len(path[0]) > 20:
            continue  # made here, so its peer would send what is known
        path = path[: chance.choice([1, 2, len(path)])]
        deleted = path[0].partition("-")[2][0] == "d"
        edits.append(Edit(i, {} if deleted else {"a": path[0], "n": 1}, path=tuple(path), deleted=deleted))

    async def act(db: Database, blobs: Blobs) -> Any:
        return await db.put_many(name, edits, new_edits=False)

    return act, lambda model: [model.graft((name, i), e.path, dict(e.document), e.deleted) for e in edits]


def attaching(model: Model, name: str, chance: Any, data: Sequence[Body]) -> Action:
    i, file, content = chance.choice(IDS[name]), chance.choice("fg"), chance.choice([None, *CONTENTS])

    async def act(db: Database, blobs: Blobs) -> str:
        if content is None:
            return await db.delete_attachment(name, i, file)
        return await db.put_attachment(name, i, file, "text/plain", blobs[content])

    return act, lambda model: model.attach(name, i, file, CONTENTS[content] if content else None)


def importing(model: Model, name: str, chance: Any, data: Sequence[Body]) -> Action:
    rows = [(i, whole(name, i, body)) for body in data for i in [chance.choice(IDS[name])]]

    async def act(db: Database, blobs: Blobs) -> None:
        await db.import_documents(name, [{"_id": i, **b} for i, b in rows])

    def expect(model: Model) -> None:
        for i, body in rows:
            model.import_one(name, i, body)

    return act, expect


def defining(model: Model, name: str, chance: Any, data: Sequence[Body]) -> Action:
    wanted = chance.choice(DEFINITIONS)
    value = wanted
    if name == "keyed":
        value = {**wanted, "fields": {"k": "integer", **wanted["fields"]}, "key": "k"}

    async def act(db: Database, blobs: Blobs) -> None:
        await db.define(collections(**{name: value}))

    return act, lambda model: model.unique.__setitem__(name, "unique" in wanted)


ACTIONS = [
    inserting,
    inserting,
    updating,
    deleting,
    putting,
    putting,
    grafting,
    grafting,
    attaching,
    importing,
]
actions = st.tuples(
    st.sampled_from([*ACTIONS, defining]), names, seeds, st.lists(bodies, min_size=1, max_size=3)
)


# ── the machine ────────────────────────────────────────────────────────────────────────────────────────────


class Machine(RuleBasedStateMachine):
    """Does things to a file and to the model, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.model = Model()
        self.told = 0
        self.runner.run(self.open())
        for name in IDS:
            self.do(defining(self.model, name, _First(), []))
        self.file: Connection = connect(self.folder / "app.db", read_only=True)

    async def open(self) -> None:
        options = StoreOptions(retention_s=0, revs_limit=REVS_LIMIT)
        self.db = await Database.open(self.folder / "app.db", self.folder / "blobs", options)
        self.blobs = {name: await self.db.receive(chunks(data)) for name, data in CONTENTS.items()}

    def teardown(self) -> None:
        self.runner.run(self.end())
        assert self.file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        self.file.close()
        self.runner.close()
        shutil.rmtree(self.folder)

    async def end(self) -> None:
        for name, state in self.db.collections.items():
            if state.definition.full_text:
                index = f"localsrv_{name}_fts"
                check = f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)"
                await self.db._file.writer.submit(lambda tx, check=check: tx.execute(check) and None)
        await self.db.close()

    def do(self, action: Action) -> None:
        self.together([action])

    def together(self, group: Sequence[Action]) -> None:
        """Runs actions as they would run when all of them wait for the writer."""

        async def run() -> list[Any]:
            go = threading.Event()
            first = self.db._file.writer.submit(lambda tx: go.wait(10))
            tasks = [asyncio.ensure_future(act(self.db, self.blobs)) for act, _ in group]
            await asyncio.sleep(0)  # each runs until it waits for the writer, in this order
            go.set()
            await first
            return await asyncio.gather(*tasks, return_exceptions=True)

        done = self.runner.run(run())
        expected = [self.model.attempt(lambda expect=expect: expect(self.model)) for _, expect in group]
        for got, wanted in zip(done, expected, strict=True):
            if isinstance(got, BaseException) and not isinstance(got, LocalsrvError):
                raise got
            assert (type(got) if isinstance(got, LocalsrvError) else got) == wanted

    @rule(chosen=actions)
    def one(self, chosen: Any) -> None:
        make, name, seed, data = chosen
        self.do(make(self.model, name, random.Random(seed), data))

    @rule(chosen=st.lists(actions, min_size=2, max_size=6))
    def group(self, chosen: Any) -> None:
        self.together(
            [make(self.model, name, random.Random(seed), data) for make, name, seed, data in chosen]
        )

    @rule()
    def compact(self) -> None:
        self.runner.run(self.db.compact())
        self.model.compact()

    @rule()
    def reopen(self) -> None:
        last = self.db.last_seq

        async def again() -> None:
            await self.db.close()
            await self.open()

        self.runner.run(again())
        assert self.db.last_seq >= last

    @invariant()
    def tables_show_the_winners(self) -> None:
        for name in IDS:
            state = self.db.collection(name)
            docs = {i: d for (c, i), d in self.model.docs.items() if c == name and d.tree.nodes}
            columns = "".join(f', "{c}"' for c in state.columns)
            found = self.file.execute(f'SELECT _id, _rev, _body{columns} FROM "{name}"').fetchall()
            live = {i: d.live for i, d in docs.items() if d.live}
            assert {i: r for i, r, *_ in found} == live and len(found) == len(live)
            for i, revision, text, *values in found:
                body = orjson.loads(text)
                assert body == docs[i].bodies[revision]
                for column, value in zip(state.columns, values, strict=True):
                    wanted = body.get(column)
                    kind = state.definition.field_named(column)
                    assert kind is not None
                    as_text = kind.type.value in ("text", "json") and wanted is not None
                    assert value == (str(wanted) if as_text else wanted)
                assert body.keys() <= state.known_fields
            dead = self.file.execute(
                "SELECT id, rev FROM localsrv_tombstones WHERE collection = ?", (state.number,)
            ).fetchall()
            assert dict(dead) == {i: d.winner for i, d in docs.items() if not d.live}
            assert (state.documents, state.tombstones) == (len(live), len(dead))

    @invariant()
    def trees_are_whole(self) -> None:
        async def leaves(at: tuple[str, str]) -> list[Any]:
            return await self.db.open_revisions(*at, None)

        for (name, i), doc in self.model.docs.items():
            found = self.runner.run(leaves((name, i)))
            assert [d.rev for d in found] == rev.leaves(doc.tree)
            number = self.db.collection(name).number
            nodes = self.file.execute(
                "SELECT generation || '-' || digest, parent, deleted, state FROM localsrv_revisions"
                " WHERE collection = ? AND id = ?",
                (number, i),
            ).fetchall()
            expected = {r: (n.parent, n.deleted) for r, n in doc.tree.nodes.items()}
            if nodes or len(expected) > 1:
                assert {r: (p, bool(d)) for r, p, d, _ in nodes} == expected
                states = {r: 1 if r == found[0].rev else 2 for r in rev.leaves(doc.tree)}
                assert {r: s for r, _, _, s in nodes if s} == states
            for one in found:
                assert one.body is not None and orjson.loads(one.body) == doc.bodies[one.rev]
                files = doc.files.get(one.rev, {})
                assert {a.name for a in one.attachments} == files.keys()
                for a in one.attachments:
                    content = self.db.attachment(name, i, a.name, one.rev)
                    assert content is not None
                    data = content.data if content.path is None else content.path.read_bytes()
                    assert data == files[a.name] and 1 <= a.revpos <= rev.parse_revision(one.rev)[0]

    @invariant()
    def the_feed_tells_each_document_once(self) -> None:
        async def read(since: int, limit: int) -> list[Any]:
            out, more = [], True
            while more:
                batch = await self.db.changes(since, limit=limit)
                out += batch.changes
                since, more = batch.last_seq, batch.more
            assert since == self.db.last_seq
            return out

        new = self.runner.run(read(self.told, 2))
        assert {(c.collection, c.id) for c in new} == self.model.changed
        everything = self.runner.run(read(0, 1000))
        assert [c.seq for c in everything] == sorted({c.seq for c in everything})
        told = {(c.collection, c.id): (c.rev, c.deleted) for c in everything}
        assert told == {at: (d.winner, d.live is None) for at, d in self.model.docs.items() if d.tree.nodes}
        assert len(told) == len(everything)
        self.model.changed.clear()
        self.told = self.db.last_seq


class _First:
    """Chance that always takes the first."""

    @staticmethod
    def choice(values: Sequence[Any]) -> Any:
        return values[0]


class TestStore(Machine.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(
        max_examples=30,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
