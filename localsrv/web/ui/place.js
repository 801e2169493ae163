// Where the person is: `#/`, `#/import`, `#/<app>`, `#/<app>/<collection>?…` or `#/<app>/<collection>/connect`.

/** The place that the address names: `{room, app, collection, query}`. */
export function here() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [app = "", collection = "", tab = ""] = path.split("/").map(decodeURIComponent);
  const query = new URLSearchParams(search);
  if (!app) return { room: "home", app: null, collection: null, query };
  if (app === "import") return { room: "import", app: null, collection: null, query };
  if (!collection) return { room: "app", app, collection: null, query };
  return { room: tab === "connect" ? "connect" : "rows", app, collection, query };
}

/** The address of a place in this page. */
export function address(app = "", collection = "", tab = "", query = null) {
  const path = [app, collection, tab].filter(Boolean).map(encodeURIComponent).join("/");
  return `#/${path}${query && query.size ? `?${query}` : ""}`;
}

/** Goes there; without `step` the browser's Back skips the place that is left. */
export function go(target, step = true) {
  if (target === location.hash) return;
  if (step) location.hash = target;
  else {
    history.replaceState(null, "", target);
    dispatchEvent(new HashChangeEvent("hashchange"));
  }
}
