// A program on this computer that asks for access, by a code or by the browser, and then uses what it got with the real
// supabase-js and PouchDB. It says on standard output what it wants of the person, one JSON object a line.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../node/package.json", import.meta.url));
const { createClient } = require("@supabase/supabase-js");
const PouchDB = require("pouchdb");
PouchDB.plugin(require("pouchdb-adapter-memory"));
const ws = require("ws"); // Node 20 has no WebSocket of its own

const base = process.env.LOCALSRV_URL;
const scope = "items:read items:write sync";
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const metadata = await (await fetch(`${base}/.well-known/oauth-authorization-server`)).json();

async function form(address, fields) {
  const answer = await fetch(address, { method: "POST", body: new URLSearchParams(fields) });
  return { status: answer.status, body: await answer.json().catch(() => null) };
}

async function byCode() {
  const client_id = "A program with a code";
  const { body: asked } = await form(metadata.device_authorization_endpoint, { client_id, scope, app: "shop" });
  say({ code: asked.user_code });
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, asked.interval * 1000));
    const { status, body } = await form(metadata.token_endpoint, {
      grant_type: "urn:ietf:params:oauth:grant-type:device_code",
      device_code: asked.device_code,
      client_id,
    });
    if (status === 200) return { client_id, tokens: body };
    assert.equal(body.error, "authorization_pending");
  }
}

async function byBrowser() {
  const client_id = "A program with a browser";
  const verifier = randomBytes(48).toString("base64url");
  const state = randomBytes(16).toString("base64url");
  const listener = createServer();
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const redirect_uri = `http://127.0.0.1:${listener.address().port}/callback`;
  const query = new URLSearchParams({
    response_type: "code",
    client_id,
    redirect_uri,
    scope,
    app: "shop",
    state,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const came = new Promise((resolve) => {
    listener.on("request", (request, response) => {
      response.end("You can close this window.");
      resolve(new URL(request.url, redirect_uri).searchParams);
    });
  });
  say({ open: `${metadata.authorization_endpoint}?${query}` });
  const answer = await came;
  listener.close();
  listener.closeAllConnections();
  assert.equal(answer.get("state"), state);
  assert.equal(answer.get("iss"), metadata.issuer);
  const { status, body } = await form(metadata.token_endpoint, {
    grant_type: "authorization_code",
    code: answer.get("code"),
    client_id,
    redirect_uri,
    code_verifier: verifier,
  });
  assert.equal(status, 200, JSON.stringify(body));
  return { client_id, tokens: body };
}

const supabase = (key) =>
  createClient(`${base}/apps/shop`, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: ws },
  });
const pouch = (username, password) => new PouchDB(`${base}/apps/shop/couch/items`, { auth: { username, password } });

async function use({ client_id, tokens }) {
  const data = supabase(tokens.access_token);
  const made = await data.from("items").insert({ name: client_id }).select();
  assert.equal(made.error, null);
  const found = await data.from("items").select("name").eq("name", client_id);
  assert.deepEqual(found.data, [{ name: client_id }]);
  const other = await createClient(`${base}/apps/other`, tokens.access_token, { realtime: { transport: ws } }).from("items").select();
  assert.equal(other.status, 403);

  for (const name of [tokens.grant_id, client_id]) {
    const remote = pouch(name, tokens.access_token);
    const { rows } = await remote.allDocs({ include_docs: true });
    assert.ok(rows.some(({ doc }) => doc.name === client_id));
  }
  const device = new PouchDB(`device-${process.pid}`, { adapter: "memory" });
  await device.put({ _id: "from-a-device", name: "pear" });
  await device.sync(pouch(tokens.grant_id, tokens.access_token));
  assert.ok((await data.from("items").select("name").eq("name", "pear")).data.length === 1);
  await assert.rejects(pouch("somebody", tokens.access_token).info());
}

async function renewAndEnd({ client_id, tokens }) {
  const refresh = (refresh_token) =>
    form(metadata.token_endpoint, { grant_type: "refresh_token", refresh_token, client_id });
  const { body: next } = await refresh(tokens.refresh_token);
  assert.equal((await supabase(next.access_token).from("items").select("name")).error, null);
  await form(metadata.revocation_endpoint, { token: next.refresh_token });
  assert.equal((await supabase(next.access_token).from("items").select("name")).status, 401);
  assert.equal((await refresh(next.refresh_token)).body.error, "invalid_grant");
}

const paired = await { code: byCode, browser: byBrowser }[process.argv[2]]();
await use(paired);
await renewAndEnd(paired);
say({ done: true });
