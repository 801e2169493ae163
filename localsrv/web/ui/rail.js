// The left side: what is about trust, and the apps with their collections, each with its count.

import { fill, h, icon } from "/kit/dom.js";
import { number } from "/kit/format.js";
import { address, roomAddress, TRUST } from "./place.js";

export const SIGNS = { requests: "ask", grants: "shield", secrets: "lock", integrations: "plug", audit: "log" };

/** Draws the rail; `on.open(app)` opens an app's page, `on.close()` ends the session. */
export function drawRail(root, server, place, on) {
  const focused = root.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  fill(
    root,
    h("a", { class: "rail-entry", href: "#/", "aria-current": place.room === "home" ? "page" : null }, icon("home"), h("span", { class: "rail-name" }, "Overview")),
    Object.entries(TRUST).map(([room, title]) => trustEntry(room, title, server, place)),
    server.apps.map((app) => group(app, place, on.open)),
    h("button", { class: "rail-entry rail-leave", type: "button", onClick: on.close }, icon("leave"), h("span", { class: "rail-name" }, "Close session")),
  );
  if (focused) root.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
}

function trustEntry(room, title, server, place) {
  const waiting = room === "requests" ? server.waiting.count : 0;
  return h(
    "a",
    { class: "rail-entry", href: roomAddress(room), "aria-current": place.room === room ? "page" : null },
    icon(SIGNS[room]),
    h("span", { class: "rail-name" }, title),
    waiting > 0 && h("span", { class: "rail-badge" }, number(waiting), h("span", { class: "visually-hidden" }, " waiting")),
  );
}

function group(app, place, open) {
  const title = app.title ?? app.id;
  return h(
    "section",
    { class: "rail-group" },
    h(
      "div",
      { class: "rail-head" },
      h("h2", {}, h("a", { href: address(app.id), "aria-current": place.room === "app" && place.app === app.id ? "page" : null }, title)),
      app.has_ui &&
        h("button", { class: "button quiet square small", type: "button", title: `Open ${title}`, onClick: () => open(app) }, icon("open"), h("span", { class: "visually-hidden" }, `Open ${title}`)),
    ),
    app.error && h("p", { class: "rail-note error-text" }, app.error.message),
    app.collections.length
      ? h("ul", {}, app.collections.map((collection) => h("li", {}, entry(app, collection, place))))
      : !app.error && h("p", { class: "rail-note hint" }, "No collections"),
  );
}

function entry(app, collection, place) {
  const isCurrent = place.app === app.id && place.collection === collection.name;
  return h(
    "a",
    { class: "rail-entry", href: address(app.id, collection.name), "aria-current": isCurrent ? "page" : null },
    h("span", { class: "rail-name" }, collection.name),
    h("span", { class: "rail-count" }, number(collection.documents)),
  );
}
