// The form that books a movement: in, out, or a count that corrects the stock.

import { fill, h, icon } from "/kit/dom.js";
import { number } from "/kit/format.js";

/** Reasons by kind; the first is the usual one. */
const REASONS = {
  in: ["delivery", "return", "found"],
  out: ["sale", "damaged", "expired", "own use"],
};
const NAMES = { in: "Book in", out: "Book out", count: "Set the count" };

/** How a reason is written to people. */
export const reasonName = (reason) => reason.charAt(0).toUpperCase() + reason.slice(1);

/** The form for one product. `book({quantity, reason, note})` is awaited; what it throws is shown. */
export class Booking {
  #kind = "in";
  #stock;
  #reorder;
  #book;
  #quantity = h("input", {
    id: "quantity",
    class: "input quantity",
    type: "number",
    inputmode: "numeric",
    step: 1,
    required: true,
    value: "1",
  });
  #reason = h("select", { id: "reason", class: "input" });
  #reasonField = h("div", { class: "field" }, h("label", { for: "reason" }, "Reason"), this.#reason);
  #note = h("input", { id: "note", class: "input", type: "text", maxlength: 200, placeholder: "Optional", autocomplete: "off" });
  #outcome = h("p", { class: "booking-outcome", id: "outcome", "aria-live": "polite" });
  #submit = h("button", { class: "button primary", type: "submit" });
  #label = h("label", { for: "quantity" }, "Quantity");
  element;

  constructor({ stock, reorder, book }) {
    this.#stock = stock;
    this.#reorder = reorder ?? 0;
    this.#book = book;
    this.#quantity.setAttribute("aria-describedby", "outcome");
    this.#quantity.addEventListener("input", () => this.#draw());
    this.element = h(
      "form",
      { class: "booking", "aria-label": "Book a movement", novalidate: true, onSubmit: (event) => this.#send(event) },
      h(
        "fieldset",
        { class: "segments" },
        h("legend", { class: "visually-hidden" }, "Kind of movement"),
        Object.entries({ in: "In", out: "Out", count: "Count" }).map(([kind, title]) =>
          h(
            "label",
            {},
            h("input", {
              type: "radio",
              name: "kind",
              value: kind,
              checked: kind === this.#kind,
              onChange: () => this.choose(kind),
            }),
            icon(kind),
            title,
          ),
        ),
      ),
      h(
        "div",
        { class: "booking-fields" },
        h(
          "div",
          { class: "field" },
          this.#label,
          h("div", { class: "stepper" }, this.#step(-1), this.#quantity, this.#step(1)),
        ),
        this.#reasonField,
        h("div", { class: "field wide" }, h("label", { for: "note" }, "Note"), this.#note),
      ),
      this.#outcome,
      this.#submit,
    );
    this.choose("in");
  }

  #step(by) {
    return h(
      "button",
      {
        type: "button",
        class: "button square",
        "aria-label": by < 0 ? "One less" : "One more",
        onClick: () => {
          const least = this.#kind === "count" ? 0 : 1;
          this.#quantity.value = Math.max(least, (this.#entered() ?? 0) + by);
          this.#draw();
        },
      },
      icon(by < 0 ? "minus" : "plus"),
    );
  }

  /** Switches to "in", "out" or "count". */
  choose(kind) {
    this.#kind = kind;
    this.element.querySelector(`[name=kind][value=${kind}]`).checked = true;
    this.#label.textContent = kind === "count" ? "Counted" : "Quantity";
    this.#quantity.value = kind === "count" ? Math.max(0, this.#stock) : "1";
    this.#quantity.min = kind === "count" ? 0 : 1;
    this.#reasonField.hidden = kind === "count";
    fill(this.#reason, (REASONS[kind] ?? []).map((reason) => h("option", { value: reason }, reasonName(reason))));
    this.#draw();
  }

  /** Switches and moves the focus to the quantity, for a keyboard shortcut. */
  start(kind) {
    this.choose(kind);
    this.#quantity.focus();
    this.#quantity.select();
  }

  /** The stock changed elsewhere: what the form says follows, what was typed stays. */
  setStock(stock, reorder) {
    this.#stock = stock;
    this.#reorder = reorder ?? 0;
    this.#draw();
  }

  #entered() {
    const value = this.#quantity.value.trim();
    return /^\d{1,9}$/.test(value) ? Number(value) : null;
  }

  /** The signed quantity to book, or null while what was typed is no amount. */
  #delta() {
    const entered = this.#entered();
    if (entered === null) return null;
    if (this.#kind === "count") return entered - this.#stock;
    return entered === 0 ? null : this.#kind === "in" ? entered : -entered;
  }

  #draw() {
    const delta = this.#delta();
    const after = this.#stock + (delta ?? 0);
    const isShort = delta !== null && delta < 0 && after < 0;
    const isInvalid = delta === null && this.#quantity.value !== "";
    this.#quantity.setAttribute("aria-invalid", String(isInvalid));
    this.#submit.disabled = delta === null || delta === 0;
    this.#submit.className = isShort ? "button caution" : "button primary";
    const amount = delta === null ? "" : ` ${number(Math.abs(delta))}`;
    this.#submit.textContent =
      this.#kind === "count" ? NAMES.count : `${NAMES[this.#kind]}${amount}${isShort ? " anyway" : ""}`;
    this.#outcome.className = isInvalid ? "booking-outcome error-text" : "booking-outcome";
    this.#outcome.textContent = isInvalid ? "Enter a whole number, 1 or more." : this.#consequence(delta, after);
  }

  #consequence(delta, after) {
    if (delta === null) return "";
    if (delta === 0) return "As booked: nothing to correct.";
    const change = `${number(this.#stock)} → ${number(after)}`;
    if (after < 0) return `${change}: more than there is. Better enter a count first?`;
    if (this.#reorder && after <= this.#reorder) return `${change}, at or below the reorder level of ${this.#reorder}`;
    return change;
  }

  async #send(event) {
    event.preventDefault();
    const delta = this.#delta();
    if (!delta) return;
    this.#submit.disabled = true;
    const reason = this.#kind === "count" ? "count" : this.#reason.value;
    try {
      await this.#book({ quantity: delta, reason, note: this.#note.value.trim() || null });
      this.#note.value = "";
      this.choose(this.#kind);
    } catch (error) {
      this.#draw();
      this.#outcome.className = "booking-outcome error-text";
      this.#outcome.textContent = `Not booked: ${error.message}`;
    }
  }
}
