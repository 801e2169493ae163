// A browser extension that asks for access with a code, and reads and writes from its background.

const GRANT = "urn:ietf:params:oauth:grant-type:device_code";
const client_id = "Clipper";

async function form(address, fields) {
  const answer = await fetch(address, { method: "POST", body: new URLSearchParams(fields) });
  return { status: answer.status, body: await answer.json() };
}

/** The codes to wait with. */
globalThis.ask = async (base) =>
  (await form(`${base}/oauth/device_authorization`, { client_id, scope: "items:read items:write", app: "shop" })).body;

/** The tokens, or OAuth's error. */
globalThis.poll = async (base, device_code) =>
  (await form(`${base}/oauth/token`, { grant_type: GRANT, device_code, client_id })).body;

/** What the data face answers to this extension: the status of a read, of a write, and the names that are there. */
globalThis.use = async (base, token) => {
  const items = `${base}/apps/shop/rest/v1/items`;
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const write = await fetch(items, { method: "POST", headers, body: JSON.stringify({ name: "clip" }) });
  const read = await fetch(`${items}?select=name&order=name`, { headers });
  return [write.status, read.status, await read.json()];
};
