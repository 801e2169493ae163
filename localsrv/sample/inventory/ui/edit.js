// The form that changes what a product is: its price, its reorder level, its pack.

import { h } from "/kit/dom.js";

/** The fields that can be changed: how they are named, read and checked. `read` gives undefined for what is no value. */
export const FIELDS = {
  UnitPrice: { title: "Price", attributes: { inputmode: "decimal" }, read: readPrice, wrong: "a price such as 12.50" },
  ReorderLevel: { title: "Reorder at", attributes: { inputmode: "numeric" }, read: readWhole, wrong: "a whole number" },
  QuantityPerUnit: { title: "Pack", attributes: { maxlength: 80 }, read: (text) => text || null, wrong: "" },
};

function readPrice(text) {
  return /^\d{1,7}([.,]\d{1,4})?$/.test(text) ? Number(text.replace(",", ".")) : undefined;
}

function readWhole(text) {
  return /^\d{0,6}$/.test(text) ? Number(text) : undefined;
}

/** The form for one product. `save(changes)` is awaited with the fields that changed; what it throws is shown. */
export class Edit {
  #product;
  #save;
  #close;
  #inputs;
  #outcome = h("p", { class: "error-text", id: "edit-outcome", "aria-live": "polite" });
  element;

  constructor(product, { save, close }) {
    this.#product = product;
    this.#save = save;
    this.#close = close;
    this.#inputs = Object.entries(FIELDS).map(([field, { attributes }]) =>
      h("input", { id: `edit-${field}`, class: "input", autocomplete: "off", ...attributes, value: product[field] ?? "" }),
    );
    this.element = h(
      "form",
      { class: "edit", "aria-label": "Edit the product", novalidate: true, onSubmit: (event) => this.#send(event) },
      Object.values(FIELDS).map(({ title }, i) =>
        h("div", { class: "field" }, h("label", { for: this.#inputs[i].id }, title), this.#inputs[i]),
      ),
      this.#outcome,
      h(
        "div",
        { class: "edit-buttons" },
        h("button", { class: "button primary", type: "submit" }, "Save"),
        h("button", { class: "button", type: "button", onClick: close }, "Cancel"),
      ),
    );
  }

  focus() {
    this.#inputs[0].focus();
    this.#inputs[0].select();
  }

  async #send(event) {
    event.preventDefault();
    const changes = {};
    for (const [i, [field, { title, read, wrong }]] of Object.entries(FIELDS).entries()) {
      const input = this.#inputs[i];
      const value = read(input.value.trim());
      input.setAttribute("aria-invalid", String(value === undefined));
      if (value === undefined) {
        this.#outcome.textContent = `${title}: enter ${wrong}.`;
        input.focus();
        return;
      }
      // A field that was left alone is not sent: somebody else may be changing it.
      if (input.value.trim() !== String(this.#product[field] ?? "")) changes[field] = value;
    }
    try {
      if (Object.keys(changes).length) await this.#save(changes);
      this.#close();
    } catch (error) {
      this.#outcome.textContent = `Not saved: ${error.message}`;
    }
  }
}
