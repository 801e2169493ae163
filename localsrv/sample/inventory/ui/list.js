// The table of products: rows are kept by key, so that focus, scroll place and a flash survive every redraw.

import { fill, h, icon } from "/kit/dom.js";
import { folded, number, price } from "/kit/format.js";
import { makeBar, setBar } from "./bar.js";
import { wordsOf } from "./words.js";

const COLUMNS = [
  { key: "name", title: "Product" },
  { key: "category", title: "Category" },
  { key: "supplier", title: "Supplier" },
  { key: "price", title: "Price", numeric: true, descendingFirst: true },
  { key: "ordered", title: "On order", numeric: true, descendingFirst: true },
  { key: "reorder", title: "Reorder at", numeric: true, descendingFirst: true },
  { key: "stock", title: "In stock", numeric: true },
];
const BADGES = { low: "Low", out: "Out", ended: "Ended" };

export class List {
  #rows = new Map();
  #body;
  #columns;
  #shop;
  #pictures;
  #on;

  /** `on.select(id)` for a click or Enter, `on.sort(key, descending)` for a column's head. */
  constructor(shop, pictures, on) {
    this.#body = document.querySelector("#rows");
    this.#columns = document.querySelector("#columns");
    this.#shop = shop;
    this.#pictures = pictures;
    this.#on = on;
    this.#body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) on.select(Number(row.dataset.id));
    });
  }

  draw(products, state) {
    this.#drawColumns(state);
    const scale = this.#shop.scale();
    const words = state.found === null ? [] : wordsOf(state.text);
    const elements = products.map((product) => {
      const row = this.#rows.get(product.ProductID) ?? this.#make(product.ProductID);
      this.#update(row, product, state, scale, words);
      return row.element;
    });
    this.#arrange(elements);
  }

  #arrange(elements) {
    const now = [...this.#body.children];
    if (now.length === elements.length && now.every((element, i) => element === elements[i])) return;
    const focused = this.#body.contains(document.activeElement) ? document.activeElement : null;
    this.#body.replaceChildren(...elements);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }

  #drawColumns({ sort, descending, view }) {
    const current = sort ?? (view === "low" ? null : "name");
    const focused = document.activeElement?.closest?.("th")?.dataset.column;
    fill(
      this.#columns,
      COLUMNS.map(({ key, title, numeric, descendingFirst }) => {
        const isCurrent = key === current;
        const next = isCurrent ? !descending : Boolean(descendingFirst);
        const direction = descending ? "descending" : "ascending";
        return h(
          "th",
          {
            scope: "col",
            class: `col-${key}${numeric ? " numeric" : ""}`,
            dataset: { column: key },
            "aria-sort": isCurrent ? direction : null,
          },
          h(
            "button",
            { type: "button", onClick: () => this.#on.sort(key, next) },
            title,
            isCurrent ? icon(descending ? "down" : "up") : null,
          ),
        );
      }),
    );
    if (focused) this.#columns.querySelector(`[data-column="${focused}"] button`)?.focus();
  }

  #make(id) {
    const cell = (key, ...children) => h("td", { class: `col-${key}` }, ...children);
    const row = {
      picture: h("img", { alt: "", width: 42, height: 28, loading: "lazy" }),
      name: h("button", { type: "button", class: "row-name" }),
      pack: h("span", { class: "row-pack" }),
      versions: h("span", { class: "row-versions" }),
      category: cell("category"),
      supplier: cell("supplier"),
      price: cell("price"),
      ordered: cell("ordered"),
      reorder: cell("reorder"),
      bar: makeBar(),
      badge: h("span", { class: "badge" }),
      stock: h("span", { class: "row-stock" }),
    };
    row.element = h(
      "tr",
      { dataset: { id } },
      cell("name", h("div", {}, row.picture, h("div", { class: "row-text" }, row.name, row.pack), row.versions)),
      row.category,
      row.supplier,
      row.price,
      row.ordered,
      row.reorder,
      cell("stock", h("div", {}, row.badge, row.bar, row.stock)),
    );
    this.#rows.set(id, row);
    return row;
  }

  #update(row, product, state, scale, words) {
    const stock = this.#shop.stock(product.ProductID);
    const level = this.#shop.level(product);
    const isSelected = state.product === product.ProductID;
    fill(row.name, marked(product.ProductName, words));
    fill(row.pack, marked(product.QuantityPerUnit ?? "", words));
    const versions = 1 + (product.conflicts?.length ?? 0);
    fill(row.versions, versions > 1 && h("span", { class: "badge low" }, `${versions} versions`));
    fill(row.category, marked(this.#shop.categoryName(product), words));
    fill(row.supplier, marked(this.#shop.supplierName(product), words));
    row.price.textContent = price(product.UnitPrice);
    row.ordered.textContent = product.UnitsOnOrder ? number(product.UnitsOnOrder) : "–";
    row.reorder.textContent = product.ReorderLevel ? number(product.ReorderLevel) : "–";
    row.stock.textContent = number(stock);
    row.badge.textContent = BADGES[level] ?? "";
    row.badge.className = `badge ${level}`;
    row.badge.hidden = !BADGES[level];
    setBar(row.bar, { stock, reorder: product.ReorderLevel, scale, level });
    row.element.dataset.level = level;
    const url = this.#pictures.url(product.CategoryID);
    if (url && row.picture.getAttribute("src") !== url) row.picture.src = url;
    if (isSelected) row.name.setAttribute("aria-current", "true");
    else row.name.removeAttribute("aria-current");
    row.element.classList.toggle("selected", isSelected);
  }

  /** Lets a row light up for a moment, because something about it changed. */
  flash(id) {
    const element = this.#rows.get(id)?.element;
    if (!element) return;
    element.classList.remove("flash");
    void element.offsetWidth; // restarts the animation
    element.classList.add("flash");
  }

  /** Moves the focus to a product's row. */
  focus(id) {
    this.#rows.get(id)?.name.focus();
    this.#rows.get(id)?.element.scrollIntoView({ block: "nearest" });
  }

  /** The id of the row that has the focus, or null. */
  focused() {
    const row = document.activeElement?.closest?.("#rows tr");
    return row ? Number(row.dataset.id) : null;
  }
}

/** The text with the found beginnings of words marked. */
export function marked(text, words) {
  if (!words.length) return [text];
  return text.split(/([\p{L}\p{M}\p{N}]+)/u).map((part) => {
    const word = words
      .filter((candidate) => folded(part).startsWith(candidate))
      .reduce((longest, candidate) => (candidate.length > longest.length ? candidate : longest), "");
    if (!word) return part;
    let end = word.length;
    while (folded(part.slice(0, end)).length < word.length) end += 1;
    return [h("mark", {}, part.slice(0, end)), part.slice(end)];
  });
}
