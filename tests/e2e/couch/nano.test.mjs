// nano. It takes the last part of a URL's path for a database: `parseUrl: false` keeps it from that.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, nano, password, refused, url, user } from "./client.mjs";

const address = new URL(url);
address.username = user;
address.password = password;
const server = nano({ url: address.href.replace(/\/$/, ""), parseUrl: false });

test("the server", async () => {
  assert.equal((await server.info()).couchdb, "Welcome");
  assert.equal((await server.uuids(3)).uuids.length, 3);
  await server.db.create("nano_server");
  assert.ok((await server.db.list()).includes("nano_server"));
  assert.equal((await server.db.get("nano_server")).doc_count, 0);
  assert.equal((await refused(server.db.create("nano_server"))).statusCode, 412);
  assert.equal((await refused(server.db.create("Not_a_name"))).statusCode, 400);
  assert.equal((await refused(server.use("none").get("x"))).statusCode, 404);
});

test("documents", async () => {
  await server.db.create("nano_docs");
  const db = server.use("nano_docs");
  const { rev } = await db.insert({ name: "Ada" }, "ada");
  assert.equal((await refused(db.insert({ name: "again" }, "ada"))).statusCode, 409);
  const second = await db.insert({ _id: "ada", _rev: rev, name: "Ada", born: 1815 });
  assert.match(second.rev, /^2-/);
  assert.equal((await db.head("ada"))["etag"], `"${second.rev}"`);
  const got = await db.get("ada", { revs_info: true });
  assert.deepEqual(got._revs_info.map(({ rev: r }) => r), [second.rev, rev]);
  const made = await db.bulk({ docs: [{ _id: "b", n: 1 }, { _id: "c", n: 2 }, { n: 3 }] });
  assert.equal(made.filter(({ ok }) => ok).length, 3);
  const list = await db.list({ include_docs: true, startkey: "b", endkey: "c" });
  assert.deepEqual(list.rows.map(({ doc }) => doc.n), [1, 2]);
  const fetched = await db.fetch({ keys: ["c", "none"] });
  assert.deepEqual(fetched.rows.map((row) => row.error ?? row.doc.n), [2, "not_found"]);
  await db.destroy("ada", second.rev);
  const error = await refused(db.get("ada"));
  assert.deepEqual([error.statusCode, error.reason], [404, "deleted"]);
  const info = await db.info();
  assert.deepEqual([info.doc_count, info.doc_del_count], [3, 1]);
});

test("views and queries", async () => {
  await server.db.create("nano_views");
  const db = server.use("nano_views");
  await db.bulk({ docs: ["x", "y", "x"].map((kind, n) => ({ _id: `d${n}`, kind, n })) });
  await db.insert({ views: { kinds: { map: "function (d) { emit(d.kind, d.n); }", reduce: "_stats" } } }, "_design/all");
  const rows = await db.view("all", "kinds", { reduce: false, key: "x" });
  assert.deepEqual(rows.rows.map(({ value }) => value), [0, 2]);
  const stats = await db.view("all", "kinds", { group: true, keys: ["x"] });
  assert.deepEqual(stats.rows[0].value, { sum: 2, count: 2, min: 0, max: 2, sumsqr: 4 });
  await db.createIndex({ index: { fields: ["kind", "n"] }, name: "kind-n" });
  const found = await db.find({ selector: { kind: "x", n: { $gt: 0 } }, fields: ["_id"] });
  assert.deepEqual(found.docs, [{ _id: "d2" }]);
});

test("attachments, on their own and with the document in one multipart request", async () => {
  await server.db.create("nano_files");
  const db = server.use("nano_files");
  const data = bytes(200_000, 3);
  const { rev } = await db.attachment.insert("album", "a.bin", data, "application/octet-stream");
  assert.ok(data.equals(await db.attachment.get("album", "a.bin")));
  const files = [{ name: "x.txt", data: "text", content_type: "text/plain" }, { name: "y.bin", data, content_type: "image/png" }];
  await db.multipart.insert({ title: "Both" }, files, "both");
  assert.equal((await db.attachment.get("both", "x.txt")).toString(), "text");
  assert.ok(data.equals(await db.attachment.get("both", "y.bin")));
  assert.equal((await db.get("both")).title, "Both");
  const after = await db.attachment.destroy("album", "a.bin", { rev });
  assert.equal((await db.get("album", { rev: after.rev }))._attachments, undefined);
});

test("the feed of changes", async () => {
  await server.db.create("nano_changes");
  const db = server.use("nano_changes");
  await db.bulk({ docs: Array.from({ length: 25 }, (_, n) => ({ _id: `d${n}` })) });
  const { results, pending } = await db.changes({ limit: 10 });
  assert.deepEqual([results.length, pending], [10, 15]);
  const ids = [];
  await new Promise((resolve, reject) => {
    const reader = db.changesReader.get({ batchSize: 10, since: results[9].seq, includeDocs: true, timeout: 100 });
    reader.on("change", ({ doc }) => ids.push(doc._id)).on("end", resolve).on("error", reject);
  });
  assert.equal(ids.length, 15);
});
