// What the page shows is in its address, so that reload, bookmarks and Back work.

import { SORTS, VIEWS } from "./shop.js";

/** The state that the address names; anything odd in it falls back to the start. */
export function read() {
  const query = new URLSearchParams(location.search);
  const id = (name) => (/^\d+$/.test(query.get(name) ?? "") ? Number(query.get(name)) : null);
  const view = query.get("view");
  const sort = query.get("sort");
  return {
    text: query.get("q") ?? "",
    view: Object.hasOwn(VIEWS, view) ? view : "all",
    category: id("category"),
    product: id("product"),
    sort: Object.hasOwn(SORTS, sort) ? sort : null,
    descending: query.get("order") === "desc",
  };
}

/** Writes the state; `step` makes it an entry that Back returns to. */
export function write(state, step) {
  const query = new URLSearchParams();
  if (state.text) query.set("q", state.text);
  if (state.view !== "all") query.set("view", state.view);
  if (state.category !== null) query.set("category", state.category);
  if (state.product !== null) query.set("product", state.product);
  if (state.sort !== null) query.set("sort", state.sort);
  if (state.sort !== null && state.descending) query.set("order", "desc");
  const search = query.size ? `?${query}` : "";
  if (search === location.search) return;
  history[step ? "pushState" : "replaceState"](null, "", location.pathname + search);
}
