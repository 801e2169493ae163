// Two vaults as LiveSync keeps them: notes as entries that name chunks, chunks by their content, a milestone that
// is not replicated, a document with the version; fetched by streams of changes and by ids.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { PouchDB, auth, device, leaves, seen, url } from "./client.mjs";

const CHUNK = 1000;

/** LiveSync's requests come from Obsidian's window. */
function remote() {
  const fetch = (address, options) => {
    options.headers.set("Origin", "app://obsidian.md");
    return PouchDB.fetch(address, options);
  };
  return new PouchDB(`${url}/obsidiannotes`, { auth, fetch, adapter: "http" });
}

/** Stores a note: its chunks, then the entry that names them. */
async function write(db, path, text) {
  const pieces = text.match(new RegExp(`.{1,${CHUNK}}`, "gs")) ?? [];
  const chunks = pieces.map((data) => {
    return { _id: `h:${createHash("sha256").update(data).digest("hex").slice(0, 16)}`, data, type: "leaf" };
  });
  await db.bulkDocs(chunks); // those that are there already are conflicts, which does not matter
  const { _rev } = await db.get(path).catch(() => ({}));
  const children = chunks.map(({ _id }) => _id);
  const entry = { _id: path, path, children, mtime: 1, ctime: 1, size: text.length, type: "plain", eden: {} };
  await db.put(_rev ? { ...entry, _rev } : entry);
}

async function read(db, path) {
  const { children } = await db.get(path);
  const { rows } = await db.allDocs({ keys: children, include_docs: true });
  return rows.map(({ doc }) => doc.data).join("");
}

test("two vaults", async () => {
  const server = remote();
  assert.equal((await server.info()).db_name, "obsidiannotes");
  await server.put({ _id: "obsydian_livesync_version", version: 12, type: "versioninfo" });
  const milestone = { _id: "_local/obsydian_livesync_milestone", type: "milestoneinfo", locked: false, node_info: {} };
  await server.put(milestone);
  const back = await server.get("_local/obsydian_livesync_milestone");
  await server.put({ ...back, accepted_nodes: ["laptop"] });

  const [laptop, desk] = [device(), device()];
  const long = Array.from({ length: 30_000 }, (_, n) => `line ${n}`).join("\n");
  await write(laptop, "notes/long.md", long);
  await write(laptop, "ideas.md", "# Ideas\n");
  const options = { batches_limit: 25, batch_size: 50, checkpoint: "target" };
  const sent = await laptop.replicate.to(server, options);
  assert.equal(sent.doc_write_failures, 0);
  // A new device takes the entries first, and the chunks of those that it wants by their ids.
  await desk.replicate.from(server, { ...options, checkpoint: "source", selector: { type: { $ne: "leaf" } } });
  const { children } = await desk.get("notes/long.md");
  const found = await server.allDocs({ keys: children, include_docs: true });
  assert.deepEqual(found.rows.map(({ id }) => id), children);
  await desk.bulkDocs(found.rows.map(({ doc }) => doc), { new_edits: false });
  assert.equal(await read(desk, "notes/long.md"), long);

  await desk.replicate.from(server, { ...options, checkpoint: "source" });
  const live = [laptop, desk].map((db) => db.sync(server, { ...options, live: true, retry: true, heartbeat: 30_000 }));
  await write(desk, "ideas.md", "# Ideas\n\n- sync\n");
  await seen(laptop, "ideas.md", ({ size }) => size === 16);
  assert.equal(await read(laptop, "ideas.md"), "# Ideas\n\n- sync\n");
  await laptop.remove(await laptop.get("notes/long.md"));
  await new Promise((resolve) => {
    desk.changes({ live: true, doc_ids: ["notes/long.md"] }).on("change", ({ deleted }) => deleted && resolve());
  });
  await Promise.all(live.map((sync) => (sync.cancel(), sync)));
  assert.deepEqual(await leaves(laptop), await leaves(server));
});
