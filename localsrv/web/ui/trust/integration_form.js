// Setting up one integration: where it is, how to sign in, what may be called.

import { fill, h } from "/kit/dom.js";
import { dialog, problem } from "./room.js";
import { secretField } from "./secrets.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const OAUTH = { token_url: ["Address of its tokens", true], client_id: ["Client id", true], scope: ["Scope", false], audience: ["Audience", false], client_auth: ["Client authentication", false] };

/** Kind of authentication → its name, its parameters (label, needed), and what its secret is called. */
export const AUTH = {
  none: { name: "nothing", parameters: {}, secret: null },
  bearer: { name: "a bearer token", parameters: {}, secret: "Token" },
  basic: { name: "name and password", parameters: { username: ["Name", true] }, secret: "Password" },
  header: { name: "a header", parameters: { name: ["Header", true], prefix: ["Before the secret", false] }, secret: "Secret" },
  query: { name: "a query parameter", parameters: { name: ["Parameter", true] }, secret: "Secret" },
  "oauth-client-credentials": { name: "OAuth 2, client credentials", parameters: OAUTH, secret: "Client secret" },
  "oauth-refresh-token": { name: "OAuth 2, refresh token", parameters: OAUTH, secret: "Refresh token", clientSecret: true },
};

const lines = (text) => text.split(/[\n,]/).map((line) => line.trim()).filter(Boolean);

/** Asks in a window; the title of what was set up, or null. `one` is null for one that no manifest asks for. */
export function setUp(server, one) {
  const form = new Form(server, one);
  return dialog(one === null ? "Add an integration" : one.settings ? `Change ${one.title}` : `Set up ${one.title}`, (close) => form.draw(close));
}

class Form {
  #server;
  #one;
  #now;
  #app;
  #name = h("input", { class: "input", id: "i-name", required: true, pattern: "[a-z][a-z0-9_\\-]{0,40}", title: "a–z, 0–9, dash and underscore, beginning with a letter", autocomplete: "off", spellcheck: "false", placeholder: "weather" });
  #base;
  #kind;
  #parameters = h("div", { class: "pair" });
  #secrets = h("div", { class: "dialog-form" });
  #secret = null;
  #clientSecret = null;
  #methods;
  #paths;
  #hosts;
  #cache;
  #told = h("p", { class: "error-text", role: "alert" });

  constructor(server, one) {
    this.#server = server;
    this.#one = one;
    const now = (this.#now = one?.settings ?? one?.asked ?? { base_url: "", auth: { kind: "bearer" }, methods: ["GET"], paths: ["/**"] });
    this.#app = h("select", { class: "input", id: "i-app" }, server.apps.map(({ id, title }) => h("option", { value: id }, title ?? id)));
    this.#base = h("input", { class: "input", id: "i-base", type: "url", required: true, value: now.base_url ?? "", placeholder: "https://api.example.org/v1", autocomplete: "off", spellcheck: "false" });
    this.#kind = h("select", { class: "input", id: "i-kind", onChange: () => this.#drawAuth() }, Object.entries(AUTH).map(([kind, { name }]) => h("option", { value: kind, selected: kind === now.auth.kind }, name)));
    this.#methods = METHODS.map((method) => h("input", { type: "checkbox", value: method, checked: now.methods.includes(method) }));
    this.#paths = area("i-paths", now.paths.join("\n"));
    this.#hosts = area("i-hosts", (now.hosts ?? []).join("\n"));
    this.#cache = h("input", { type: "checkbox", checked: now.cache ?? true });
  }

  draw(close) {
    this.#drawAuth();
    const tick = (box, text) => h("label", { class: "tick" }, box, h("span", {}, text));
    const form = h(
      "form",
      { class: "dialog-form", autocomplete: "off" },
      this.#one?.asked && h("p", {}, "It says why: ", h("bdi", {}, this.#one.asked.why)),
      this.#one === null && h("div", { class: "pair" }, field("Name", this.#name), field("For the app", this.#app)),
      field("Where it is", this.#base),
      field("How localsrv signs in", this.#kind),
      this.#parameters,
      this.#secrets,
      h("details", { open: this.#one?.settings?.hosts.length > 0 }, h("summary", {}, "What may be called"), h("fieldset", { class: "field" }, h("legend", { class: "label" }, "Methods"), h("div", { class: "ticks-line" }, this.#methods.map((box) => tick(box, box.value)))), field("Paths", this.#paths, "One a line; /** is everything."), field("Hosts nearby", this.#hosts, "Hosts of your own network or computer that may be reached, one a line. Others are refused."), tick(this.#cache, "Keep answers that may be kept, and give them while offline")),
      this.#told,
      h("div", { class: "dialog-buttons" }, h("button", { class: "button primary", type: "submit" }, "Keep it"), h("button", { class: "button", type: "button", onClick: () => close() }, "Cancel")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send(close);
    });
    return form;
  }

  #drawAuth() {
    const kind = this.#kind.value;
    const { parameters, secret, clientSecret } = AUTH[kind];
    const given = this.#now.auth.kind === kind ? this.#now.auth : {};
    fill(this.#parameters, Object.entries(parameters).map(([name, [label, needed]]) => field(needed ? label : `${label} (if any)`, h("input", { class: "input", id: `i-p-${name}`, name, required: needed, value: given[name] ?? "", autocomplete: "off", spellcheck: "false" }))));
    const isKept = this.#one?.settings?.auth.kind === kind;
    this.#secret = secret && secretField("i-secret", secret, isKept ? "Leave it empty to keep the one in the vault." : "It goes to the vault; no app sees it.", !isKept);
    this.#clientSecret = clientSecret ? secretField("i-client-secret", "Client secret (if any)", null, false) : null;
    fill(this.#secrets, this.#secret?.element, this.#clientSecret?.element);
  }

  async #send(close) {
    const auth = { kind: this.#kind.value };
    for (const input of this.#parameters.querySelectorAll("input")) if (input.value.trim()) auth[input.name] = input.value.trim();
    const body = { base_url: this.#base.value.trim(), auth, methods: this.#methods.filter((box) => box.checked).map(({ value }) => value), paths: lines(this.#paths.value), hosts: lines(this.#hosts.value), cache: this.#cache.checked };
    if (this.#secret?.input.value) body.secret = this.#secret.input.value;
    if (this.#clientSecret?.input.value) body.client_secret = this.#clientSecret.input.value;
    const app = this.#one?.app ?? this.#app.value;
    const name = this.#one?.name ?? this.#name.value;
    try {
      const { title } = await this.#server.call("PUT", `/api/v1/apps/${app}/integrations/${encodeURIComponent(name)}`, body);
      close(title);
    } catch (error) {
      this.#told.textContent = problem(error);
    }
  }
}

function field(label, control, hint = null) {
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, hint && h("span", { class: "hint" }, hint));
}

const area = (id, text) => h("textarea", { class: "input", id, rows: 2, value: text, spellcheck: "false" });
