// The overview: the server, its apps, and where to drop a file.

import { fill, h, icon } from "/kit/dom.js";
import { ago, bytes, counted, exact, number } from "/kit/format.js";
import { address, roomAddress, TRUST } from "./place.js";
import { SIGNS } from "./rail.js";

/** Draws the overview. `choose()` asks for a file, `open(app)` opens an app's page, `close()` ends the session. */
export function drawHome(root, server, { choose, open, close }) {
  const { status } = server;
  const documents = server.apps.reduce((sum, app) => sum + total(app), 0);
  fill(
    root,
    h(
      "div",
      { class: "room-head" },
      h("h2", {}, "Overview"),
      h("p", {}, [counted(server.apps.length, "app"), counted(documents, "document"), bytes(server.apps.reduce((sum, app) => sum + app.size_bytes, 0))].join(" · ")),
    ),
    h(
      "div",
      { class: "room-body" },
      h(
        "button",
        { class: "drop-here", type: "button", onClick: choose },
        icon("file"),
        h("span", {}, h("strong", {}, "Drop a SQLite, CSV or JSON file anywhere on this page"), h("span", { class: "hint" }, "or choose one. You see what becomes of it before anything is stored.")),
      ),
      h("section", {}, h("h3", {}, "Apps"), appTable(server.apps, open)),
      h("section", {}, h("h3", {}, "Who has access"), trustLinks(server)),
      h("section", {}, h("h3", {}, "Server"), facts(status), h("div", { class: "actions session-line" }, h("button", { class: "button", type: "button", onClick: close }, icon("leave"), "Close session"), h("p", { class: "hint" }, "Ends what this browser may do here, until you let it in again."))),
    ),
  );
}

const WHAT = { requests: "Who asks to be let in", grants: "Who is let in, and how to end it", secrets: "Keys and passwords for apps", integrations: "Outside services that apps call", audit: "What happened" };

/** The rooms about trust, for windows that have no room for the rail too. */
function trustLinks(server) {
  const count = server.waiting.count;
  return h(
    "ul",
    { class: "trust-links" },
    Object.entries(TRUST).map(([room, title]) =>
      h("li", {}, h("a", { href: roomAddress(room) }, icon(SIGNS[room]), h("span", {}, h("strong", {}, title, room === "requests" && count > 0 && h("span", { class: "rail-badge" }, String(count))), h("span", { class: "under" }, WHAT[room])))),
    ),
  );
}

const total = (app) => app.collections.reduce((sum, collection) => sum + collection.documents, 0);

function appTable(apps, open) {
  const titles = ["App", "Collections", "Documents", "Size", "Changed", ""];
  return h(
    "div",
    { class: "table-scroll" },
    h(
      "table",
      { class: "plain" },
      h("thead", {}, h("tr", {}, titles.map((title, i) => h("th", { scope: "col", class: i > 0 && i < 4 ? "numeric" : null }, title || h("span", { class: "visually-hidden" }, "Open"))))),
      h(
        "tbody",
        {},
        apps.map((app) =>
          h(
            "tr",
            {},
            h("td", {}, h("a", { class: "strong-link", href: address(app.id) }, app.title ?? app.id), h("code", { class: "under" }, app.id)),
            h("td", { class: "numeric" }, number(app.collections.length)),
            h("td", { class: "numeric" }, number(total(app))),
            h("td", { class: "numeric" }, bytes(app.size_bytes)),
            h("td", { title: exact(app.updated_at) }, ago(app.updated_at)),
            h("td", { class: "numeric" }, app.has_ui && h("button", { class: "button", type: "button", onClick: () => open(app) }, "Open", icon("open"))),
          ),
        ),
      ),
    ),
  );
}

function facts(status) {
  const rows = [
    ["Address", h("code", {}, status.url)],
    ["Data", h("code", {}, status.data_dir)],
    ["Running since", status.started_at && h("span", { title: exact(status.started_at) }, ago(status.started_at))],
    ["Version", status.version],
    ["SQLite", status.sqlite_version],
    ["Secrets", status.vault && status.vault.state !== "unused" && status.vault.message],
    ["Process", status.pid && String(status.pid)],
  ];
  return h("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Draws one app: its addresses and collections. */
export function drawApp(root, server, app, open) {
  const title = app.title ?? app.id;
  fill(
    root,
    h(
      "div",
      { class: "room-head" },
      h("div", { class: "room-title" }, h("h2", {}, title), app.has_ui && h("button", { class: "button", type: "button", onClick: () => open(app) }, "Open", icon("open"))),
      h("p", {}, [counted(app.collections.length, "collection"), counted(total(app), "document"), bytes(app.size_bytes)].join(" · ")),
    ),
    h(
      "div",
      { class: "room-body" },
      app.error && h("p", { class: "error-text" }, app.error.message),
      h("section", {}, h("h3", {}, "Collections"), app.collections.length ? collectionTable(app) : h("p", { class: "hint" }, "None yet. Drop a file on this page to make some.")),
      h(
        "section",
        {},
        h("h3", {}, "Addresses"),
        h(
          "dl",
          { class: "facts" },
          h("div", {}, h("dt", {}, "For programs"), h("dd", {}, h("code", {}, app.path_url))),
          h("div", {}, h("dt", {}, "Own origin"), h("dd", {}, h("code", {}, app.url))),
        ),
      ),
    ),
  );
}

function collectionTable(app) {
  return h(
    "div",
    { class: "table-scroll" },
    h(
      "table",
      { class: "plain" },
      h("thead", {}, h("tr", {}, ["Collection", "Key", "Fields", "Documents", ""].map((text, i) => h("th", { scope: "col", class: i === 2 || i === 3 ? "numeric" : null }, text || h("span", { class: "visually-hidden" }, "Connect"))))),
      h(
        "tbody",
        {},
        app.collections.map((collection) =>
          h(
            "tr",
            {},
            h("td", {}, h("a", { class: "strong-link", href: address(app.id, collection.name) }, collection.name)),
            h("td", {}, h("code", {}, (collection.definition.key ?? ["id"]).join(", "))),
            h("td", { class: "numeric" }, number(Object.keys(collection.definition.fields ?? {}).length)),
            h("td", { class: "numeric" }, number(collection.documents)),
            h("td", { class: "numeric" }, h("a", { href: address(app.id, collection.name, "connect") }, "Connect")),
          ),
        ),
      ),
    ),
  );
}
