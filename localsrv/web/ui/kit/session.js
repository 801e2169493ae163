// How a page gets its token, and keeps it.
//
// `localsrv open` starts the browser at an address ending in `#code=…`. The code works once and for two
// minutes; it is swapped here for a token that is good for this origin alone. The token stays in this origin's
// storage and travels as a header: no cookie carries authority, since cookies are sent to every port.

const KEY = "localsrv.token";

/** The token, or null when the person has to run `localsrv open` first. */
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
    if (response.ok) localStorage.setItem(KEY, (await response.json()).token);
  }
  return localStorage.getItem(KEY);
}

/** Forgets the token, when the server no longer takes it. */
export function signOut() {
  localStorage.removeItem(KEY);
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
      Authorization: `Bearer ${token}`,
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
