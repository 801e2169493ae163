// Where the person is: `#/`, `#/import`, `#/~<room>?…` for what is about trust, `#/<app>`,
// `#/<app>/<collection>?…` or `#/<app>/<collection>/connect`. No app's id begins with `~`.

/** The rooms about trust, as the rail lists them. */
export const TRUST = { requests: "Requests", grants: "Grants", secrets: "Secrets", integrations: "Integrations", audit: "Audit" };

/** The place that the address names: `{room, app, collection, query}`. */
export function here() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [app = "", collection = "", tab = ""] = path.split("/").map(decoded);
  const query = new URLSearchParams(search);
  if (!app) return { room: "home", app: null, collection: null, query };
  if (app === "import") return { room: "import", app: null, collection: null, query };
  if (app.startsWith("~")) return { room: Object.hasOwn(TRUST, app.slice(1)) ? app.slice(1) : "nowhere", app: null, collection: null, query };
  if (!collection) return { room: "app", app, collection: null, query };
  return { room: tab === "connect" ? "connect" : "rows", app, collection, query };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that somebody typed
  }
}

/** The address of a place in this page. */
export function address(app = "", collection = "", tab = "", query = null) {
  const path = [app, collection, tab].filter(Boolean).map(encodeURIComponent).join("/");
  return `#/${path}${query && query.size ? `?${query}` : ""}`;
}

/** The address of a room about trust. */
export const roomAddress = (room, query = null) => `#/~${room}${query && query.size ? `?${query}` : ""}`;

/** Goes there; without `step` the browser's Back skips the place that is left. */
export function go(target, step = true) {
  if (target === location.hash) return;
  if (step) location.hash = target;
  else {
    history.replaceState(null, "", target);
    dispatchEvent(new HashChangeEvent("hashchange"));
  }
}
