// What the page says when it has no token, or the server does not take it any more.

import { copy, fill, h } from "/kit/dom.js";
import { pairingBox } from "/kit/pairing.js";

const COMMAND = "localsrv open inventory";

/** Shows the explanation in place of the app. */
export function showGate(reason) {
  document.querySelector("#app").hidden = true;
  const gate = document.querySelector("#gate");
  gate.hidden = false;
  fill(
    gate,
    h("img", { src: "/icon.svg", alt: "", width: 40, height: 40 }),
    h("h1", {}, reason),
    h(
      "p",
      {},
      "Inventory keeps its data on this computer and gives it to nobody who was not let in. To open it in this browser, run this in a terminal:",
    ),
    h(
      "div",
      { class: "command" },
      h("code", {}, COMMAND),
      h("button", { class: "button", type: "button", onClick: () => copy(COMMAND, "Command") }, "Copy"),
    ),
    h("p", { class: "hint" }, "It opens a new tab that is let in. This one can be closed then. Or let this one in:"),
    pairingBox({ name: "Inventory", scope: "*:read *:write" }, () => location.reload()),
  );
}
