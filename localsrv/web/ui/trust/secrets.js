// The room of secrets: names and places, never values. What is written here cannot be read back.

import { fill, h, icon, toast } from "/kit/dom.js";
import { ago, counted, exact } from "/kit/format.js";
import { confirm, dialog, loading, problem, roomHead } from "./room.js";
import { VaultPanel } from "./vault.js";
import { appTitle } from "./who.js";

const NAME = "[A-Za-z0-9_][A-Za-z0-9_.\\-]{0,99}";

/** A field for a secret: of any number of lines, hidden unless wanted, kept by no browser. */
export function secretField(id, label, hint = null, needed = true) {
  const input = h("textarea", { class: "input masked", id, rows: 2, required: needed, autocomplete: "off", autocapitalize: "off", spellcheck: "false", "data-lpignore": "true", "data-1p-ignore": "" });
  const show = h("input", { type: "checkbox", onChange: () => input.classList.toggle("masked", !show.checked) });
  return { input, element: h("div", { class: "field" }, h("label", { for: id }, label), input, h("div", { class: "secret-foot" }, h("label", { class: "tick small" }, show, "Show"), hint && h("span", { class: "hint" }, hint))) };
}

export class SecretsRoom {
  #server;
  #summary = h("span", { role: "status" });
  #list = h("div", {});
  #vault;
  #load;

  constructor(root, server) {
    this.#server = server;
    const place = h("div", {});
    const add = h("button", { class: "button primary", type: "button", onClick: () => this.#set() }, icon("plus"), "Set a secret");
    fill(root, roomHead("Secrets", [this.#summary], add), h("div", { class: "room-body" }, place, h("section", {}, h("h3", {}, "Kept"), this.#list)));
    this.#vault = new VaultPanel(place, server);
    this.#load = loading(this.#list, () => server.call("GET", "/api/v1/secrets"), ({ secrets }) => this.#draw(secrets));
  }

  end() {}

  update() {
    this.#load();
    this.#vault.load();
  }

  #draw(secrets) {
    this.#summary.textContent = secrets.length ? `${counted(secrets.length, "secret")}, which nobody can read back here` : "Nobody can read them back here";
    if (!secrets.length) {
      fill(this.#list, h("p", { class: "hint" }, "None yet. A secret is a key or password that apps may use without seeing it, such as for an integration."));
      return;
    }
    const entry = (secret) =>
      h(
        "li",
        { class: "entry secret", dataset: { secret: secret.name } },
        h("div", { class: "entry-main" }, h("h3", {}, h("code", {}, secret.name)), h("p", { class: "entry-under" }, "for ", h("strong", {}, secret.app === null ? "all apps" : appTitle(this.#server, secret.app)), " · set ", h("span", { title: exact(secret.updated_at) }, ago(secret.updated_at)))),
        h("div", { class: "entry-actions" }, h("button", { class: "button", type: "button", "aria-label": `Replace ${secret.name}`, onClick: () => this.#set(secret) }, "Replace"), h("button", { class: "button", type: "button", "aria-label": `Remove ${secret.name}`, onClick: () => this.#remove(secret) }, "Remove")),
      );
    fill(this.#list, h("ul", { class: "entries" }, secrets.map(entry)));
  }

  async #set(known = null) {
    const made = await dialog(known ? "Replace a secret" : "Set a secret", (close) => this.#form(known, close));
    if (!made) return;
    toast(known ? `${made} is replaced` : `${made} is kept`);
    this.update();
  }

  #form(known, close) {
    const name = h("input", { class: "input", id: "secret-name", required: true, pattern: NAME, value: known?.name ?? "", readonly: known !== null, title: "Letters, digits, dot, dash and underscore", autocomplete: "off", spellcheck: "false", placeholder: "openai" });
    const app = h("select", { class: "input", id: "secret-app", disabled: known !== null }, h("option", { value: "" }, "All apps"), this.#server.apps.map(({ id, title }) => h("option", { value: id, selected: id === known?.app }, title ?? id)));
    const value = secretField("secret-value", "Secret", "It goes to the vault, and comes back nowhere.");
    const told = h("p", { class: "error-text", role: "alert" });
    const form = h(
      "form",
      { class: "dialog-form", autocomplete: "off" },
      h("div", { class: "pair" }, h("div", { class: "field" }, h("label", { for: "secret-name" }, "Name"), name), h("div", { class: "field" }, h("label", { for: "secret-app" }, "For"), app)),
      value.element,
      told,
      h("div", { class: "dialog-buttons" }, h("button", { class: "button primary", type: "submit" }, "Keep it"), h("button", { class: "button", type: "button", onClick: () => close() }, "Cancel")),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await this.#server.call("PUT", this.#path(app.value || null, name.value), { value: value.input.value });
        value.input.value = "";
        close(name.value);
      } catch (error) {
        told.textContent = problem(error);
      }
    });
    return form;
  }

  #path(app, name) {
    return `/api/v1/${app === null ? "" : `apps/${app}/`}secrets/${encodeURIComponent(name)}`;
  }

  async #remove({ app, name }) {
    const text = [h("code", {}, name), " is removed from the vault. What needs it fails until it is set again."];
    const isDone = await confirm("Remove this secret?", text, "Remove it", () => this.#server.call("DELETE", this.#path(app, name)));
    if (!isDone) return;
    toast(`${name} is removed`);
    this.update();
  }
}
