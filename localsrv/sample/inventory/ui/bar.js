// A stock bar: how many there are, with a mark at the reorder level, on one scale for all products.

import { h } from "/kit/dom.js";

/** The bar's element; `setBar` gives it its values. It only repeats what stands beside it as a number. */
export const makeBar = () =>
  h("span", { class: "bar", "aria-hidden": "true" }, h("span", { class: "bar-fill" }), h("span", { class: "bar-mark" }));

/** Shows `stock` of `scale`, with the mark at `reorder` (none at 0), coloured by `level`. */
export function setBar(bar, { stock, reorder, scale, level }) {
  const share = (value) => `${Math.min(100, Math.max(0, (100 * value) / scale))}%`;
  bar.dataset.level = level;
  // Properties set by script pass the page's Content-Security-Policy, which refuses style attributes.
  bar.firstChild.style.width = share(stock);
  bar.lastChild.style.left = share(reorder);
  bar.lastChild.hidden = !reorder;
}
