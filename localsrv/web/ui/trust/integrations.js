// The room of integrations: which outside services apps ask for or may call, and how they fare.

import { fill, h, icon, toast } from "/kit/dom.js";
import { ago, counted, exact } from "/kit/format.js";
import { AUTH, setUp } from "./integration_form.js";
import { confirm, loading, problem, roomHead } from "./room.js";
import { appTitle } from "./who.js";

export class IntegrationsRoom {
  #server;
  #summary = h("span", { role: "status" });
  #list = h("div", {});
  #load;

  constructor(root, server) {
    this.#server = server;
    const add = h("button", { class: "button", type: "button", onClick: () => this.#change(null) }, icon("plus"), "Add one");
    fill(root, roomHead("Integrations", [this.#summary], add), h("div", { class: "room-body" }, this.#list));
    this.#load = loading(this.#list, () => this.#ask(), (found) => this.#draw(found));
  }

  end() {}

  update() {
    this.#load();
  }

  async #ask() {
    const answers = await Promise.all(this.#server.apps.map(async ({ id }) => ({ id, ...(await this.#server.call("GET", `/api/v1/apps/${id}/integrations`)) })));
    return answers.flatMap(({ id, integrations }) => integrations.map((one) => ({ ...one, app: id })));
  }

  #draw(found) {
    // What waits to be set up comes first.
    found.sort((a, b) => Boolean(a.settings) - Boolean(b.settings));
    const open = found.filter(({ settings }) => !settings).length;
    this.#summary.textContent = found.length ? `${counted(found.length, "outside service")}${open ? `, ${open} not set up` : ""}` : "Outside services that apps may call without seeing the key";
    fill(this.#list, found.length ? h("ul", { class: "entries" }, found.map((one) => this.#entry(one))) : empty());
  }

  #entry(one) {
    const [kind, sign] = stateOf(one);
    return h(
      "li",
      { class: "entry integration", dataset: { integration: `${one.app}/${one.name}` } },
      h(
        "div",
        { class: "entry-main" },
        h("h3", {}, h("bdi", {}, one.title), " ", h("span", { class: `badge ${kind}` }, sign)),
        h("p", { class: "entry-under" }, "for ", h("strong", {}, appTitle(this.#server, one.app)), " · ", h("code", {}, one.name)),
        one.asked && h("p", {}, h("bdi", {}, one.asked.why)),
        one.more_asked.length > 0 && h("p", { class: "notice low" }, `The app now asks for more: ${one.more_asked.join(", ")}. Change it to allow that.`),
      ),
      h("dl", { class: "pairs" }, rows(one).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
      this.#actions(one),
    );
  }

  #actions(one) {
    const button = (text, run, style = "") => h("button", { class: `button ${style}`, type: "button", "aria-label": `${text}: ${one.title}`, onClick: run }, text);
    if (!one.settings) return h("div", { class: "entry-actions" }, button("Set up", () => this.#change(one), "primary"));
    const told = h("p", { class: "test-told", role: "status" });
    const test = button("Test", () => this.#test(one, test, told));
    return h("div", { class: "entry-actions" }, test, button("Change", () => this.#change(one)), one.health.cached > 0 && button("Forget answers", () => this.#clear(one)), button("Remove", () => this.#remove(one)), told);
  }

  async #change(one) {
    const name = await setUp(this.#server, one);
    if (!name) return;
    toast(`${name} is set up`);
    this.#load();
  }

  async #test(one, button, told) {
    button.disabled = true;
    told.className = "test-told";
    told.textContent = "Asking the service…";
    try {
      const { ok, status, ms, error } = await this.#server.call("POST", `${path(one)}/test`, {});
      const text = ok ? `It answered ${status} in ${ms} ms.` : error ? [error.message, error.hint].filter(Boolean).join(" ") : `It answered ${status}. Is the secret right?`;
      // How it fares is another since; the entry is drawn anew around the answer.
      const now = { ...(await this.#server.call("GET", path(one))), app: one.app };
      const entry = this.#entry(now);
      told.closest("li").replaceWith(entry);
      entry.querySelector(".entry-actions button").focus();
      say(entry.querySelector(".test-told"), ok, text);
    } catch (error) {
      say(told, false, problem(error));
      button.disabled = false;
    }
  }

  async #clear(one) {
    try {
      const { cleared } = await this.#server.call("DELETE", `${path(one)}/cache`);
      toast(`${counted(cleared, "answer")} forgotten`);
    } catch (error) {
      toast(problem(error));
    }
    this.#load();
  }

  async #remove(one) {
    const isDone = await confirm("Remove this integration?", `${one.title} is called no more, and its secret is removed from the vault.`, "Remove it", () => this.#server.call("DELETE", path(one)));
    if (isDone) this.#load();
  }
}

function say(told, isGood, text) {
  told.classList.add(isGood ? "good" : "bad");
  told.textContent = text;
}

const path = ({ app, name }) => `/api/v1/apps/${app}/integrations/${encodeURIComponent(name)}`;

function stateOf({ settings, health }) {
  if (!settings) return ["low", "Not set up"];
  if (health.state === "open") return ["out", "Paused"];
  if (health.state === "half-open") return ["low", "Trying again"];
  return ["good", "Ready"];
}

/** What is known of one, as pairs of name and value. */
function rows({ settings, asked, health }) {
  const list = (texts) => h("code", {}, texts.join(", "));
  if (!settings) {
    return [
      ["Wants to reach", asked.base_url ? h("code", {}, asked.base_url) : "an address that you choose"],
      ["Signs in by", AUTH[asked.auth.kind].name],
      ["May", h("span", {}, list(asked.methods), " on ", list(asked.paths))],
    ];
  }
  const found = [
    ["Reaches", h("code", {}, settings.base_url)],
    ["Signs in by", settings.auth.kind === "none" ? AUTH.none.name : `${AUTH[settings.auth.kind].name}, with a secret from the vault`],
    ["May", h("span", {}, list(settings.methods), " on ", list(settings.paths))],
    ["Hosts nearby", settings.hosts.length ? list(settings.hosts) : "none: public addresses alone"],
    ["Calls", `${counted(health.calls, "call")} since the start${health.cached ? `, ${counted(health.cached, "answer")} kept` : ""}`],
  ];
  if (health.state === "open") found.push(["Paused", `after ${counted(health.failures, "failure")} in a row; the next try is in ${Math.ceil(health.next_try_in_s)} s`]);
  if (health.last_error) found.push(["Last failure", h("span", { title: exact(health.last_error_at) }, h("code", {}, health.last_error), ` ${ago(health.last_error_at)}`)]);
  return found;
}

function empty() {
  return h(
    "div",
    { class: "calm" },
    icon("plug"),
    h("h3", {}, "No app asks for an outside service"),
    h("p", {}, "An app that needs one names it in its manifest, and it appears here. You say where the service is and give the key; the app calls it through this server and never sees the key."),
  );
}
