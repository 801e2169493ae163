// The right side while no product is chosen: what moved last, and what to reorder from whom.

import { fill, h } from "/kit/dom.js";
import { exact, number, signed, when } from "/kit/format.js";
import { reasonName } from "./booking.js";

const SHOWN = 12;

export class Overview {
  #shop;
  #select;
  #latest = [];
  #activity = h("div");
  #reorder = h("div");

  /** `select(productId)` opens a product. */
  constructor(root, shop, select) {
    this.#shop = shop;
    this.#select = select;
    fill(
      root,
      h("section", { class: "panel-section" }, h("h2", { class: "panel-heading" }, "Latest movements"), this.#activity),
      h("section", { class: "panel-section" }, h("h2", { class: "panel-heading" }, "To reorder"), this.#reorder),
    );
    this.update();
  }

  async load(data) {
    for (const row of (await data.movements(null, SHOWN)).reverse()) this.#remember(row);
    this.update();
  }

  #remember(row) {
    this.#latest = [row, ...this.#latest.filter((old) => old.id !== row.id)]
      .sort((a, b) => new Date(b.at) - new Date(a.at))
      .slice(0, SHOWN);
  }

  addMovement(row) {
    this.#remember(row);
    this.update();
  }

  removeMovement(id) {
    this.#latest = this.#latest.filter((row) => row.id !== id);
    this.update();
  }

  update() {
    fill(this.#activity, this.#latest.length ? this.#drawActivity() : this.#invitation());
    fill(this.#reorder, this.#drawReorder());
  }

  #invitation() {
    return h(
      "p",
      { class: "hint" },
      "Nothing has moved since the opening stock. Choose a product and book what comes in or goes out: every window that is open shows it at once.",
    );
  }

  #link(product, rest) {
    return h("button", { class: "plain-link", type: "button", onClick: () => this.#select(product.ProductID) }, product.ProductName, rest);
  }

  #drawActivity() {
    const rows = this.#latest.map((movement) => {
      const product = this.#shop.products.get(movement.ProductID);
      if (!product) return null;
      return h(
        "tr",
        {},
        h("td", { class: "history-when", title: exact(movement.at) }, when(movement.at)),
        h("td", { class: "history-reason" }, this.#link(product), h("span", { class: "history-note" }, [reasonName(movement.reason), movement.note].filter(Boolean).join(", "))),
        h("td", { class: movement.quantity < 0 ? "history-quantity" : "history-quantity plus" }, signed(movement.quantity)),
      );
    });
    return h("table", { class: "history" }, h("tbody", {}, rows));
  }

  #drawReorder() {
    const bySupplier = new Map();
    for (const product of this.#shop.products.values()) {
      if (!this.#shop.isLow(product)) continue;
      const list = bySupplier.get(product.SupplierID) ?? [];
      list.push(product);
      bySupplier.set(product.SupplierID, list);
    }
    if (!bySupplier.size) return h("p", { class: "hint" }, "Everything is above its reorder level.");
    const groups = [...bySupplier].sort((a, b) => b[1].length - a[1].length);
    return groups.map(([supplierId, products]) => {
      const supplier = this.#shop.suppliers.get(supplierId);
      return h(
        "div",
        { class: "reorder-group" },
        h("h3", { class: "reorder-supplier" }, supplier?.CompanyName ?? "No supplier", h("span", { class: "hint" }, supplier?.Phone ?? "")),
        h("ul", {}, products.map((product) => this.#reorderLine(product))),
      );
    });
  }

  #reorderLine(product) {
    const stock = this.#shop.stock(product.ProductID);
    const ordered = product.UnitsOnOrder ? `${number(product.UnitsOnOrder)} on order` : "nothing on order";
    return h(
      "li",
      { class: "reorder-line" },
      this.#link(product),
      h("span", { class: "hint" }, ordered),
      h("span", { class: stock <= 0 ? "reorder-stock out" : "reorder-stock" }, number(stock), h("span", { class: "hint" }, ` / ${number(product.ReorderLevel)}`)),
    );
  }
}
