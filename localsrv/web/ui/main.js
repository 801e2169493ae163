// Starts the first page: session, rooms, dropped files.

import { copy, fill, h, toast } from "/kit/dom.js";
import { pairingBox } from "/kit/pairing.js";
import { signIn, signOut } from "/kit/session.js";
import { ConnectRoom } from "./connect.js";
import { closeDrawer } from "./drawer.js";
import { drawApp, drawHome } from "./home.js";
import { Importer } from "./importer.js";
import { go, here } from "./place.js";
import { drawRail } from "./rail.js";
import { RowsRoom } from "./rows.js";
import { Server } from "./server.js";

const element = (id) => document.getElementById(id);
const ROOMS = { rows: RowsRoom, connect: ConnectRoom };

class Page {
  #server;
  #importer;
  #room = null;
  #roomKey = null;

  constructor(token) {
    this.#server = new Server(token);
    this.#importer = new Importer(element("room"), this.#server, () => this.#refresh());
  }

  async start() {
    await this.#refresh();
    element("app").hidden = false;
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
    drawRail(element("rail"), this.#server, here(), (app) => this.#open(app));
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
    const title = this.#drawRoom(root, place);
    document.title = title ? `${title} – localsrv` : "localsrv";
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
      drawHome(root, this.#server, { choose: () => this.#choose(), open: (chosen) => this.#open(chosen) });
      return null;
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

const COMMAND = "localsrv open";

function showGate(reason) {
  element("app").hidden = true;
  const gate = element("gate");
  gate.hidden = false;
  fill(
    gate,
    h("img", { src: "/icon.svg", alt: "", width: 40, height: 40 }),
    h("h1", {}, reason),
    h("p", {}, "The server is running. It lets a browser in only when you, who own this computer, say so. Run this in a terminal:"),
    h("div", { class: "command" }, h("code", {}, COMMAND), h("button", { class: "button", type: "button", onClick: () => copy(COMMAND, "Command") }, "Copy")),
    h("p", { class: "hint" }, "It opens a new tab that is let in. This one can be closed then. Or let this one in:"),
    pairingBox({ name: "localsrv’s own page", scope: "admin", app: "*" }, () => location.reload()),
  );
}

function failed(error) {
  if (error.status === 401 || error.status === 403) {
    signOut();
    showGate("This browser is no longer let in");
  } else toast(error.message);
}

const token = await signIn();
if (token) await new Page(token).start().catch(failed);
else showGate("This browser is not let in yet");
