// How a page gets its token, keeps it, and gives it up.
//
// `localsrv open` starts the browser at an address ending in `#code=…`. The code works once and for two
// minutes; it is swapped here for a token that is good for this origin alone. The token stays in this origin's
// storage and travels as a header: no cookie carries authority, since cookies are sent to every port.
//
// The token ends 90 days after the page last asked to keep it, which it does once a day while it is used. It stays
// the same meanwhile, so every window of the page may hold it. `kit/pairing.js` is for a page that has none.

/** Where the token is kept: other windows see it change. */
export const KEY = "localsrv.token";
const KEPT = "localsrv.kept";
const DAY_MS = 24 * 3600 * 1000;
const LOOK_MS = 3600 * 1000;

/** The token, or null when the person has to run `localsrv open` first, or to allow what the page asks for. */
export async function signIn() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) {
    // The code leaves the address at once, so that it reaches neither history nor a bookmark.
    history.replaceState(null, "", location.pathname + location.search);
    const response = await fetch("/api/v1/exchange", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ code }),
    });
    if (response.ok) store((await response.json()).token);
  }
  const token = localStorage.getItem(KEY);
  if (token) keep();
  // Whoever opens the address with a code in the window that has none yet only changes what stands behind the #.
  else addEventListener("hashchange", () => location.hash.includes("code=") && location.reload());
  return token;
}

/** Stores a token that the page got in another way; it lasts as one from a code does. */
export function store(token) {
  localStorage.setItem(KEY, token);
  localStorage.setItem(KEPT, String(Date.now()));
}

/** Forgets the token, when the server no longer takes it. */
export function signOut() {
  localStorage.removeItem(KEY);
  localStorage.removeItem(KEPT);
}

/** Closes the session: the token ends here, in every other window, and on the server. */
export async function closeSession() {
  const token = localStorage.getItem(KEY);
  signOut();
  if (token) await api(token, "DELETE", "/api/v1/session");
}

let isKeeping = false;

/** Asks once a day to keep the token, for as long as the page is open. */
function keep() {
  if (isKeeping) return;
  isKeeping = true;
  renew();
  setInterval(renew, LOOK_MS);
  document.addEventListener("visibilitychange", renew);
}

async function renew() {
  const token = localStorage.getItem(KEY);
  const kept = Number(localStorage.getItem(KEPT));
  // A clock that was set back must not stop it for long.
  if (!token || document.hidden || Math.abs(Date.now() - kept) < DAY_MS) return;
  localStorage.setItem(KEPT, String(Date.now())); // at once: other windows look too
  try {
    await api(token, "POST", "/api/v1/session");
  } catch {
    localStorage.setItem(KEPT, String(kept)); // the server is away, or takes it no longer: the page will see
  }
}

/** An answer of `/api/v1` that was no success: `status`, and the server's `code` and `hint`. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body?.message ?? `The server answered ${status}`);
    this.status = status;
    this.code = body?.code ?? null;
    this.hint = body?.hint ?? null;
  }
}

/** Calls the server: `api(token, "POST", "/api/v1/…", {…})` → the JSON it answers. Throws ApiError. */
export async function api(token, method, path, body = undefined, headers = {}) {
  const response = await fetch(path, {
    method,
    headers: {
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  let parsed = null;
  try {
    parsed = text ? JSON.parse(text) : null;
  } catch {
    parsed = null;
  }
  if (!response.ok) throw new ApiError(response.status, parsed);
  return parsed;
}
