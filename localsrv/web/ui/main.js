// Starts the first page: session, rooms, dropped files.

import { fill, h, toast } from "/kit/dom.js";
import { showGate } from "/kit/gate.js";
import { closeSession, signIn, signOut } from "/kit/session.js";
import { ConnectRoom } from "./connect.js";
import { closeDrawer } from "./drawer.js";
import { drawApp, drawHome } from "./home.js";
import { Importer } from "./importer.js";
import { go, here, roomAddress, TRUST } from "./place.js";
import { drawRail } from "./rail.js";
import { RowsRoom } from "./rows.js";
import { Server } from "./server.js";
import { AuditRoom } from "./trust/audit.js";
import { GrantsRoom } from "./trust/grants.js";
import { IntegrationsRoom } from "./trust/integrations.js";
import { RequestsRoom } from "./trust/requests.js";
import { SecretsRoom } from "./trust/secrets.js";
import { Waiting } from "./trust/waiting.js";
import { brief } from "./trust/who.js";

const element = (id) => document.getElementById(id);
const ROOMS = {
  rows: RowsRoom,
  connect: ConnectRoom,
  requests: RequestsRoom,
  grants: GrantsRoom,
  secrets: SecretsRoom,
  integrations: IntegrationsRoom,
  audit: AuditRoom,
};
/** What the page asks for when it has no access. */
const GATE = { name: "localsrv’s own page", command: "localsrv open", scope: "admin", app: "*" };

class Page {
  #server;
  #importer;
  #room = null;
  #roomKey = null;
  #title = null;
  #announced = null;

  constructor(token) {
    this.#server = new Server(token, refused);
    this.#importer = new Importer(element("room"), this.#server, () => this.#refresh());
  }

  async start() {
    await this.#refresh();
    element("app").hidden = false;
    this.#server.waiting = new Waiting(this.#server.token);
    this.#server.waiting.addEventListener("change", () => this.#announce());
    this.#server.waiting.addEventListener("refused", refused);
    addEventListener("hashchange", () => this.#draw());
    addEventListener("focus", () => this.#refresh().then(() => this.#drawCounts(), failed));
    element("choose-file").addEventListener("click", () => this.#choose());
    element("file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.#take(target.files[0]);
      target.value = "";
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && closeDrawer() && event.preventDefault());
    this.#bindDrop();
    this.#draw();
  }

  async #refresh() {
    const status = await this.#server.refresh();
    element("server").textContent = `${new URL(status.url).host} · ${status.version}`;
    this.#drawRail();
  }

  #drawRail() {
    if (!this.#server.waiting) return;
    drawRail(element("rail"), this.#server, here(), { open: (app) => this.#open(app), close: () => this.#close() });
  }

  /** Says that somebody asks, wherever the person is: in the rail, in the title, and once in a message. */
  #announce() {
    const { requests, count } = this.#server.waiting;
    this.#drawRail();
    this.#drawTitle();
    if (here().room === "home") this.#draw();
    const badge = element("waiting");
    badge.hidden = count === 0;
    badge.textContent = count === 1 ? "1 request" : `${count} requests`;
    const known = this.#announced;
    this.#announced = new Set(requests?.map(({ id }) => id));
    const fresh = (requests ?? []).filter(({ id }) => known !== null && !known.has(id));
    if (!fresh.length || here().room === "requests") return;
    toast(`“${brief(fresh.at(-1).name)}” asks for access`, { label: "Look", run: () => go(roomAddress("requests")) });
  }

  #drawTitle() {
    const { count } = this.#server.waiting;
    document.title = `${count ? `(${count}) ` : ""}${this.#title ? `${this.#title} – ` : ""}localsrv`;
  }

  /** Ends this browser's access, after which the page has to be let in again. */
  async #close() {
    closeDrawer();
    showGate(GATE, "The session is closed");
    try {
      await closeSession();
    } catch (error) {
      if (error.status !== 401) toast("This browser forgot its access. The server could not be told: end it under Grants.");
    }
  }

  #drawCounts() {
    if (here().room === "home" || here().room === "app") this.#draw();
  }

  #draw() {
    const place = here();
    closeDrawer();
    this.#drawRail();
    const root = element("room");
    const key = `${place.room}/${place.app}/${place.collection}`;
    if (this.#room && key === this.#roomKey) {
      this.#room.update(place);
      return;
    }
    this.#room?.end();
    this.#room = null;
    this.#roomKey = key;
    this.#title = this.#drawRoom(root, place);
    this.#drawTitle();
    root.scrollTop = 0;
  }

  /** Draws the place and returns its title. */
  #drawRoom(root, place) {
    const app = place.app && this.#server.app(place.app);
    if (place.room === "import") {
      if (!this.#importer.hasFile) this.#importer.drawEmpty(() => this.#choose());
      return "Import";
    }
    if (place.room === "home") {
      drawHome(root, this.#server, { choose: () => this.#choose(), open: (chosen) => this.#open(chosen), close: () => this.#close() });
      return null;
    }
    if (Object.hasOwn(TRUST, place.room)) {
      this.#room = new ROOMS[place.room](root, this.#server, place);
      return TRUST[place.room];
    }
    if (!app || (place.collection && !this.#server.collection(place.app, place.collection))) {
      fill(root, h("p", { class: "nothing" }, "This is not here any more. ", h("a", { href: "#/" }, "Overview")));
      return "Not found";
    }
    if (place.room === "app") {
      drawApp(root, this.#server, app, (chosen) => this.#open(chosen));
      return app.title ?? app.id;
    }
    this.#room = new ROOMS[place.room](root, this.#server, place);
    return place.collection;
  }

  /** Opens an app's page in a new tab, let in by a one-time code. */
  async #open(app) {
    const tab = window.open("about:blank", "_blank"); // at once, or the browser takes it for a pop-up
    try {
      const url = await this.#server.pageAddress(app.id);
      if (tab) tab.location = url;
      else location.assign(url);
    } catch (error) {
      tab?.close();
      failed(error);
    }
  }

  #choose() {
    element("file").click();
  }

  #take(file) {
    go("#/import");
    // The address changes first, and with it the room; the file then fills it.
    setTimeout(() => this.#importer.start(file), 0);
  }

  #bindDrop() {
    const cover = element("drop");
    const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    addEventListener("dragenter", (event) => hasFiles(event) && (cover.hidden = false));
    addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    addEventListener("dragleave", (event) => event.relatedTarget === null && (cover.hidden = true));
    addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      cover.hidden = true;
      const files = [...event.dataTransfer.files];
      if (files.length > 1) toast("One file at a time: this takes the first");
      if (files.length) this.#take(files[0]);
    });
  }
}

function refused() {
  if (!element("gate").hidden) return; // the person closed the session, or it was said already
  signOut();
  showGate(GATE, "This page is no longer let in");
}

function failed(error) {
  if (error.status === 401) refused();
  else toast(error.status ? error.message : "The server does not answer");
}

const token = await signIn();
if (token) await new Page(token).start().catch(unreachable);
else showGate(GATE);

/** Nothing could be shown at all. */
function unreachable(error) {
  if (error.status === 401 || error.status === 403) refused();
  else {
    const again = h("button", { class: "button primary", type: "button", onClick: () => location.reload() }, "Try again");
    const gate = element("gate");
    gate.hidden = false;
    fill(gate, h("h1", {}, "The server does not answer"), h("p", { role: "alert" }, error.status ? error.message : "It may be stopped. Start it with ", !error.status && h("code", {}, "localsrv serve"), !error.status && "."), again);
  }
}
