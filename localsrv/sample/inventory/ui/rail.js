// The left side: views and categories, each with its count.

import { fill, h } from "/kit/dom.js";
import { number } from "/kit/format.js";
import { VIEWS } from "./shop.js";

/** Draws the rail; `choose({view, category})` is called with what a person picks. */
export function drawRail(root, shop, state, pictures, choose) {
  const focused = document.activeElement?.dataset?.rail;
  const products = [...shop.products.values()];
  const views = Object.entries(VIEWS).map(([view, { title, holds }]) => {
    const count = products.filter((p) => holds(shop, p)).length;
    const isCurrent = state.view === view && state.category === null;
    return entry(`view-${view}`, title, count, isCurrent, { low: view === "low" && count > 0 }, () =>
      choose({ view, category: null }),
    );
  });
  const view = state.view === "ended" ? "all" : state.view;
  const categories = [...shop.categories.values()].map((category) => {
    const own = products.filter((p) => p.CategoryID === category.CategoryID && VIEWS[view].holds(shop, p));
    const url = pictures.url(category.CategoryID);
    const picture = url ? h("img", { src: url, alt: "", width: 36, height: 24 }) : h("span", { class: "no-picture" });
    return entry(
      `category-${category.CategoryID}`,
      category.CategoryName,
      own.length,
      state.category === category.CategoryID,
      { picture, hint: category.Description },
      () => choose({ view, category: state.category === category.CategoryID ? null : category.CategoryID }),
    );
  });
  fill(
    root,
    h("ul", { class: "rail-views" }, views),
    h("h2", { class: "rail-title" }, view === "low" ? "Low stock by category" : "Categories"),
    h("ul", { class: "rail-categories" }, categories),
  );
  if (focused) root.querySelector(`[data-rail="${focused}"]`)?.focus();
}

function entry(key, title, count, isCurrent, { picture = null, hint = null, low = false }, run) {
  return h(
    "li",
    {},
    h(
      "button",
      {
        type: "button",
        class: "rail-entry",
        dataset: { rail: key },
        title: hint,
        "aria-current": isCurrent ? "true" : null,
        onClick: run,
      },
      picture,
      h("span", { class: "rail-name" }, title),
      h("span", { class: low ? "rail-count badge low" : "rail-count" }, number(count)),
    ),
  );
}
