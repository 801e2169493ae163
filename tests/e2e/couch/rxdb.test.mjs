// RxDB with its CouchDB replication: two devices, live, both ways.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

import { password, remote, seen, url, user } from "./client.mjs";

const require = createRequire(new URL("../../node/package.json", import.meta.url));
const { createRxDatabase } = require("rxdb");
const { getFetchWithCouchDBAuthorization, replicateCouchDB } = require("rxdb/plugins/replication-couchdb");
const { getRxStorageMemory } = require("rxdb/plugins/storage-memory");
const { filter, firstValueFrom } = require("rxjs");

const schema = {
  version: 0,
  primaryKey: "id",
  type: "object",
  properties: {
    id: { type: "string", maxLength: 100 },
    name: { type: "string" },
    done: { type: "boolean" },
  },
  required: ["id", "name"],
};

let made = 0;

/** A device with the collection `tasks`, and its replication with the server's database. */
async function device(name, options = {}) {
  const db = await createRxDatabase({ name: `rx-${(made += 1)}`, storage: getRxStorageMemory(), multiInstance: false });
  const { tasks } = await db.addCollections({ tasks: { schema } });
  const replication = replicateCouchDB({
    replicationIdentifier: `${name}-${made}`,
    collection: tasks,
    url: `${url}/${name}/`,
    fetch: getFetchWithCouchDBAuthorization(user, password),
    live: true,
    retryTime: 200,
    pull: { batchSize: 50 },
    push: { batchSize: 50 },
    ...options,
  });
  const errors = [];
  replication.error$.subscribe((error) => errors.push(error));
  await replication.awaitInitialReplication();
  return { db, tasks, replication, errors };
}

/** Resolves once the device's task satisfies `is`; null stands for none. */
function becomes(tasks, id, is) {
  return firstValueFrom(tasks.findOne(id).$.pipe(filter((found) => is(found?.toJSON() ?? null))));
}

test("two devices of RxDB and a PouchDB agree", async () => {
  const server = remote("tasks");
  await server.put({ _id: "t0", name: "was there first", done: false });
  const [laptop, phone] = [await device("tasks"), await device("tasks")];
  assert.equal((await laptop.tasks.findOne("t0").exec()).name, "was there first");

  await laptop.tasks.insert({ id: "t1", name: "buy milk", done: false });
  await becomes(phone.tasks, "t1", (task) => task?.name === "buy milk");
  await (await phone.tasks.findOne("t1").exec()).patch({ done: true });
  await becomes(laptop.tasks, "t1", (task) => task?.done === true);
  assert.equal((await seen(server, "t1", (doc) => doc.done)).name, "buy milk");

  await server.put({ ...(await server.get("t0")), done: true });
  await Promise.all([laptop, phone].map(({ tasks }) => becomes(tasks, "t0", (task) => task?.done)));
  await (await laptop.tasks.findOne("t1").exec()).remove();
  await becomes(phone.tasks, "t1", (task) => task === null);

  const many = Array.from({ length: 130 }, (_, n) => ({ id: `m${String(n).padStart(3, "0")}`, name: `task ${n}` }));
  await phone.tasks.bulkInsert(many);
  await becomes(laptop.tasks, "m129", (task) => task !== null);
  await laptop.replication.awaitInSync();
  assert.equal((await laptop.tasks.find().exec()).length, 131);
  assert.equal((await server.allDocs()).rows.length, 131);
  for (const { db, errors } of [laptop, phone]) {
    assert.deepEqual(errors, []);
    await db.close();
  }
});

test("RxDB's own handling of conflicts: the server's state wins, and both have it", async () => {
  const server = remote("tasks_conflict");
  await server.info(); // RxDB wants a database that is there
  const laptop = await device("tasks_conflict");
  await laptop.tasks.insert({ id: "t", name: "first" });
  await laptop.replication.awaitInSync();
  await laptop.replication.cancel();
  await (await laptop.tasks.findOne("t").exec()).patch({ name: "laptop" });
  await server.put({ ...(await server.get("t")), name: "server" });

  const replication = replicateCouchDB({
    replicationIdentifier: laptop.replication.replicationIdentifier,
    collection: laptop.tasks,
    url: `${url}/tasks_conflict/`,
    fetch: getFetchWithCouchDBAuthorization(user, password),
    live: false,
    pull: {},
    push: {},
  });
  await replication.awaitInitialReplication();
  assert.equal((await laptop.tasks.findOne("t").exec()).name, "server");
  assert.equal((await server.get("t")).name, "server");
  await laptop.db.close();
});
