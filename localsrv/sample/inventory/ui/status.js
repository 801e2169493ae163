// The sign in the header that says whether the page is in step with the server, and what opens below it: the switch
// for the offline mode, what waits to be sent, and what was changed in two places.

import { fill, h } from "/kit/dom.js";
import { ago, counted, exact, number } from "/kit/format.js";

const LISTED = 6;
const WHY = "Keeps a copy of the shop in this browser. You can look, book and edit while the server is away; it is sent when it is back.";
const WHAT = "Works here whether the server answers or not.";

/** What the sign says: its text, and the state that colours it. */
export function signOf({ mode, isLive, progress, state, isPaused, waiting, conflicts, problem, at }) {
  if (mode === "copying") return ["waiting", `Copying ${number(Math.floor(100 * progress))}\u00a0%`];
  if (mode === "online") return isLive ? ["live", "Live"] : ["waiting", "Reconnecting"];
  const count = counted(waiting.length, "change");
  if (state === "offline") {
    const rest = waiting.length ? `${count} waiting` : at ? `synced ${ago(at)}` : "";
    return [waiting.length ? "waiting" : isPaused ? "paused" : "offline", ["Offline", rest].filter(Boolean).join(" · ")];
  }
  if (problem) return ["waiting", waiting.length ? `Online · ${count} waiting` : "Online · not in sync"];
  if (state === "syncing") return ["live", "Online · syncing"];
  if (conflicts.length) return ["live", `Online · ${number(conflicts.length)} to decide`];
  return ["live", "Online · in sync"];
}

/** A sentence below the sign's text. */
function explanation({ mode, isLive, state, isPaused, problem, at }) {
  if (mode === "copying") return "The copy is being made. It works from then on.";
  if (mode === "online") return isLive ? "Changes from everywhere appear at once." : "The server does not answer. Trying again.";
  const last = at ? `Last exchange ${ago(at)}.` : "";
  if (isPaused) return `You chose to work offline. ${last}`;
  if (state === "offline") return `The server does not answer; trying again. ${last}`;
  if (problem) return `The last exchange failed: ${problem.message}. Trying again.`;
  return last;
}

export class Status {
  #on;
  #sign = document.querySelector("#live");
  #told = document.querySelector("#told");
  #panel = document.querySelector("#sync-panel");
  #title = h("h2", {});
  #text = h("p", { class: "sync-text" });
  #progress = h("progress", { max: 1, "aria-label": "Copied", hidden: true });
  #lists = h("div", { class: "sync-lists" });
  #pause = h("button", { class: "button", type: "button", onClick: () => this.#on.pause(!this.#model.isPaused) });
  #switch = h("input", { id: "offline", class: "switch", type: "checkbox", role: "switch", "aria-describedby": "offline-why" });
  #why = h("p", { class: "hint", id: "offline-why" });
  #model = null;

  /** `on.switch(isWanted)`, `on.pause(isWanted)`, `on.open(productId)`, `on.close()` for the session. */
  constructor(on) {
    this.#on = on;
    this.#switch.addEventListener("change", () => on.switch(this.#switch.checked));
    fill(
      this.#panel,
      h("div", { class: "sync-head" }, this.#title, this.#pause),
      this.#text,
      this.#progress,
      this.#lists,
      h("div", { class: "sync-switch" }, h("label", { for: "offline" }, "Available offline"), this.#switch, this.#why),
      h("div", { class: "sync-close" }, h("button", { class: "button", type: "button", onClick: () => on.close() }, "Close session"), h("p", { class: "hint" }, "Ends this page’s access until you let it in again.")),
    );
    this.#panel.addEventListener("toggle", () => this.#drawLists());
  }

  /** Shows how things are. `waiting` and `conflicts` have `{title, detail, product}` for each. */
  show(model) {
    this.#model = model;
    const [state, text] = signOf(model);
    this.#sign.dataset.state = state;
    if (this.#sign.textContent !== text) this.#sign.textContent = text;
    // What is read out changes with the state, and not with every second.
    const told = text.replace(/ · synced .*/, "");
    if (this.#told.textContent !== told) this.#told.textContent = told;
    this.#title.textContent = text.split(" · ")[0];
    this.#text.textContent = explanation(model);
    this.#text.title = model.at ? exact(model.at) : "";
    this.#progress.hidden = model.mode !== "copying";
    this.#progress.value = model.progress ?? 0;
    this.#pause.hidden = model.mode !== "copy" || (model.state === "offline" && !model.isPaused);
    this.#pause.textContent = model.isPaused ? "Go online" : "Work offline";
    this.#switch.checked = model.mode !== "online";
    this.#switch.disabled = model.mode === "copying" || (model.mode === "online" && !model.isLive);
    this.#why.textContent = model.mode === "copy" ? WHAT : WHY;
    this.#drawLists();
  }

  #drawLists() {
    const { waiting, conflicts } = this.#model;
    this.#sign.parentElement.classList.toggle("caution", conflicts.length > 0);
    if (!this.#panel.matches(":popover-open")) return;
    const focused = document.activeElement?.dataset?.product;
    fill(
      this.#lists,
      this.#list("Changed in several places", conflicts),
      this.#list("Waiting to be sent", waiting),
    );
    if (focused) this.#lists.querySelector(`[data-product="${focused}"]`)?.focus();
  }

  #list(title, entries) {
    if (!entries.length) return null;
    const rest = entries.length - LISTED;
    return h(
      "section",
      {},
      h("h3", {}, title),
      h(
        "ul",
        {},
        entries.slice(0, LISTED).map((entry) => h("li", {}, this.#link(entry), h("span", { class: "hint" }, entry.detail))),
        rest > 0 && h("li", { class: "hint" }, `and ${number(rest)} more`),
      ),
    );
  }

  #link({ title, product }) {
    const open = () => {
      this.#panel.hidePopover();
      this.#on.open(product);
    };
    return h("button", { class: "plain-link", type: "button", dataset: { product }, onClick: open }, title);
  }
}

/** Asks before changes that never reached the server are deleted; true when they may be. */
export function mayLose(count) {
  const dialog = h(
    "dialog",
    { "aria-labelledby": "lose-title" },
    h("h2", { id: "lose-title" }, `${counted(count, "change")} would be lost`),
    h("p", { class: "sync-text" }, "They were made here and have not reached the server. They go with the copy."),
    h(
      "form",
      { method: "dialog", class: "dialog-buttons" },
      h("button", { class: "button caution", value: "lose" }, "Delete the copy"),
      h("button", { class: "button primary", value: "keep", autofocus: true }, "Keep it"),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "lose");
    });
  });
}
