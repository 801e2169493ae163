// Importing a file: it is sent, the mapping is shown, and only then anything is stored.

import { fill, h, icon } from "/kit/dom.js";
import { bytes, counted, number } from "/kit/format.js";
import { address, go } from "./place.js";

const NEW = "";
const SHOWN_FIELDS = 8;

export class Importer {
  #server;
  #root;
  #done;
  #file = null;
  #upload = null;
  #id = null;
  #turn = 0;

  /** `done()` is awaited after an import, so that the rail shows what came. */
  constructor(root, server, done) {
    this.#root = root;
    this.#server = server;
    this.#done = done;
  }

  get hasFile() {
    return this.#file !== null;
  }

  /** Draws the room without a file, after a reload. */
  drawEmpty(choose) {
    this.#show("Import", null, h("button", { class: "drop-here", type: "button", onClick: choose }, icon("file"), h("span", {}, h("strong", {}, "Choose a file"), h("span", { class: "hint" }, "SQLite, CSV, TSV, JSON or NDJSON"))));
  }

  /** Sends a file and shows what would become of it. */
  async start(file) {
    const turn = ++this.#turn;
    this.#file = file;
    const meter = progress("Sending", file.size);
    this.#show(file.name, bytes(file.size), meter.element);
    try {
      const upload = await this.#server.upload(file, (sent) => meter.set(sent, `${bytes(sent)} of ${bytes(file.size)}`));
      if (turn !== this.#turn) return;
      this.#upload = upload;
      await this.#preview();
    } catch (error) {
      if (turn === this.#turn) this.#failed(error, () => this.start(file));
    }
  }

  /** Asks for the mapping. */
  async #preview() {
    const turn = this.#turn;
    const meter = progress("Reading", null);
    this.#show(this.#file.name, bytes(this.#file.size), meter.element);
    const request = { upload: this.#upload, app: suggestedId(this.#file.name), dry_run: true, options: {} };
    const { mapping } = await this.#server.import(request, () => {}, (id) => (this.#id = id));
    if (turn === this.#turn) this.#drawMapping(mapping);
  }

  #drawMapping(mapping) {
    const rows = mapping.collections.reduce((sum, collection) => sum + collection.rows, 0);
    const app = h("select", { class: "input", id: "import-app" }, h("option", { value: NEW }, "A new app"), this.#server.apps.map((known) => h("option", { value: known.id }, known.title ?? known.id)));
    const id = h("input", { class: "input", id: "import-id", value: suggestedId(this.#file.name), pattern: "[a-z][a-z0-9\\-]{0,40}", required: true, autocomplete: "off", spellcheck: "false" });
    const idField = h("div", { class: "field" }, h("label", { for: "import-id" }, "Its id"), id, h("span", { class: "hint" }, "a–z, 0–9 and -"));
    const redraw = () => (idField.hidden = app.value !== NEW);
    app.addEventListener("change", redraw);
    redraw();
    const form = h(
      "form",
      {
        class: "import-form",
        onSubmit: (event) => {
          event.preventDefault();
          const chosen = app.value === NEW ? id.value : app.value;
          this.#run(chosen, app.value === NEW ? titleOf(this.#file.name) : null, rows);
        },
      },
      h("div", { class: "field" }, h("label", { for: "import-app" }, "Into"), app),
      idField,
      h("button", { class: "button primary", type: "submit" }, `Import ${counted(rows, "row")}`),
      h("button", { class: "button quiet", type: "button", onClick: () => this.#cancel() }, "Cancel"),
    );
    this.#show(
      this.#file.name,
      `${bytes(this.#file.size)} · ${FORMATS[mapping.format] ?? mapping.format} · nothing is stored yet`,
      form,
      notices(mapping.notices),
      h("div", { class: "mapping" }, mapping.collections.map(mappedCollection)),
    );
  }

  async #run(appId, title, rows) {
    const turn = ++this.#turn;
    const meter = progress("Importing", rows);
    const stop = h("button", { class: "button", type: "button", onClick: () => this.#cancel() }, "Stop");
    this.#show(this.#file.name, `into ${appId}`, meter.element, h("div", { class: "actions" }, stop));
    const request = { upload: this.#upload, app: appId, dry_run: false, options: {}, ...(title ? { title } : {}) };
    const sofar = new Map();
    try {
      const state = await this.#server.import(
        request,
        ({ progress: now }) => {
          if (!now) return;
          sofar.set(now.collection, now.done);
          meter.set([...sofar.values()].reduce((sum, n) => sum + n, 0), `${now.collection}: ${number(now.done)} of ${number(now.total)}`);
        },
        (id) => (this.#id = id),
      );
      if (turn !== this.#turn) return;
      await this.#done();
      this.#drawResult(appId, state.result);
    } catch (error) {
      if (turn !== this.#turn) return;
      await this.#done();
      this.#failed(error, () => this.#run(appId, title, rows));
    }
  }

  #drawResult(appId, result) {
    const rows = result.collections ?? [];
    const sum = (name) => rows.reduce((total, collection) => total + (collection[name] ?? 0), 0);
    const violations = rows.reduce((total, collection) => total + (collection.violation_count ?? 0), 0);
    this.#file = null;
    this.#show(
      `Imported into ${appId}`,
      [`${counted(sum("created"), "row")} new`, `${number(sum("updated"))} changed`, `${number(sum("unchanged"))} as they were`].join(" · "),
      violations > 0 && h("p", { class: "error-text" }, `${counted(violations, "row")} broke a rule and were stored all the same.`),
      h(
        "div",
        { class: "table-scroll" },
        h(
          "table",
          { class: "plain" },
          h("thead", {}, h("tr", {}, ["Collection", "New", "Changed", "As it was"].map((text, i) => h("th", { scope: "col", class: i ? "numeric" : null }, text)))),
          h("tbody", {}, rows.map((c) => h("tr", {}, h("td", {}, h("a", { class: "strong-link", href: address(appId, c.collection) }, c.collection)), [c.created, c.updated, c.unchanged].map((n) => h("td", { class: "numeric" }, number(n ?? 0)))))),
        ),
      ),
      rows.length > 0 && h("div", { class: "actions" }, h("a", { class: "button primary", href: address(appId, rows[0].collection) }, "Browse it"), h("a", { class: "button", href: address(appId, rows[0].collection, "connect") }, "Connect a program")),
    );
  }

  #cancel() {
    this.#turn += 1;
    this.#file = null;
    if (this.#id) this.#server.cancelImport(this.#id).catch(() => {});
    this.#id = null;
    go("#/");
  }

  #failed(error, again) {
    this.#show(
      this.#file?.name ?? "Import",
      null,
      h("p", { class: "error-text" }, error.message),
      error.hint && h("p", { class: "hint" }, error.hint),
      h("div", { class: "actions" }, h("button", { class: "button", type: "button", onClick: again }, "Try again"), h("button", { class: "button quiet", type: "button", onClick: () => this.#cancel() }, "Cancel")),
    );
  }

  #show(title, summary, ...body) {
    fill(this.#root, h("div", { class: "room-head" }, h("h2", {}, title), summary && h("p", {}, summary)), h("div", { class: "room-body", "aria-live": "polite" }, body));
  }
}

const FORMATS = { sqlite: "SQLite", csv: "CSV", tsv: "TSV", json: "JSON", ndjson: "NDJSON" };

/** "My Shop (2).db" → "my-shop-2" */
export function suggestedId(name) {
  const plain = titleOf(name).normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const id = plain.replace(/[^a-z0-9]+/g, "-").replace(/^[^a-z]+|-+$/g, "").slice(0, 40);
  return id || "imported";
}

const titleOf = (name) => name.replace(/\.[^.]*$/, "") || name;

function progress(label, max) {
  const bar = h("progress", { "aria-label": label, ...(max ? { max } : {}) });
  const text = h("p", { class: "hint" }, `${label}…`);
  if (max) bar.value = 0;
  return {
    element: h("div", { class: "progress" }, bar, text),
    set(value, words) {
      bar.value = value;
      text.textContent = `${label}: ${words}`;
    },
  };
}

const notices = (texts) =>
  texts.length > 0 && h("section", { class: "notices" }, h("h3", {}, "Worth knowing"), h("ul", {}, texts.map((text) => h("li", {}, text))));

function mappedCollection({ table, collection, rows, fields, definition }) {
  const key = new Set(definition.key ?? []);
  const relations = new Map((definition.relations ?? []).flatMap((relation) => relation.fields.map((field) => [field, relation.to])));
  const line = (field) =>
    h(
      "li",
      {},
      h("span", { class: "mapped-name" }, field.field, field.field !== field.column && h("span", { class: "hint" }, ` from ${field.column}`)),
      h("span", { class: "type" }, `${field.type}${key.has(field.field) ? ", key" : ""}${relations.has(field.field) ? ` → ${relations.get(field.field)}` : ""}`),
    );
  const rest = fields.slice(SHOWN_FIELDS);
  return h(
    "article",
    { class: "mapped" },
    h("h3", {}, collection, h("span", { class: "hint" }, counted(rows, "row"))),
    table !== collection && h("p", { class: "hint" }, `from ${table}`),
    h("ul", {}, fields.slice(0, SHOWN_FIELDS).map(line)),
    rest.length > 0 && h("details", {}, h("summary", {}, `${rest.length} more`), h("ul", {}, rest.map(line))),
  );
}
