// For a page without a token: it asks, shows a code, and waits until the person decides (RFC 8628).
//
// The person sees the same code at the first page and in `localsrv requests`, beside what the page calls itself and
// the origin that the browser tells. `kit/gate.js` shows all of it.
//
// What was asked for is kept for this window, so that loading the page anew goes on waiting instead of asking again.

import { store } from "./session.js";

const GRANT = "urn:ietf:params:oauth:grant-type:device_code";
const KEPT = "localsrv.asking";

/** The person refused, or nobody decided in time: `reason` is OAuth's word, `message` is for the person. */
export class NotAllowed extends Error {
  constructor(body) {
    super(body?.error_description ?? "The server did not answer as expected.");
    this.reason = body?.error ?? null;
  }
}

/** Whether this window asked before it was loaded, and may go on waiting: `askForAccess` does. */
export const isAsking = () => kept()?.isWaiting === true;

function kept() {
  const asked = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  return asked && asked.until > Date.now() ? asked : null;
}

/**
 * Asks for access and resolves to the token, which is stored like one from a code.
 *
 * `name` is what the page calls itself, `scope` what it needs (`"*:read *:write"`), `app` whose data, this host's own
 * unless given. `shown({code, address})` is called once there is a code, `away(isAway)` when the server cannot be
 * reached while it waits, and when it can again. `signal` ends it. Throws NotAllowed; TypeError when the server is away
 * from the beginning.
 */
export async function askForAccess({ name, scope, app = null, shown, away = () => {}, signal = null }) {
  // One that was stopped still waits for the person, and is taken up again.
  const asked = kept() ?? (await begin({ client_id: name, scope, ...(app ? { app } : {}) }, signal));
  keep({ ...asked, isWaiting: true });
  shown({ code: asked.code, address: asked.address });
  try {
    const token = await wait(asked, away, signal);
    store(token);
    sessionStorage.removeItem(KEPT);
    return token;
  } catch (error) {
    if (signal?.aborted) keep({ ...asked, isWaiting: false });
    else sessionStorage.removeItem(KEPT);
    throw error;
  }
}

const keep = (asked) => sessionStorage.setItem(KEPT, JSON.stringify(asked));

async function begin(fields, signal) {
  const { ok, body } = await form("/oauth/device_authorization", fields, signal);
  if (!ok) throw new NotAllowed(body);
  return {
    name: fields.client_id,
    device: body.device_code,
    code: body.user_code,
    address: body.verification_uri_complete,
    interval: body.interval,
    until: Date.now() + body.expires_in * 1000,
  };
}

async function wait({ name, device, interval }, away, signal) {
  for (;;) {
    await pause(interval * 1000, signal);
    let answer;
    try {
      answer = await form("/oauth/token", { grant_type: GRANT, device_code: device, client_id: name }, signal);
    } catch (error) {
      if (signal?.aborted) throw error;
      away(true); // it may come back
      continue;
    }
    away(false);
    const { ok, status, body } = answer;
    if (ok) return body.access_token;
    if (body?.error === "slow_down") interval += 5;
    else if (body?.error !== "authorization_pending" && status < 500) throw new NotAllowed(body);
  }
}

async function form(path, fields, signal) {
  const response = await fetch(path, { method: "POST", body: new URLSearchParams(fields), signal });
  return { ok: response.ok, status: response.status, body: await response.json().catch(() => null) };
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
