// What the page says when it has no access, and how it asks for it.

import { showGate as show } from "/kit/gate.js";

const PAGE = { name: "Inventory", command: "localsrv open inventory", scope: "*:read *:write" };

/** Shows the explanation in place of the app. */
export function showGate(reason) {
  show(PAGE, reason);
}
