// The left side: the apps and their collections, each with its count.

import { fill, h, icon } from "/kit/dom.js";
import { number } from "/kit/format.js";
import { address } from "./place.js";

/** Draws the rail; `open(app)` opens an app's page. */
export function drawRail(root, server, place, open) {
  const isHome = place.room === "home";
  fill(
    root,
    h("a", { class: "rail-entry", href: "#/", "aria-current": isHome ? "page" : null }, icon("home"), h("span", { class: "rail-name" }, "Overview")),
    server.apps.map((app) => group(app, place, open)),
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
