// Browsing a collection: search, filters, a paged table, and one row in the drawer.

import { fill, h, icon, toast } from "/kit/dom.js";
import { counted, number } from "/kit/format.js";
import { follow } from "/kit/live.js";
import { drawDrawer } from "./drawer.js";
import { comparisonsOf, COMPARISONS, dataQuery, described, readFilters, writeFilters } from "./filters.js";
import { address, go } from "./place.js";

const PAGE = 50;
const SEARCH_WAIT_MS = 120;
const CHANGE_WAIT_MS = 150;
const NUMBERS = new Set(["integer", "number", "decimal"]);

export class RowsRoom {
  #server;
  #place;
  #collection;
  #fields;
  #key;
  #fullText;
  #rows = [];
  #total = 0;
  #turn = 0;
  #timer = null;
  #end;
  #table = h("div", { class: "grid-frame", tabindex: 0, role: "region", "aria-label": "Rows" });
  #pager = h("div", { class: "pager" });
  #chips = h("ul", { class: "chips" });
  #summary = h("p", { "aria-live": "polite" });

  constructor(root, server, place) {
    this.#server = server;
    this.#place = place;
    this.#collection = server.collection(place.app, place.collection);
    const { fields = {}, key = ["id"], full_text } = this.#collection.definition;
    const types = Object.entries(fields).map(([name, field]) => [name, typeof field === "string" ? field : field.type]);
    this.#fields = new Map(key.includes("id") && !fields.id ? [["id", "text"], ...types] : types);
    this.#key = key;
    this.#fullText = Object.keys(full_text?.weights ?? {});
    fill(root, head(server, place, this.#summary), h("div", { class: "toolbar" }, this.#searchBox(), this.#chips, this.#filterButton()), this.#table, this.#pager);
    this.#end = follow(place.app, server.token, [place.collection], {
      ready: () => {},
      change: () => this.#changed(),
      reset: () => this.#changed(),
      refused: () => {},
      state: () => {},
    });
    this.#load();
  }

  /** Ends the live feed, when the person goes elsewhere. */
  end() {
    this.#end();
    clearTimeout(this.#timer);
  }

  /** Another page, filter or search of the same collection. */
  update(place) {
    this.#place = place;
    this.#load();
  }

  #changed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(), CHANGE_WAIT_MS);
  }

  get #query() {
    return this.#place.query;
  }

  get #from() {
    return (Math.max(1, Number.parseInt(this.#query.get("page") ?? "1", 10) || 1) - 1) * PAGE;
  }

  get #order() {
    const [field, direction] = (this.#query.get("sort") ?? "").split("!");
    return this.#fields.has(field) ? { field, descending: direction === "desc" } : null;
  }

  /** Changes the address, which draws; a new filter or search begins at the first page. */
  #go(change, step = true) {
    const query = new URLSearchParams(this.#query);
    query.delete("page");
    change(query);
    go(address(this.#place.app, this.#place.collection, "", query), step);
  }

  async #load() {
    const turn = ++this.#turn;
    const filters = readFilters(this.#query);
    this.#drawChips(filters);
    const search = this.#query.get("q") ?? "";
    const pairs = dataQuery({ filters, search, fullText: this.#fullText, order: this.#order, key: this.#key });
    try {
      const page = await this.#server.rows(this.#place.app, this.#place.collection, pairs, this.#from, PAGE);
      if (turn !== this.#turn) return;
      this.#rows = page.rows;
      this.#total = page.total;
      this.#draw(filters.length > 0 || search !== "");
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#summary.textContent = "";
      fill(this.#table, h("p", { class: "nothing error-text" }, [error.message, error.hint].filter(Boolean).join(" ")));
      fill(this.#pager);
    }
  }

  // ── search and filters ───────────────────────────────────────────────────

  #searchBox() {
    if (!this.#fullText.length) return null;
    let timer = null;
    const input = h("input", {
      class: "input",
      type: "search",
      id: "row-search",
      placeholder: `Search ${this.#fullText.join(", ")}`,
      autocomplete: "off",
      spellcheck: "false",
      value: this.#query.get("q") ?? "",
      onInput: () => {
        clearTimeout(timer);
        timer = setTimeout(() => this.#go((query) => (input.value ? query.set("q", input.value) : query.delete("q")), false), SEARCH_WAIT_MS);
      },
    });
    return h("div", { class: "search" }, h("label", { class: "visually-hidden", for: "row-search" }, "Search"), icon("search"), input);
  }

  #filterButton() {
    const field = h("select", { class: "input", id: "filter-field" }, [...this.#fields.keys()].map((name) => h("option", { value: name }, name)));
    const comparison = h("select", { class: "input", id: "filter-comparison" });
    const value = h("input", { class: "input", id: "filter-value", autocomplete: "off" });
    const drawComparisons = () => fill(comparison, comparisonsOf(this.#fields.get(field.value)).map(({ key, name }) => h("option", { value: key }, name)));
    const drawValue = () => (value.hidden = Boolean(COMPARISONS[comparison.value].isUnary));
    field.addEventListener("change", () => (drawComparisons(), drawValue()));
    comparison.addEventListener("change", drawValue);
    drawComparisons();
    const form = h(
      "form",
      {
        class: "filter-form",
        onSubmit: (event) => {
          event.preventDefault();
          box.open = false;
          const filters = [...readFilters(this.#query), { comparison: comparison.value, field: field.value, value: value.value }];
          value.value = "";
          this.#go((query) => writeFilters(query, filters));
        },
      },
      h("div", { class: "field" }, h("label", { for: "filter-field" }, "Field"), field),
      h("div", { class: "field" }, h("label", { for: "filter-comparison" }, "Comparison"), comparison),
      h("div", { class: "field" }, h("label", { for: "filter-value" }, "Value"), value),
      h("button", { class: "button primary", type: "submit" }, "Add"),
    );
    const box = h("details", { class: "filter" }, h("summary", { class: "button" }, icon("filter"), "Filter"), form);
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !box.open) return;
      box.open = false;
      box.firstChild.focus();
      event.stopPropagation();
    });
    return box;
  }

  #drawChips(filters) {
    fill(
      this.#chips,
      filters.map((filter, at) =>
        h(
          "li",
          { class: "chip" },
          described(filter),
          h(
            "button",
            { type: "button", "aria-label": `Remove the filter: ${described(filter)}`, onClick: () => this.#go((query) => writeFilters(query, filters.filter((_, i) => i !== at))) },
            icon("close"),
          ),
        ),
      ),
    );
  }

  // ── the table ────────────────────────────────────────────────────────────

  #draw(isFiltered) {
    const columns = this.#columns();
    this.#summary.textContent = isFiltered ? `${number(this.#total)} of ${counted(Math.max(this.#total, this.#collection.documents), "row")}` : counted(this.#total, "row");
    const order = this.#order;
    const heads = columns.map((name) => {
      const isCurrent = order?.field === name;
      const next = isCurrent && !order.descending ? "desc" : "asc";
      const type = this.#fields.get(name);
      return h(
        "th",
        { scope: "col", class: NUMBERS.has(type) ? "numeric" : null, "aria-sort": isCurrent ? (order.descending ? "descending" : "ascending") : null },
        h("button", { type: "button", title: `Sort by ${name}`, onClick: () => this.#go((query) => query.set("sort", `${name}!${next}`), false) }, name, isCurrent && icon(order.descending ? "down" : "up")),
        h("span", { class: "type" }, this.#key.includes(name) ? `${type ?? "any"}, key` : (type ?? "any")),
      );
    });
    const body = this.#rows.map((row, at) =>
      h(
        "tr",
        { onClick: (event) => !event.target.closest("button") && this.#open(at) },
        columns.map((name, i) => this.#cell(row[name], name, i === 0, at)),
      ),
    );
    fill(this.#table, this.#rows.length ? h("table", { class: "grid" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, body)) : h("p", { class: "nothing" }, isFiltered ? "No row fits." : "There are no rows yet."));
    this.#drawPager();
  }

  /** Declared columns first, then any others that the rows of this page hold; the key leads. */
  #columns() {
    const names = new Set([...this.#key, ...this.#fields.keys()]);
    for (const row of this.#rows) for (const name of Object.keys(row)) names.add(name);
    return [...names];
  }

  #cell(value, name, isFirst, at) {
    const isNumber = NUMBERS.has(this.#fields.get(name)) || typeof value === "number";
    const text = value === null || value === undefined ? h("span", { class: "null" }, "null") : typeof value === "object" ? h("code", {}, JSON.stringify(value)) : String(value);
    const content = isFirst ? h("button", { type: "button", class: "row-open", onClick: () => this.#open(at) }, text) : text;
    return h("td", { class: isNumber ? "numeric" : null }, content);
  }

  #drawPager() {
    const from = this.#from;
    const step = (page, label, sign, isPossible) =>
      h("button", { class: "button square", type: "button", "aria-label": label, disabled: !isPossible, onClick: () => this.#page(page) }, icon(sign));
    const page = from / PAGE + 1;
    fill(
      this.#pager,
      h("span", {}, this.#rows.length ? `${number(from + 1)}–${number(from + this.#rows.length)} of ${number(this.#total)}` : ""),
      step(page - 1, "Previous page", "back", page > 1),
      step(page + 1, "Next page", "next", from + this.#rows.length < this.#total),
    );
  }

  #page(page) {
    this.#table.scrollTop = 0;
    this.#go((query) => page > 1 && query.set("page", page));
  }

  #open(at) {
    const row = this.#rows[at];
    drawDrawer(this.#server, this.#place, this.#key, row, this.#fields).catch((error) => toast(error.message));
  }
}

/** The head that a collection's rooms share: its name, and the way between rows and connecting. */
export function head(server, place, summary = null) {
  const app = server.app(place.app);
  const tab = (room, title, key) =>
    h("a", { href: address(place.app, place.collection, key), class: "tab", "aria-current": place.room === room ? "page" : null }, title);
  return h(
    "div",
    { class: "room-head with-tabs" },
    h("p", { class: "crumb" }, h("a", { href: address(app.id) }, app.title ?? app.id)),
    h("h2", {}, place.collection),
    summary,
    h("nav", { class: "tabs", "aria-label": "Views of the collection" }, tab("rows", "Rows", ""), tab("connect", "Connect", "connect")),
  );
}
