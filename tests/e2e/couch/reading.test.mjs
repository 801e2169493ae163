// PouchDB with a key that may only read: it pulls, and keeps its checkpoint at the server as long as it may.

import assert from "node:assert/strict";
import { test } from "node:test";

import { device, refused, remote, url } from "./client.mjs";

const owner = { Authorization: `Bearer ${process.env.OWNER_TOKEN}` };

async function asOwner(method, path, body) {
  const headers = { ...owner, "Content-Type": "application/json" };
  const answer = await fetch(`${url}/${path}`, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.json();
}

test("a key that may only read pulls, and goes on from its checkpoint", async () => {
  await asOwner("PUT", "library");
  await asOwner("POST", "library/_bulk_docs", { docs: [{ _id: "a" }, { _id: "b" }] });
  const [server, phone] = [remote("library"), device()];

  const first = await phone.replicate.from(server);
  assert.deepEqual([first.ok, first.docs_written], [true, 2]);
  const kept = (await asOwner("GET", "library/_local_docs")).rows.map((row) => row.id);
  assert.equal(kept.length, 1);

  await asOwner("PUT", "library/c", {});
  const second = await phone.replicate.from(server);
  assert.deepEqual([second.docs_read, second.docs_written], [1, 1]);
  assert.equal((await refused(server.put({ _id: "d" }))).status, 403);
});

test("when the checkpoint is another's, it pulls all the same", async () => {
  await asOwner("PUT", "archive");
  await asOwner("PUT", "archive/a", {});
  const [server, phone] = [remote("archive"), device()];
  await phone.replicate.from(server);
  const [{ id }] = (await asOwner("GET", "archive/_local_docs")).rows;
  await asOwner("DELETE", `archive/${id}`);
  await asOwner("PUT", `archive/${id}`, { of: "the owner" });

  await asOwner("PUT", "archive/b", {});
  const again = await phone.replicate.from(server);
  assert.deepEqual([again.ok, again.docs_written], [true, 1]);
  assert.equal((await asOwner("GET", `archive/${id}`)).of, "the owner");
});
