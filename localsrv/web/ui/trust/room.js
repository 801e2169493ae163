// What the rooms about trust share: their head, a question before something ends, and how they load.

import { fill, h } from "/kit/dom.js";

/** The head of a room: its title, a line under it, and what stands at the right. */
export function roomHead(title, summary = [], ...actions) {
  return h("div", { class: "room-head" }, h("div", { class: "room-title" }, h("h2", {}, title), h("div", { class: "actions" }, actions)), h("p", {}, summary));
}

/** An error as a person reads it. */
export const problem = (error) => [error.status ? error.message : "The server does not answer.", error.hint].filter(Boolean).join(" ");

/**
 * Loads something into a place and draws it: loading, error with a way to try again, and done. The function that it
 * returns loads anew; what was shown stays until then.
 */
export function loading(place, load, draw) {
  let turn = 0;
  const run = async () => {
    const mine = ++turn;
    let found;
    try {
      found = await load();
    } catch (error) {
      if (mine !== turn) return;
      const text = h("p", { class: "error-text", role: "alert" }, problem(error));
      fill(place, h("div", { class: "failed" }, text, h("button", { class: "button", type: "button", onClick: run }, "Try again")));
      return;
    }
    if (mine === turn) draw(found);
  };
  fill(place, h("p", { class: "loading", role: "status" }, "Loading…"));
  run();
  return run;
}

/**
 * A window over the page; the focus goes back to where it was. `build(close)` returns what it holds; `close(value)`
 * ends it. Resolves to that value, or null when it was dismissed.
 */
export function dialog(title, build) {
  return new Promise((resolve) => {
    let result = null;
    const close = (value = null) => {
      result = value;
      box.close();
    };
    const box = h("dialog", { "aria-labelledby": "dialog-title" }, h("h2", { id: "dialog-title" }, title));
    for (const part of [build(close)].flat()) box.append(part);
    box.addEventListener("close", () => {
      box.remove();
      resolve(result);
    });
    document.body.append(box);
    box.showModal();
  });
}

/** Asks before something is ended; `run()` does it and its error is shown in the same window. True when it was done. */
export async function confirm(title, text, label, run) {
  const done = await dialog(title, (close) => {
    const told = h("p", { class: "error-text", role: "alert" });
    const go = h("button", { class: "button danger", type: "button" }, label);
    go.addEventListener("click", async () => {
      go.disabled = true;
      try {
        await run();
        close(true);
      } catch (error) {
        told.textContent = problem(error);
        go.disabled = false;
      }
    });
    const keep = h("button", { class: "button", type: "button", autofocus: true, onClick: () => close() }, "Keep it");
    return [h("p", { class: "dialog-text" }, text), told, h("div", { class: "dialog-buttons" }, go, keep)];
  });
  return done === true;
}
