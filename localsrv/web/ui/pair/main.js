// The page where one request is decided: `?user_code=…` names it by its code, `#ticket=…` brings the browser that waits
// for the answer to a redirect. Only a browser that is let in decides; any other is told how.

import { fill, h } from "/kit/dom.js";
import { signIn, signOut } from "/kit/session.js";
import { Server } from "/server.js";
import { CodePage } from "./code.js";
import { TicketPage } from "./ticket.js";

const KEPT = "localsrv.ticket";
const root = document.querySelector("#pair");

/** The ticket leaves the address, so that it reaches neither history nor a bookmark; loading anew finds it again. */
function takeTicket() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
  if (ticket) {
    history.replaceState(null, "", location.pathname);
    sessionStorage.setItem(KEPT, ticket);
  }
  const isForCode = new URLSearchParams(location.search).has("user_code");
  return isForCode ? null : sessionStorage.getItem(KEPT);
}

/** The server, if this browser may decide; null if not. */
async function owner() {
  const token = await signIn();
  if (!token) return null;
  const server = new Server(token);
  try {
    await server.refresh();
    return server;
  } catch (error) {
    if (error.status !== 401 && error.status !== 403) throw error;
    if (error.status === 401) signOut();
    return null;
  }
}

try {
  const ticket = takeTicket();
  const server = await owner();
  if (ticket) new TicketPage(root, server, ticket, () => sessionStorage.removeItem(KEPT));
  else new CodePage(root, server, new URLSearchParams(location.search).get("user_code") ?? "");
} catch (error) {
  const again = h("button", { class: "button primary", type: "button", onClick: () => location.reload() }, "Try again");
  fill(root, h("h1", {}, "The server does not answer"), h("p", { role: "alert" }, error.status ? error.message : "It may be stopped. Nothing was decided."), again);
}
