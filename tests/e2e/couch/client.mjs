// The real CouchDB clients, against the server that the environment names.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../node/package.json", import.meta.url));
export const PouchDB = require("pouchdb");
PouchDB.plugin(require("pouchdb-adapter-memory"));
PouchDB.plugin(require("pouchdb-find"));
export const nano = require("nano");

// Where the databases are, without a slash at the end, and who asks: `owner`, or a key.
export const url = process.env.COUCH_URL;
export const user = process.env.COUCH_USER;
export const password = process.env.COUCH_PASSWORD;
export const auth = { username: user, password };

/** A database of the server. PouchDB creates it when it is not there. */
export function remote(name, options = {}) {
  return new PouchDB(`${url}/${name}`, { auth, ...options });
}

let made = 0;

/** An empty database in memory: another device. */
export function device() {
  return new PouchDB(`device-${process.pid}-${(made += 1)}`, { adapter: "memory" });
}

/** Resolves once the database's document satisfies `is`, looking again at each change. */
export function seen(db, id, is = () => true) {
  return new Promise((resolve, reject) => {
    const feed = db.changes({ live: true, since: "now" });
    const look = async () => {
      const document = await db.get(id, { conflicts: true, attachments: true }).catch(missing);
      if (document && is(document)) {
        feed.cancel();
        resolve(document);
      }
    };
    const missing = (error) => (error.status === 404 ? undefined : reject(error));
    feed.on("change", look).on("error", reject);
    look();
  });
}

/** Resolves once the document is deleted. */
export function gone(db, id) {
  return new Promise((resolve, reject) => {
    const feed = db.changes({ live: true, since: 0, doc_ids: [id] });
    feed.on("error", reject).on("change", (change) => {
      if (change.deleted) {
        feed.cancel();
        resolve(change);
      }
    });
  });
}

/** What went wrong: the error of a promise that must be refused. */
export async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail("was not refused");
}

/** Every leaf of every document, live or deleted: two databases with the same ones are the same. */
export async function leaves(db) {
  const { results } = await db.changes({ style: "all_docs" });
  return results
    .filter(({ id }) => !id.startsWith("_design/"))
    .map(({ id, changes }) => `${id} ${changes.map(({ rev }) => rev).sort()}`)
    .sort();
}

/** Bytes that do not compress and do not repeat, the same ones each time. */
export function bytes(length, seed = 1) {
  const out = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i < length; i += 1) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    out[i] = state >>> 16;
  }
  return out;
}
