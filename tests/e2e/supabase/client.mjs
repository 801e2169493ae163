// The real supabase-js, against the server that the environment names.

import { createRequire } from "node:module";

const require = createRequire(new URL("../../node/package.json", import.meta.url));
const { createClient } = require("@supabase/supabase-js");
const ws = require("ws"); // Node 20 has no WebSocket of its own

export function connect(app) {
  return createClient(`${process.env.LOCALSRV_URL}/apps/${app}`, process.env.LOCALSRV_TOKEN, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: ws },
  });
}

/** The data of an answer; an error fails the test with all that it says. */
export function data(answer) {
  if (answer.error) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

/** One column of all rows. */
export function column(answer, name) {
  return data(answer).map((row) => row[name]);
}
