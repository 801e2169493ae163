// Making a key: for whom, in which app, what it may do. Its token is shown once.

import { copy, fill, h, icon } from "/kit/dom.js";
import { dialog, problem } from "./room.js";
import { inWords } from "./scopes.js";

const DAY_S = 86_400;
const ENDS = [["When I end it", ""], ["In a year", 365 * DAY_S], ["In 90 days", 90 * DAY_S], ["In 30 days", 30 * DAY_S], ["In a day", DAY_S]];
const FURTHER = ["sync", "files:*:read", "files:*:write", "functions:*", "integrations:*:use", "cache:use", "secrets:use", "admin"];

/** Asks in a window; true when a key was made. */
export async function makeKey(server) {
  const maker = new KeyMaker(server);
  await dialog("Make a key", (close) => maker.form(close));
  return maker.isMade;
}

class KeyMaker {
  isMade = false;
  #server;
  #name = h("input", { class: "input", id: "key-name", required: true, maxlength: 200, autocomplete: "off", placeholder: "Backup script" });
  #app;
  #origin = h("input", { class: "input", id: "key-origin", type: "url", placeholder: "http://localhost:5173", autocomplete: "off", spellcheck: "false" });
  #originField;
  #ends = h("select", { class: "input", id: "key-ends" }, ENDS.map(([name, seconds]) => h("option", { value: seconds }, name)));
  #publishable = h("input", { type: "checkbox", id: "key-publishable", onChange: () => this.#drawScopes() });
  #scopes = h("div", { class: "key-scopes" });
  #told = h("p", { class: "error-text", role: "alert" });

  constructor(server) {
    this.#server = server;
    this.#app = h("select", { class: "input", id: "key-app", onChange: () => this.#drawScopes() }, server.apps.map(({ id, title }) => h("option", { value: id }, title ?? id)), h("option", { value: "*" }, "All apps"));
  }

  form(close) {
    const field = (label, control, hint = null) => h("div", { class: "field" }, h("label", { for: control.id }, label), control, hint && h("span", { class: "hint" }, hint));
    this.#originField = field("Bound to a web page’s address", this.#origin, "Leave it empty for programs.");
    this.#drawScopes();
    const form = h(
      "form",
      { class: "dialog-form" },
      h("div", { class: "pair" }, field("Name", this.#name), field("App", this.#app)),
      h("label", { class: "tick" }, this.#publishable, h("span", {}, "Publishable", h("span", { class: "under" }, "May stand in the source of the app’s own pages: it counts there alone, for the collections you tick."))),
      this.#scopes,
      h("div", { class: "pair" }, this.#originField, field("It ends", this.#ends)),
      this.#told,
      h("div", { class: "dialog-buttons" }, h("button", { class: "button primary", type: "submit" }, "Make the key"), h("button", { class: "button", type: "button", onClick: () => close() }, "Cancel")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make(form, close);
    });
    return form;
  }

  #drawScopes() {
    const isPublic = this.#publishable.checked;
    this.#app.lastChild.disabled = isPublic;
    if (isPublic && this.#app.value === "*") this.#app.selectedIndex = 0;
    this.#originField.hidden = isPublic;
    const collections = this.#server.app(this.#app.value)?.collections ?? [];
    const names = [...(isPublic ? [] : ["*"]), ...collections.map(({ name }) => name)];
    const box = (scope) => h("td", {}, h("input", { type: "checkbox", name: "scope", value: scope, "aria-label": inWords(scope) }));
    const row = (name) => h("tr", {}, h("th", { scope: "row" }, name === "*" ? "All collections" : name), box(`${name}:read`), box(`${name}:write`));
    const table = h("table", { class: "plain scopes-table" }, h("thead", {}, h("tr", {}, ["Collection", "Read", "Change"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, names.map(row)));
    const further = h("details", {}, h("summary", {}, "Further"), FURTHER.map((scope) => h("label", { class: "tick scope" }, h("input", { type: "checkbox", name: "scope", value: scope }), h("span", {}, inWords(scope)), h("code", {}, scope))));
    fill(this.#scopes, h("span", { class: "label" }, "It may"), names.length ? h("div", { class: "scopes-scroll", tabindex: 0, role: "group", "aria-label": "Collections" }, table) : h("p", { class: "hint" }, "This app has no collections yet."), !isPublic && further);
  }

  async #make(form, close) {
    const isPublic = this.#publishable.checked;
    const scopes = [...form.querySelectorAll("[name=scope]:checked")].map(({ value }) => value);
    if (!scopes.length) {
      this.#told.textContent = "Tick at least one thing that it may do.";
      return;
    }
    const origin = this.#origin.value.trim().replace(/\/$/, "");
    const body = { name: this.#name.value, app: this.#app.value, scopes, publishable: isPublic, origin: isPublic || !origin ? null : origin, expires_in: this.#ends.value ? Number(this.#ends.value) : null };
    try {
      const { token } = await this.#server.call("POST", "/api/v1/keys", body);
      this.isMade = true;
      this.#drawMade(form, token, isPublic, close);
    } catch (error) {
      this.#told.textContent = problem(error);
    }
  }

  #drawMade(form, token, isPublic, close) {
    const button = h("button", { class: "button primary", type: "button", onClick: () => copy(token, "Key") }, icon("copy"), "Copy");
    form.replaceWith(
      h(
        "div",
        { class: "dialog-form" },
        h("p", { role: "status" }, isPublic ? "The key is made. It may be seen by everybody, and stands among the grants." : "The key is made. Copy it now: it is shown this once."),
        h("div", { class: "command" }, h("code", { class: "token" }, token), button),
        h("div", { class: "dialog-buttons" }, h("button", { class: "button", type: "button", onClick: () => close() }, "Done")),
      ),
    );
    button.focus();
  }
}
