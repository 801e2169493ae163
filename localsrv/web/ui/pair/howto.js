// What a browser shows that may not decide: how the person decides all the same.

import { fill, h } from "/kit/dom.js";
import { command } from "/kit/gate.js";
import { KEY } from "/kit/session.js";

let isListening = false;

/** `name` is a request's code or id, null when none is known; `about` is what this browser may tell of it. */
export function drawHowTo(root, name, about = null) {
  fill(
    root,
    h("h1", {}, name ? "Decide about this request" : "A program asks for access"),
    about && h("section", { class: "asked-box" }, about),
    h("p", {}, "This browser is not let in, so it cannot decide. You, who own this computer, can:"),
    h(
      "div",
      { class: "gate-ways" },
      h("section", {}, h("h2", {}, "Let this browser in"), command("localsrv open"), h("p", { class: "hint" }, "A new tab opens. This page then shows the request by itself.")),
      name
        ? h("section", {}, h("h2", {}, "Or decide in a terminal"), command(`localsrv approve ${name}`), command(`localsrv refuse ${name}`), !about && h("p", { class: "hint" }, "Allow it only if the program shows the same code."))
        : h("section", {}, h("h2", {}, "Or decide in a terminal"), command("localsrv requests"), h("p", { class: "hint" }, "It lists who waits, with their codes.")),
    ),
  );
  if (isListening) return;
  isListening = true;
  addEventListener("storage", ({ key, newValue }) => key === KEY && newValue && location.reload());
}
