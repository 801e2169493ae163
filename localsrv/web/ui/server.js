// The server as this page sees it: one token, the admin API, and rows through the data face.

import { api, ApiError } from "/kit/session.js";

export class Server {
  status = null;
  token;
  /** The requests that wait, live; there once the page has started. */
  waiting = null;
  /** Called when the token is taken no more. */
  lost;

  constructor(token, lost = () => {}) {
    this.token = token;
    this.lost = lost;
  }

  /** Asks the admin API. Throws ApiError; with a token that ended, the page says so as well. */
  async call(method, path, body) {
    try {
      return await api(this.token, method, path, body);
    } catch (error) {
      if (error.status === 401) this.lost();
      throw error;
    }
  }

  /** Asks for the server's status, with every app and its collections. */
  async refresh() {
    this.status = await this.call("GET", "/api/v1/status");
    return this.status;
  }

  /** The apps by title; those that hold nothing yet come last. */
  get apps() {
    const titled = (app) => app.title ?? app.id;
    const isEmpty = (app) => app.collections.length === 0 && !app.has_ui;
    return [...this.status.apps].sort((a, b) => isEmpty(a) - isEmpty(b) || titled(a).localeCompare(titled(b)));
  }

  app(id) {
    return this.apps.find((app) => app.id === id) ?? null;
  }

  collection(appId, name) {
    return this.app(appId)?.collections.find((collection) => collection.name === name) ?? null;
  }

  /** The address of an app's page, with a one-time code that lets this browser in. */
  async pageAddress(appId) {
    return (await this.call("POST", "/api/v1/codes", { app: appId })).url;
  }

  makeKey(appId, name, scopes, origin) {
    return this.call("POST", "/api/v1/keys", { name, app: appId, scopes, origin });
  }

  /**
   * Rows of a collection: `query` is a PostgREST query string, `from` and `limit` the page. Returns the rows, each
   * as an object, and how many there are in all.
   */
  async rows(appId, collection, query, from, limit) {
    const search = new URLSearchParams(query);
    search.set("offset", from);
    search.set("limit", limit);
    const response = await fetch(`/apps/${appId}/rest/v1/${collection}?${search}`, {
      headers: { Authorization: `Bearer ${this.token}`, Prefer: "count=exact" },
    });
    const body = await response.json();
    // Past the end there are no rows; that is an answer, no error.
    if (response.status === 416) return { rows: [], total: from };
    if (!response.ok) throw new ApiError(response.status, body);
    const total = Number(response.headers.get("Content-Range")?.split("/")[1]);
    return { rows: body, total: Number.isNaN(total) ? from + body.length : total };
  }

  /** Sends a file; `progress(bytes)` is called while it goes. Returns the upload's id. */
  upload(file, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest(); // fetch does not tell how much was sent
      request.open("POST", `/api/v1/uploads?${new URLSearchParams({ name: file.name })}`);
      request.setRequestHeader("Authorization", `Bearer ${this.token}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.addEventListener("progress", (event) => progress(event.loaded));
      request.addEventListener("error", () => reject(new Error("The file could not be sent.")));
      request.addEventListener("load", () => {
        const body = parsed(request.responseText);
        if (request.status === 201) resolve(body.upload);
        else reject(new ApiError(request.status, body));
      });
      request.send(file);
    });
  }

  /**
   * Starts an import, or with `dry_run` only its mapping, and waits for its end; `progress(state)` is called while
   * it runs. `started(id)` tells the id, by which it can be cancelled. Throws what went wrong.
   */
  async import(request, progress, started = () => {}) {
    const { import: id } = await this.call("POST", "/api/v1/imports", request);
    started(id);
    for (let wait = 60; ; wait = Math.min(wait * 1.5, 500)) {
      const state = await this.call("GET", `/api/v1/imports/${id}`);
      progress(state);
      if (state.state === "done") return state;
      if (state.state === "failed") throw new ApiError(400, state.error);
      await new Promise((resume) => setTimeout(resume, wait));
    }
  }

  cancelImport(id) {
    return this.call("DELETE", `/api/v1/imports/${id}`);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
