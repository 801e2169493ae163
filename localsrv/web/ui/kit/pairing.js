// For a page without a token: it asks, shows a code, and waits until the person decides (RFC 8628).
//
// The person sees the same code at the first page and in `localsrv requests`, beside what the page calls itself and
// the origin that the browser tells.

import { copy, fill, h } from "./dom.js";
import { store } from "./session.js";

const GRANT = "urn:ietf:params:oauth:grant-type:device_code";

/** The person refused, or nobody decided in time: `reason` is OAuth's word, `message` is for the person. */
export class NotAllowed extends Error {
  constructor(body) {
    super(body?.error_description ?? "The server did not answer as expected.");
    this.reason = body?.error ?? null;
  }
}

/**
 * Asks for access and resolves to the token, which is stored like one from a code.
 *
 * `name` is what the page calls itself, `scope` what it needs (`"*:read *:write"`), `app` whose data, this host's own
 * unless given. `shown({code, address})` is called once there is a code. Throws NotAllowed; TypeError when the server is away.
 */
export async function askForAccess({ name, scope, app = null, shown, signal = null }) {
  const asked = await form("/oauth/device_authorization", { client_id: name, scope, ...(app ? { app } : {}) }, signal);
  if (!asked.ok) throw new NotAllowed(asked.body);
  const { device_code, user_code, verification_uri_complete } = asked.body;
  shown({ code: user_code, address: verification_uri_complete });
  let interval = asked.body.interval;
  for (;;) {
    await pause(interval * 1000, signal);
    const { ok, body } = await form("/oauth/token", { grant_type: GRANT, device_code, client_id: name }, signal);
    if (ok) {
      store(body.access_token);
      return body.access_token;
    }
    if (body?.error === "slow_down") interval += 5;
    else if (body?.error !== "authorization_pending") throw new NotAllowed(body);
  }
}

async function form(path, fields, signal) {
  const response = await fetch(path, { method: "POST", body: new URLSearchParams(fields), signal });
  return { ok: response.ok, body: await response.json().catch(() => null) };
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

/**
 * A button that asks for access, and what follows it: the code, where to decide, and how it ended.
 *
 * `asked` is as for `askForAccess`; `done(token)` is called when the page is let in. Returns an element.
 */
export function pairingBox(asked, done) {
  const box = h("div", { class: "pairing", "aria-live": "polite" });

  function offer(note = null) {
    fill(
      box,
      note && h("p", { class: "error-text" }, note),
      h("button", { class: "button primary", type: "button", onClick: ask }, "Ask for access"),
      h("p", { class: "hint" }, "You then decide in localsrv’s own page, or in a terminal."),
    );
  }

  function shown({ code, address }) {
    const command = `localsrv approve ${code}`;
    const isElsewhere = new URL(address).origin !== location.origin; // localsrv's page is not let in by itself
    fill(
      box,
      h("p", {}, "Allow it where you see the same code:"),
      h("p", { class: "pairing-code" }, h("strong", {}, code)),
      h("p", {}, isElsewhere ? [h("a", { href: address, target: "_blank", rel: "noopener" }, "Decide in localsrv’s page"), ", or run:"] : "Run:"),
      h("div", { class: "command" }, h("code", {}, command), h("button", { class: "button", type: "button", onClick: () => copy(command, "Command") }, "Copy")),
    );
  }

  async function ask() {
    fill(box, h("p", {}, "Asking…"));
    try {
      done(await askForAccess({ ...asked, shown }));
    } catch (error) {
      offer(error.message);
    }
  }

  offer();
  return box;
}
