// One waiting request: who asks and what is proven, what for, and the person's decision.

import { fill, h, icon } from "/kit/dom.js";
import { ago, exact } from "/kit/format.js";
import { spelled } from "/kit/gate.js";
import { Arming } from "./arming.js";
import { inWords, isGrave, sorted } from "./scopes.js";
import { appTitle, given, identity, identityBlock } from "./who.js";

const DAY_S = 86_400;
const DURATIONS = [
  ["Until I end it", null],
  ["90 days", 90 * DAY_S],
  ["30 days", 30 * DAY_S],
  ["A day", DAY_S],
];

export class Decision {
  element;
  /** While the server is asked: that the request is gone from the list by then is this very decision. */
  isDeciding = false;
  #server;
  #request;
  #decided;
  #arming = new Arming();
  #problem = h("p", { class: "error-text", role: "alert" });
  #app = null;
  #scopes = [];
  #duration;
  #allow;
  #once;
  #asked;
  #hint = h("p", { class: "hint", role: "status" });

  /** `decided(what, answer)` is called with `"approve"` or `"refuse"` and what the server said to it. */
  constructor(server, request, decided) {
    this.#server = server;
    this.#request = request;
    this.#decided = decided;
    this.element = this.#card();
    this.#check();
    this.#arming.arm();
  }

  /** Waits again before a click counts, since the card may have moved under the pointer. */
  arm() {
    this.#arming.arm();
    this.#asked.textContent = ago(this.#request.created_at);
  }

  end() {
    this.#arming.end();
  }

  focus() {
    this.element.querySelector("h3").focus();
  }

  #card() {
    const { id, name, code, created_at: at } = this.#request;
    this.#asked = h("time", { class: "hint", datetime: at, title: exact(at) }, ago(at));
    return h(
      "article",
      { class: "decision", "aria-labelledby": `name-${id}`, dataset: { request: id } },
      h("header", { class: "decision-head" }, h("h3", { id: `name-${id}`, tabindex: -1 }, "“", given(name), "” asks for access"), this.#asked),
      identityBlock(identity(this.#server, this.#request)),
      code && h("div", { class: "decision-code" }, spelled(code), h("p", {}, h("strong", {}, "Compare the code."), " It must show the same one. If it shows another or none, refuse.")),
      h("form", { class: "decision-form", onSubmit: (event) => event.preventDefault() }, this.#appField(), this.#durationField(), this.#scopeFields(), this.#problem, this.#buttons()),
    );
  }

  // ── what is allowed ──────────────────────────────────────────────────────

  #appField() {
    const { app, id } = this.#request;
    if (app !== null) {
      this.#app = app;
      const found = app === "*" || this.#server.app(app);
      return h(
        "div",
        { class: "field" },
        h("span", { class: "label" }, "In the app"),
        h("p", {}, h("strong", {}, app === "*" ? "All apps, and the server itself" : appTitle(this.#server, app)), app !== "*" && h("code", { class: "under" }, app)),
        !found && h("p", { class: "error-text" }, "There is no such app here, so this cannot be allowed."),
      );
    }
    const select = h(
      "select",
      { class: "input", id: `app-${id}`, onChange: () => ((this.#app = select.value || null), this.#check()) },
      h("option", { value: "" }, "Choose one"),
      this.#server.apps.map((known) => h("option", { value: known.id }, known.title ?? known.id)),
      h("option", { value: "*" }, "All apps"),
    );
    return h("div", { class: "field" }, h("label", { for: `app-${id}` }, "In the app"), select);
  }

  #scopeFields() {
    const boxes = sorted(this.#request.scopes).map((scope) => {
      const box = h("input", { type: "checkbox", value: scope, checked: true, onChange: () => this.#check() });
      this.#scopes.push(box);
      return h("label", { class: isGrave(scope) ? "tick scope grave" : "tick scope" }, box, h("span", {}, inWords(scope)), h("code", {}, scope));
    });
    return h("fieldset", { class: "field ticks" }, h("legend", { class: "label" }, "It may"), boxes);
  }

  #durationField() {
    const id = `duration-${this.#request.id}`;
    this.#duration = h("select", { class: "input", id }, DURATIONS.map(([name, seconds]) => h("option", { value: seconds ?? "" }, name)));
    return h("div", { class: "field duration" }, h("label", { for: id }, "For how long"), this.#duration);
  }

  #buttons() {
    const button = (kind, sign, text) => h("button", { class: `button ${kind}`, type: "button" }, icon(sign), text);
    this.#allow = this.#arming.add(button("primary", "check", "Allow"), () => this.#approve(false));
    this.#once = this.#arming.add(button("", "check", "Allow once"), () => this.#approve(true));
    const refuse = this.#arming.add(button("refuse", "close", "Refuse"), () => this.#decide("refuse"));
    return h("div", { class: "decision-buttons" }, this.#allow, this.#once, refuse, this.#hint);
  }

  get #chosen() {
    return this.#scopes.filter((box) => box.checked).map((box) => box.value);
  }

  /** Without an app, or with nothing ticked, there is nothing to allow. */
  #check() {
    const isPossible = this.#app !== null && (this.#app === "*" || this.#server.app(this.#app)) && this.#chosen.length > 0;
    const missing = this.#app === null ? "Choose the app that it may use." : this.#chosen.length === 0 ? "Tick what it may do, or refuse." : null;
    const told = missing ?? "Once is for an hour, and cannot be renewed.";
    if (this.#hint.textContent !== told) this.#hint.textContent = told;
    // What gives power over everything is not offered as the usual way on.
    const isGraveNow = this.#app === "*" || this.#chosen.some(isGrave);
    this.#allow.classList.toggle("caution", isGraveNow);
    this.#allow.classList.toggle("primary", !isGraveNow);
    for (const button of [this.#allow, this.#once]) this.#arming.block(button, !isPossible);
  }

  // ── deciding ─────────────────────────────────────────────────────────────

  #approve(once) {
    const seconds = this.#duration.value;
    return this.#decide("approve", { app: this.#app, scopes: this.#chosen, once, expires_in: once || !seconds ? null : Number(seconds) });
  }

  async #decide(what, body = undefined) {
    fill(this.#problem);
    this.isDeciding = true;
    try {
      const answer = await this.#server.call("POST", `/api/v1/requests/${this.#request.id}/${what}`, body);
      this.#decided(what, answer);
    } catch (error) {
      fill(this.#problem, [error.status ? error.message : "The server does not answer: nothing was decided.", error.hint].filter(Boolean).join(" "));
    } finally {
      this.isDeciding = false;
    }
  }
}
