// The right side for one product: its stock, the booking form, its movements, what was ordered, who supplies it.

import { fill, h, icon, toast } from "/kit/dom.js";
import { exact, number, price, signed, when } from "/kit/format.js";
import { makeBar, setBar } from "./bar.js";
import { Booking, reasonName } from "./booking.js";
import { drawDemand } from "./demand.js";
import { Edit } from "./edit.js";
import { drawVersions } from "./versions.js";

const AT_ONCE = 20;
const LEVELS = { low: "Low stock", out: "Out of stock", enough: "In stock", ended: "Discontinued" };

export class ProductPanel {
  #shop;
  #data;
  #id;
  #movements = [];
  #booking;
  #stock = h("strong", { class: "panel-stock" });
  #level = h("span", { class: "badge" });
  #facts = h("span", {});
  #factsLine = h(
    "p",
    { class: "panel-facts" },
    this.#facts,
    h("button", { class: "link-button", type: "button", "aria-keyshortcuts": "e", onClick: () => this.edit() }, "Edit"),
  );
  #editing = h("div", { hidden: true });
  #versions = h("section", { class: "panel-section notice", "aria-label": "Versions", hidden: true });
  #drawnVersions = "";
  #bar = makeBar();
  #history = h("tbody");
  #more = h("button", { class: "link-button", type: "button", hidden: true, onClick: () => this.#load() }, "Show older");
  #demand = h("div");
  #title = h("h2", { class: "panel-title", tabindex: -1 });
  #subtitle = h("p", { class: "panel-subtitle" });
  #supplier = h("div", { class: "supplier" });
  #picture = h("img", { class: "panel-picture", alt: "", width: 96, height: 60 });

  #on;

  /**
   * `on.book(movement)`, `on.edit(changes)` and `on.settle(versions, chosen)` resolve when it is stored;
   * `on.close()` closes the panel.
   */
  constructor(root, shop, data, pictures, id, on) {
    this.#shop = shop;
    this.#data = data;
    this.#id = id;
    this.#on = on;
    const product = shop.products.get(id);
    const reorder = product.ReorderLevel;
    const book = (movement) => on.book({ ProductID: id, ...movement });
    this.#booking = new Booking({ stock: shop.stock(id), reorder, book });
    const url = pictures.url(product.CategoryID);
    if (url) this.#picture.src = url;
    fill(root, this.#layout(on.close));
    this.update();
  }

  #layout(close) {
    return [
      h(
        "div",
        { class: "panel-head" },
        this.#picture,
        h("div", { class: "panel-names" }, this.#title, this.#subtitle),
        h("button", { class: "button quiet square panel-close", type: "button", "aria-label": "Close", onClick: close }, icon("close")),
      ),
      this.#versions,
      h(
        "section",
        { class: "panel-section", "aria-label": "Stock" },
        h("p", { class: "panel-level" }, this.#stock, this.#level),
        this.#bar,
        this.#factsLine,
        this.#editing,
      ),
      h("section", { class: "panel-section", "aria-label": "Book" }, this.#booking.element),
      h(
        "section",
        { class: "panel-section" },
        h("h3", { id: "history-title" }, "Movements"),
        h(
          "table",
          { class: "history", "aria-labelledby": "history-title" },
          h(
            "thead",
            { class: "visually-hidden" },
            h("tr", {}, ["When", "Reason", "Quantity", "Stock after"].map((title) => h("th", { scope: "col" }, title))),
          ),
          this.#history,
        ),
        this.#more,
      ),
      h("section", { class: "panel-section" }, h("h3", {}, "Ordered by customers"), this.#demand),
      h("section", { class: "panel-section" }, h("h3", {}, "Supplier"), this.#supplier),
    ];
  }

  /** Loads what the list does not know. */
  async load() {
    await this.#load();
    fill(this.#demand, drawDemand(await this.#data.demand(this.#id)));
  }

  async #load() {
    const older = await this.#data.movements(this.#id, AT_ONCE, this.#movements.length);
    this.#add(older);
    this.#more.hidden = older.length < AT_ONCE;
  }

  #add(rows) {
    const known = new Map([...this.#movements, ...rows].map((row) => [row.id, row]));
    this.#movements = [...known.values()].sort((a, b) => {
      const order = new Date(b.at) - new Date(a.at);
      return order || (a.id < b.id ? 1 : -1);
    });
    this.#drawHistory();
  }

  /** A movement was booked, here or elsewhere. */
  addMovement(row) {
    if (row.ProductID === this.#id) this.#add([row]);
  }

  /** A movement was deleted elsewhere. */
  removeMovement(id) {
    this.#movements = this.#movements.filter((row) => row.id !== id);
    this.#drawHistory();
  }

  /** Shows the product anew after a change. */
  update() {
    const shop = this.#shop;
    const product = shop.products.get(this.#id);
    if (!product) return;
    const stock = shop.stock(this.#id);
    const level = shop.level(product);
    this.#title.textContent = product.ProductName;
    this.#subtitle.textContent = [shop.categoryName(product), product.QuantityPerUnit].filter(Boolean).join(" · ");
    this.#stock.textContent = number(stock);
    this.#level.textContent = LEVELS[level];
    this.#level.className = `badge ${level === "enough" ? "good" : level}`;
    const facts = [`${price(product.UnitPrice)} each`];
    if (product.ReorderLevel) facts.push(`reorder at ${number(product.ReorderLevel)}`);
    if (product.UnitsOnOrder) facts.push(`${number(product.UnitsOnOrder)} on order`);
    this.#facts.textContent = facts.join(" · ");
    setBar(this.#bar, {
      stock,
      reorder: product.ReorderLevel,
      scale: Math.max(stock, 2 * (product.ReorderLevel ?? 0), 1),
      level,
    });
    this.#booking.setStock(stock, product.ReorderLevel);
    this.#drawSupplier(shop.suppliers.get(product.SupplierID));
    this.#drawHistory();
    this.#drawVersions(product).catch((error) => toast(`The versions could not be read: ${error.message}`));
  }

  /** What the product is in the other places; only the copy knows of them. */
  async #drawVersions({ conflicts = [] }) {
    const wanted = conflicts.join();
    if (wanted === this.#drawnVersions) return;
    this.#drawnVersions = wanted;
    const versions = conflicts.length ? await this.#data.versions(this.#id) : [];
    if (wanted !== this.#drawnVersions) return;
    this.#versions.hidden = versions.length < 2;
    fill(this.#versions, versions.length > 1 && drawVersions(versions, (chosen) => this.#on.settle(versions, chosen)));
  }

  /** Opens the form for price, reorder level and pack. */
  edit() {
    const product = this.#shop.products.get(this.#id);
    const form = new Edit(product, { save: this.#on.edit, close: () => this.#showForm(null) });
    this.#showForm(form);
    form.focus();
  }

  #showForm(form) {
    fill(this.#editing, form?.element);
    this.#editing.hidden = form === null;
    this.#factsLine.hidden = form !== null;
    if (form === null) this.#factsLine.querySelector("button").focus();
  }

  #drawHistory() {
    let after = this.#shop.stock(this.#id);
    fill(
      this.#history,
      this.#movements.map((movement) => {
        const balance = after;
        after -= movement.quantity;
        return h(
          "tr",
          {},
          h("td", { class: "history-when", title: exact(movement.at) }, when(movement.at)),
          h("td", { class: "history-reason" }, reasonName(movement.reason), movement.note && h("span", { class: "history-note" }, movement.note)),
          h("td", { class: movement.quantity < 0 ? "history-quantity" : "history-quantity plus" }, signed(movement.quantity)),
          h("td", { class: "history-balance" }, number(balance)),
        );
      }),
    );
    if (!this.#movements.length) fill(this.#history, h("tr", {}, h("td", { class: "hint" }, "Nothing has moved yet.")));
  }

  #drawSupplier(supplier) {
    if (!supplier) {
      fill(this.#supplier, h("p", { class: "hint" }, "None is named."));
      return;
    }
    const contact = [supplier.ContactName, supplier.ContactTitle].filter(Boolean).join(", ");
    const telephone = (supplier.Phone ?? "").replace(/[^\d+]/g, "");
    fill(
      this.#supplier,
      h("p", {}, h("strong", {}, supplier.CompanyName)),
      contact && h("p", {}, contact),
      h("p", {}, [supplier.City, supplier.Country].filter(Boolean).join(", ")),
      supplier.Phone && h("p", {}, h("a", { href: `tel:${telephone}` }, supplier.Phone)),
    );
  }

  /** Opens the booking form by keyboard. */
  book(kind) {
    this.#booking.start(kind);
  }

  /** Moves the focus to the panel's heading, when the panel covers the list. */
  focus() {
    this.#title.focus();
  }
}
