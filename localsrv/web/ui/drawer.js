// One row in full: its fields, its JSON, its attachments.

import { copy, fill, h, icon } from "/kit/dom.js";
import { bytes } from "/kit/format.js";

let opener = null;

/** Shows a row; the revision and attachments are asked for, since a table's row has neither. */
export async function drawDrawer(server, place, key, row, fields) {
  const drawer = document.querySelector("#drawer");
  opener = document.activeElement;
  const title = key.map((name) => row[name]).join(", ");
  const details = h("div");
  const json = JSON.stringify(row, null, 2);
  const heading = h("h2", { tabindex: -1 }, title);
  fill(
    drawer,
    h("div", { class: "drawer-head" }, h("div", {}, h("p", { class: "hint" }, place.collection), heading), h("button", { class: "button quiet square", type: "button", "aria-label": "Close", onClick: closeDrawer }, icon("close"))),
    h(
      "dl",
      { class: "row-fields" },
      Object.entries(row).map(([name, value]) =>
        h("div", {}, h("dt", {}, name, h("span", { class: "type" }, fields.get(name) ?? "any")), h("dd", {}, shown(value))),
      ),
    ),
    details,
    h("div", { class: "drawer-json" }, h("div", { class: "drawer-bar" }, h("h3", {}, "JSON"), h("button", { class: "button", type: "button", onClick: () => copy(json, "JSON") }, icon("copy"), "Copy")), h("pre", { tabindex: 0 }, json)),
  );
  drawer.hidden = false;
  heading.focus();
  await drawDocument(details, server, place, key, row);
}

export function closeDrawer() {
  const drawer = document.querySelector("#drawer");
  if (drawer.hidden) return false;
  drawer.hidden = true;
  drawer.replaceChildren();
  if (opener?.isConnected) opener.focus();
  return true;
}

function shown(value) {
  if (value === null) return h("span", { class: "null" }, "null");
  if (typeof value === "object") return h("pre", {}, JSON.stringify(value, null, 2));
  return String(value);
}

/** A row's `_id`: the text of its key, or for several fields their JSON array. */
export const documentId = (key, row) => (key.length === 1 ? String(row[key[0]]) : JSON.stringify(key.map((name) => row[name])));

async function drawDocument(root, server, place, key, row) {
  const id = documentId(key, row);
  const base = `/api/v1/apps/${place.app}/collections/${place.collection}/documents`;
  const document = await server.call("GET", `${base}/${encodeURIComponent(id)}`);
  const attachments = Object.entries(document._attachments ?? {});
  const paths = attachments.map(([name]) => `${base}/${encodeURIComponent(id)}/attachments/${encodeURIComponent(name)}`);
  const urls = paths.length ? (await server.call("POST", `/api/v1/apps/${place.app}/sign`, { paths, expires_in: 300 })).urls : [];
  fill(
    root,
    h("dl", { class: "row-fields" }, h("div", {}, h("dt", {}, "_id"), h("dd", {}, h("code", {}, id))), h("div", {}, h("dt", {}, "_rev"), h("dd", {}, h("code", {}, document._rev)))),
    attachments.length > 0 && h("h3", {}, "Attachments"),
    attachments.map(([name, { content_type, length }], i) =>
      h(
        "figure",
        { class: "attachment" },
        content_type.startsWith("image/") && h("img", { src: urls[i], alt: name }),
        h("figcaption", {}, h("a", { href: urls[i], target: "_blank", rel: "noopener" }, name), h("span", { class: "hint" }, `${content_type}, ${bytes(length)}`)),
      ),
    ),
  );
}
