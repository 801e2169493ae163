// A program with a PouchDB in memory: each line of input is code to run, as JSON; each line of output what it gave.

import { createInterface } from "node:readline";

import { device, remote, seen } from "./client.mjs";

const AsyncFunction = (async () => {}).constructor;
const db = device();
const server = remote("notes");
globalThis.db = db;

/** Resolves once `is` gives true, asking again at each change of the database. */
function until(is) {
  return new Promise((resolve, reject) => {
    const feed = db.changes({ live: true, since: "now" }).on("change", look).on("error", reject);
    async function look() {
      if (await is()) {
        feed.cancel();
        resolve();
      }
    }
    look().catch(reject);
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const value = await new AsyncFunction("db", "server", "seen", "until", JSON.parse(line))(db, server, seen, until);
    console.log(JSON.stringify({ value }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.stack ?? error }));
  }
}
process.exit(0);
