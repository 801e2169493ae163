// The example of docs/sync.md that settles a conflict, as it stands.

import { test } from "node:test";

import { remote } from "./client.mjs";

const AsyncFunction = (async () => {}).constructor;

test("the example", async () => {
  await new AsyncFunction("db", process.env.BLOCK)(remote(process.env.DATABASE));
});
