// PouchDB in Node: devices that hold their data in memory and sync through the server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, device, gone, leaves, refused, remote, seen } from "./client.mjs";

test("two devices sync live, both ways", async () => {
  const server = remote("live");
  const [laptop, phone] = [device(), device()];
  const syncs = [laptop, phone].map((db) => db.sync(server, { live: true, retry: true }));

  await laptop.put({ _id: "milk", litres: 1 });
  const arrived = await seen(phone, "milk");
  await phone.put({ ...arrived, litres: 2 });
  await seen(laptop, "milk", (doc) => doc.litres === 2);
  await server.put({ _id: "bread", from: "the server" });
  await Promise.all([laptop, phone].map((db) => seen(db, "bread")));
  await laptop.put({ _id: "photo", _attachments: { "a.txt": { content_type: "text/plain", data: btoa("hello") } } });
  const photo = await seen(phone, "photo", (doc) => doc._attachments);
  assert.equal(atob(photo._attachments["a.txt"].data), "hello");
  await phone.remove(await phone.get("milk"));
  await Promise.all([gone(laptop, "milk"), gone(server, "milk")]);

  await Promise.all(syncs.map((sync) => (sync.cancel(), sync)));
  assert.deepEqual(await leaves(laptop), await leaves(server));
  assert.deepEqual(await leaves(phone), await leaves(server));
});

test("what two devices wrote apart is kept, and settled once for all", async () => {
  const server = remote("conflicts");
  const [laptop, phone] = [device(), device()];
  const { rev } = await laptop.put({ _id: "list", items: ["milk"] });
  await laptop.replicate.to(server);
  await phone.replicate.from(server);
  await laptop.put({ _id: "list", _rev: rev, items: ["milk", "bread"] });
  await phone.put({ _id: "list", _rev: rev, items: ["milk", "jam"] });
  await laptop.sync(server);
  await phone.sync(server);
  await laptop.sync(server);

  const views = await Promise.all([laptop, phone, server].map((db) => db.get("list", { conflicts: true })));
  assert.equal(views[0]._conflicts.length, 1);
  assert.deepEqual(views[1], views[0]);
  assert.deepEqual(views[2], views[0]);
  const other = await server.get("list", { rev: views[0]._conflicts[0] });
  assert.deepEqual([...new Set([...views[0].items, ...other.items])].sort(), ["bread", "jam", "milk"]);

  await phone.put({ _id: "list", _rev: views[0]._rev, items: ["milk", "bread", "jam"] });
  await phone.remove("list", other._rev);
  await phone.sync(server);
  await laptop.sync(server);
  const settled = await laptop.get("list", { conflicts: true });
  assert.deepEqual(settled.items, ["milk", "bread", "jam"]);
  assert.equal(settled._conflicts, undefined);
  assert.deepEqual(await leaves(laptop), await leaves(server));
});

test("the same edit on two devices is no conflict", async () => {
  const server = remote("same_edit");
  const [laptop, phone] = [device(), device()];
  const { rev } = await server.put({ _id: "x", n: 1 });
  await laptop.replicate.from(server);
  await phone.replicate.from(server);
  const [one, two] = await Promise.all([laptop, phone].map((db) => db.put({ _id: "x", _rev: rev, n: 2 })));
  assert.equal(one.rev, two.rev);
  await Promise.all([laptop.sync(server), phone.sync(server)]);
  assert.equal((await server.get("x", { conflicts: true }))._conflicts, undefined);
});

test("replication begins where it stopped", async () => {
  const server = remote("resume");
  const laptop = device();
  await server.bulkDocs(Array.from({ length: 250 }, (_, n) => ({ _id: `d${n}`, n })));
  const first = await laptop.replicate.from(server, { batch_size: 40 });
  assert.deepEqual([first.docs_read, first.docs_written, first.doc_write_failures], [250, 250, 0]);
  const again = await laptop.replicate.from(server);
  assert.deepEqual([again.docs_read, again.docs_written], [0, 0]);
  await server.put({ _id: "one more" });
  assert.equal((await laptop.replicate.from(server)).docs_read, 1);
  assert.deepEqual(await leaves(laptop), await leaves(server));
});

test("deep histories and old revisions", async () => {
  const server = remote("histories");
  const laptop = device();
  let { rev } = await laptop.put({ _id: "x", n: 0 });
  const all = [rev];
  for (let n = 1; n < 30; n += 1) all.unshift(({ rev } = await laptop.put({ _id: "x", _rev: rev, n })).rev);
  await laptop.replicate.to(server);
  const there = await server.get("x", { revs: true, revs_info: true });
  assert.deepEqual(there._revisions.ids.map((id, n) => `${30 - n}-${id}`), all);
  assert.deepEqual(there._revs_info.map(({ rev }) => rev), all);
  assert.equal(there._revs_info[0].status, "available");
  await server.put({ _id: "x", _rev: rev, n: 30 });
  assert.equal((await server.get("x", { rev })).n, 29);
});

test("attachments, small and large, replicate byte for byte", async () => {
  const server = remote("files");
  const [laptop, phone] = [device(), device()];
  const [small, large] = [bytes(1000), bytes(3_000_000, 7)];
  let { rev } = await laptop.put({ _id: "album", title: "Summer" });
  ({ rev } = await laptop.putAttachment("album", "small.bin", rev, small, "application/octet-stream"));
  ({ rev } = await laptop.putAttachment("album", "sub/lärge +.bin", rev, large, "image/png"));
  await laptop.replicate.to(server);
  const stubs = (await server.get("album"))._attachments;
  assert.deepEqual([stubs["small.bin"].length, stubs["sub/lärge +.bin"].length], [1000, 3_000_000]);
  assert.equal(stubs["sub/lärge +.bin"].digest, (await laptop.get("album"))._attachments["sub/lärge +.bin"].digest);
  assert.ok(large.equals(await server.getAttachment("album", "sub/lärge +.bin")));

  await phone.replicate.from(server);
  assert.ok(large.equals(await phone.getAttachment("album", "sub/lärge +.bin")));
  assert.ok(small.equals(await phone.getAttachment("album", "small.bin")));
  const removed = await server.removeAttachment("album", "small.bin", rev);
  await phone.replicate.from(server);
  const left = await phone.get("album");
  assert.equal(left._rev, removed.rev);
  assert.deepEqual(Object.keys(left._attachments), ["sub/lärge +.bin"]);
  assert.equal(left.title, "Summer");
});

test("replication of a part: ids, a selector, a filter function, a view", async () => {
  const server = remote("parts");
  await server.bulkDocs([
    { _id: "a", kind: "note", year: 2020 }, { _id: "b", kind: "note", year: 2024 }, { _id: "c", kind: "task", year: 2024 },
    {
      _id: "_design/parts",
      filters: { since: "function (doc, req) { return doc.year >= Number(req.query.year); }" },
      views: { tasks: { map: "function (doc) { if (doc.kind === 'task') emit(doc._id); }" } },
    },
  ]);
  const pulled = async (options) => {
    const laptop = device();
    await laptop.replicate.from(server, options);
    return (await laptop.allDocs()).rows.map(({ id }) => id);
  };
  assert.deepEqual(await pulled({ doc_ids: ["a", "c", "none"] }), ["a", "c"]);
  assert.deepEqual(await pulled({ selector: { kind: "note", year: { $gt: 2021 } } }), ["b"]);
  assert.deepEqual(await pulled({ filter: "parts/since", query_params: { year: "2022" } }), ["b", "c"]);
  assert.deepEqual(await pulled({ filter: "_view", view: "parts/tasks" }), ["c"]);
});

test("queries run on the server", async () => {
  const server = remote("queries");
  const words = ["ant", "bee", "cat", "dog", "eel", "fox"];
  await server.bulkDocs(words.map((word, n) => ({ _id: word, n, even: n % 2 === 0, tags: [word[0], "animal"] })));
  await server.createIndex({ index: { fields: ["n"], name: "by-n" } });
  const found = await server.find({ selector: { n: { $gte: 1 }, even: false }, sort: [{ n: "desc" }], fields: ["_id"] });
  assert.deepEqual(found.docs, [{ _id: "fox" }, { _id: "dog" }, { _id: "bee" }]);
  assert.deepEqual((await server.getIndexes()).indexes.map(({ name }) => name), ["_all_docs", "by-n"]);
  const tagged = await server.find({ selector: { tags: { $elemMatch: { $eq: "c" } } } });
  assert.deepEqual(tagged.docs.map(({ _id }) => _id), ["cat"]);

  await server.put({
    _id: "_design/words",
    views: {
      even: { map: "function (doc) { emit(doc.even, doc.n); }", reduce: "_sum" },
      letters: { map: "function (doc) { doc.tags.forEach(function (tag) { emit([tag, doc.n], null); }); }" },
    },
  });
  const sums = await server.query("words/even", { group: true });
  assert.deepEqual(sums.rows, [{ key: false, value: 9 }, { key: true, value: 6 }]);
  const rows = await server.query("words/letters", { startkey: ["b"], endkey: ["d", {}], include_docs: true });
  assert.deepEqual(rows.rows.map(({ id, doc }) => [id, doc.n]), [["bee", 1], ["cat", 2], ["dog", 3]]);
  await server.put({ _id: "gnu", n: 10, even: true, tags: ["g"] });
  assert.deepEqual((await server.query("words/even")).rows, [{ key: null, value: 25 }]);
});

test("many documents at once, and what is wrong with each", async () => {
  const server = remote("bulk");
  const { rev } = await server.put({ _id: "taken" });
  const results = await server.bulkDocs([{ _id: "new" }, { _id: "taken" }, { _id: "taken", _rev: rev, n: 2 }]);
  assert.deepEqual(results.map(({ ok, name }) => ok ?? name), [true, "conflict", true]);
  const all = await server.allDocs({ keys: ["taken", "none", "new"], include_docs: true });
  assert.deepEqual(all.rows.map((row) => row.error ?? row.doc._id), ["taken", "not_found", "new"]);
  const got = await server.bulkGet({ docs: [{ id: "taken" }, { id: "none" }], revs: true });
  assert.equal(got.results[0].docs[0].ok.n, 2);
  assert.equal(got.results[0].docs[0].ok._revisions.start, 2);
  assert.equal(got.results[1].docs[0].error.error, "not_found");
  assert.equal((await refused(server.put({ _id: "taken", n: 3 }))).status, 409);
  assert.equal((await refused(server.get("none"))).status, 404);
  assert.equal((await server.info()).doc_count, 2);
});

test("a design document refuses what it does not allow, also from a peer", async () => {
  const server = remote("refusals");
  const laptop = device();
  const rule = "function (doc) { if (!doc.title && !doc._deleted) throw({ forbidden: 'A title, please' }); }";
  await server.put({ _id: "_design/rules", validate_doc_update: rule });
  const error = await refused(server.put({ _id: "bare" }));
  assert.deepEqual([error.status, error.reason], [403, "A title, please"]);
  await laptop.bulkDocs([{ _id: "bare" }, { _id: "titled", title: "T" }]);
  const denied = [];
  const done = await laptop.replicate.to(server).on("denied", (what) => denied.push(what.id));
  assert.deepEqual(denied, ["bare"]);
  assert.deepEqual([done.docs_written, done.doc_write_failures], [1, 1]);
  assert.deepEqual((await server.allDocs({ startkey: "a" })).rows.map(({ id }) => id), ["titled"]);
});

test("a live feed reports every change once, in order", async () => {
  const server = remote("feed");
  const seqs = [];
  const feed = server.changes({ live: true, since: "now", include_docs: true });
  const ten = new Promise((resolve, reject) => {
    feed.on("error", reject).on("change", ({ id, doc }) => {
      seqs.push(`${id} ${doc.n}`);
      if (seqs.length === 10) resolve();
    });
  });
  await server.info(); // the feed's own first request goes before
  for (let n = 0; n < 10; n += 1) await server.put({ _id: `n${n}`, n });
  await ten;
  feed.cancel();
  assert.deepEqual(seqs, Array.from({ length: 10 }, (_, n) => `n${n} ${n}`));
});

test("ids that need care", async () => {
  const server = remote("odd+ids$(x)/sub".replaceAll("/", "%2F"));
  const laptop = device();
  const ids = ["a/b", "a b", "a+b", "ü/日本", "100%", "x?y=1#z", '"quoted"', "_x".slice(1) + "_", "💧"];
  await laptop.bulkDocs(ids.map((_id) => ({ _id, here: _id })));
  await laptop.replicate.to(server);
  for (const id of ids) assert.equal((await server.get(id)).here, id);
  const back = device();
  await back.replicate.from(server);
  assert.deepEqual(await leaves(back), await leaves(laptop));
  await server.remove(await server.get("ü/日本"));
  assert.equal((await refused(server.get("ü/日本"))).reason, "deleted");
});
