// A PouchDB in Node as a device of its own: told by lines of JSON what to do, answering with one line each.
//
// {"do": "sync"}            keeps both databases in step with the server's from now on, whether it answers or not
// {"do": "put", "db": …, "doc": …}   writes a document over the one there is → its revision
// {"do": "leaves", "db": …} → every leaf of every document

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../node/package.json", import.meta.url));
const PouchDB = require("pouchdb");
PouchDB.plugin(require("pouchdb-adapter-memory"));

const [url, username, password] = process.argv.slice(2);
const RETRY_MS = 200;
const databases = Object.fromEntries(
  ["products", "movements"].map((name) => [name, new PouchDB(name, { adapter: "memory" })]),
);

const commands = {
  async sync() {
    for (const [name, database] of Object.entries(databases)) {
      const remote = new PouchDB(`${url}/${name}`, { auth: { username, password }, skip_setup: true });
      await database.replicate.from(remote);
      database.sync(remote, { live: true, retry: true, back_off_function: () => RETRY_MS });
    }
    return true;
  },
  async put({ db, doc }) {
    const old = await databases[db].get(doc._id).catch(() => ({}));
    return (await databases[db].put({ ...old, ...doc })).rev;
  },
  async leaves({ db }) {
    const { results } = await databases[db].changes({ style: "all_docs" });
    return results.map(({ id, changes }) => [id, changes.map(({ rev }) => rev).sort()]);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  console.log(JSON.stringify(await commands[command.do](command)));
}
process.exit(0);
