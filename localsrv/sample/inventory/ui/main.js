// Starts the page and holds it together: session, data, live feed or copy, and what is drawn when.

import { toast } from "/kit/dom.js";
import { ago, counted, exact, number, price, signed } from "/kit/format.js";
import { follow } from "/kit/live.js";
import { closeSession, signIn, signOut } from "/kit/session.js";
import * as address from "./address.js";
import { KeptPictures } from "./copy.js";
import { COLLECTIONS, Data } from "./data.js";
import { reasonName } from "./booking.js";
import { showGate } from "./gate.js";
import { bindKeys } from "./keys.js";
import { List } from "./list.js";
import * as offline from "./offline.js";
import { Overview } from "./overview.js";
import { ProductPanel } from "./panel.js";
import { Pictures } from "./pictures.js";
import { drawRail } from "./rail.js";
import { listed, Shop, VIEWS } from "./shop.js";
import { mayLose, Status } from "./status.js";
import { Sync } from "./sync.js";

const SEARCH_WAIT_MS = 60;
const CHANGES_WAIT_MS = 15;
const CLOCK_MS = 10_000;
const element = (id) => document.getElementById(id);

class Page {
  state = { ...address.read(), found: null };
  shop = new Shop();
  #token;
  #data;
  #copy;
  #sync = null;
  #status;
  #pictures;
  #list;
  #side = null;
  #shown = [];
  #early = [];
  #isLoaded = false;
  #isLive = false;
  #progress = null;
  #searches = 0;
  #searchTimer = null;
  #changesTimer = null;

  /** With a `copy` everything is read from it and written to it; without, the server is asked. */
  constructor(token, copy) {
    this.#token = token;
    this.#copy = copy;
    this.#data = copy ?? new Data(token);
    this.#pictures = copy ? new KeptPictures(copy) : new Pictures(token);
    this.#list = new List(this.shop, this.#pictures, {
      select: (id) => this.select(id, { enter: true }),
      sort: (sort, descending) => this.go({ sort, descending }),
    });
    this.#status = new Status({
      switch: (isWanted) => (isWanted ? this.#turnOn() : this.#turnOff()),
      pause: (isWanted) => this.#pause(isWanted),
      open: (id) => this.select(id, { enter: true }),
      close: () => this.#close(),
    });
    offline.watchOthers({ mode: () => location.reload(), pause: (isWanted) => this.#leaveAlone(isWanted) });
    if (copy) this.#workOnCopy();
    else this.#workOnServer();
  }

  #workOnServer() {
    follow("inventory", this.#token, COLLECTIONS, {
      ready: () => this.#load().catch((error) => this.#failed(error)),
      change: (event) => this.#changed(event),
      reset: () => location.reload(),
      refused: (error) => (error?.code === "collection-not-found" ? toast(error.message) : refuse()),
      state: (state) => this.#showLive(state),
    });
  }

  #workOnCopy() {
    this.#sync = new Sync(this.#copy, this.#token, {
      state: () => this.#showStatus(),
      refused: (error) => (error?.code === "collection-not-found" ? toast(error.message) : refuse()),
      online: () => offline.keepPage().catch((error) => console.info(`The page is not kept: ${error.message}`)),
    });
    this.#copy.follow({
      change: (event) => this.#changed(event),
      written: (collection) => this.#sync.wrote(collection),
    });
    this.#load().catch((error) => this.#failed(error));
    if (offline.isPaused()) this.#showStatus();
    else this.#sync.start();
  }

  /** Loads everything once the feed runs, so that no change falls between the two. */
  async #load() {
    const rows = await Promise.all(COLLECTIONS.map((name) => this.#data.all(name)));
    COLLECTIONS.forEach((name, i) => this.shop.put(name, rows[i]));
    this.shop.noteChange(await this.#data.changedAt());
    await this.#pictures.sign(this.shop.categories.keys());
    for (const event of this.#early.splice(0)) this.shop.apply(event);
    this.#isLoaded = true;
    this.#bind();
    await this.#find();
    await this.#sync?.count();
    element("app").dataset.ready = "true";
  }

  #failed(error) {
    if (error.status === 401 || error.status === 403) refuse();
    else toast(`The data could not be loaded: ${error.message}`, { label: "Try again", run: () => location.reload() });
  }

  #bind() {
    const search = element("search");
    search.value = this.state.text;
    search.addEventListener("input", () => {
      this.state.text = search.value;
      clearTimeout(this.#searchTimer);
      this.#searchTimer = setTimeout(() => this.#find(), SEARCH_WAIT_MS);
    });
    document.querySelector(".search").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#shown.length) this.#list.focus(this.#shown[0].ProductID);
    });
    addEventListener("popstate", () => {
      Object.assign(this.state, address.read());
      search.value = this.state.text;
      this.#find();
    });
    setInterval(() => this.#tick(), CLOCK_MS);
    bindKeys(this);
  }

  // ── what is shown ────────────────────────────────────────────────────────

  /** Changes the state and draws; `step` makes it an entry of the browser's history. */
  go(changes, step = true) {
    Object.assign(this.state, changes);
    address.write(this.state, step);
    this.draw();
  }

  /** Opens a product, or with null the overview. `enter` moves the focus into a panel that covers the list. */
  select(id, { enter = false, step = true } = {}) {
    if (id !== this.state.product) this.go({ product: id }, step);
    if (enter && id !== null && this.isNarrow()) this.#side.focus();
    if (id === null) this.#list.focus(this.lastProduct);
    else this.lastProduct = id;
  }

  /** Whether the panel covers the list. */
  isNarrow() {
    return matchMedia("(max-width: 68rem)").matches;
  }

  /** The next (1) or previous (-1) product of the list takes the focus, and the panel if it lies beside. */
  move(by) {
    if (!this.#shown.length) return;
    const from = this.#list.focused() ?? this.state.product;
    const at = this.#shown.findIndex((p) => p.ProductID === from);
    const next = this.#shown[Math.min(this.#shown.length - 1, Math.max(0, at + by))].ProductID;
    if (!this.isNarrow()) this.select(next, { step: false });
    this.#list.focus(next);
  }

  /** Opens the booking form of the chosen or focused product. */
  book(kind) {
    const id = this.#list.focused() ?? this.state.product;
    if (id === null) return;
    this.select(id);
    this.#side.book(kind);
  }

  /** Opens the form that changes the chosen or focused product. */
  edit() {
    const id = this.#list.focused() ?? this.state.product;
    if (id === null) return;
    this.select(id);
    this.#side.edit();
  }

  clearSearch() {
    element("search").value = "";
    this.state.text = "";
    this.#find();
  }

  async #find() {
    const text = this.state.text.trim();
    const turn = ++this.#searches;
    const found = /[\p{L}\p{N}]/u.test(text) ? await this.#data.search(text, this.shop).catch((e) => this.#failed(e)) : null;
    if (turn !== this.#searches) return; // a later search is under way
    this.state.found = found ?? null;
    address.write(this.state, false);
    this.draw();
  }

  draw() {
    const { shop, state } = this;
    if (state.product !== null && !shop.products.has(state.product)) state.product = null;
    this.#shown = listed(shop, state);
    drawRail(element("rail"), shop, state, this.#pictures, (choice) => this.go({ ...choice, sort: null, descending: false }));
    this.#list.draw(this.#shown, state);
    this.#drawHead();
    this.#drawSide();
    this.#tick();
  }

  #drawHead() {
    const { shop, state } = this;
    const category = shop.categories.get(state.category)?.CategoryName;
    const view = VIEWS[state.view].title;
    const searched = state.found !== null ? `“${state.text.trim()}”` : null;
    const place = category ? (state.view === "all" ? category : `${category}: ${view.toLowerCase()}`) : view;
    const isWithin = category || state.view !== "all";
    element("list-title").textContent = searched ? (isWithin ? `${searched} in ${place}` : searched) : place;
    const units = this.#shown.reduce((sum, p) => sum + shop.stock(p.ProductID), 0);
    const worth = this.#shown.reduce((sum, p) => sum + Math.max(0, shop.stock(p.ProductID)) * p.UnitPrice, 0);
    const low = this.#shown.filter((p) => shop.isLow(p)).length;
    const parts = [counted(this.#shown.length, "product"), counted(units, "unit"), `worth ${price(worth)}`];
    if (low && state.view !== "low") parts.push(`${number(low)} low`);
    element("list-summary").textContent = parts.join(" · ");
    const nothing = element("nothing");
    nothing.hidden = this.#shown.length > 0;
    nothing.textContent = searched
      ? `Nothing starts with ${searched}. Escape clears the search.`
      : state.view === "low"
        ? "Everything here is above its reorder level."
        : "There are no products here.";
  }

  #drawSide() {
    const id = this.state.product;
    const panel = element("panel");
    panel.classList.toggle("open", id !== null);
    if (this.#side && panel.dataset.shows === String(id)) {
      this.#side.update();
      return;
    }
    panel.dataset.shows = String(id);
    panel.scrollTop = 0;
    panel.setAttribute("aria-label", id === null ? "Overview" : "Product");
    if (id === null) {
      this.#side = new Overview(panel, this.shop, (chosen) => this.select(chosen, { enter: true }));
      this.#side.load(this.#data).catch((error) => this.#failed(error));
    } else {
      const on = {
        book: (movement) => this.#book(movement),
        edit: (changes) => this.#edit(id, changes),
        settle: (versions, chosen) => this.#settle(id, versions, chosen),
        close: () => this.select(null),
      };
      this.#side = new ProductPanel(panel, this.shop, this.#data, this.#pictures, id, on);
      this.#side.load().catch((error) => this.#failed(error));
    }
  }

  // ── changes ──────────────────────────────────────────────────────────────

  async #book(movement) {
    const row = await this.#data.book(movement);
    this.#apply([{ collection: "movements", id: row.id, deleted: false, row, at: row.at }]);
    const product = this.shop.products.get(movement.ProductID).ProductName;
    const amount = number(Math.abs(movement.quantity));
    toast(`${product}: ${amount} ${movement.quantity < 0 ? "out" : "in"}${this.#notYet()}`, {
      label: "Undo",
      run: () => this.#undo(row),
    });
  }

  /** Movements are never deleted: undoing one books the opposite. */
  async #undo(row) {
    const opposite = { ProductID: row.ProductID, quantity: -row.quantity, reason: "correction", note: `undoes ${row.reason}` };
    try {
      const undone = await this.#data.book(opposite);
      this.#apply([{ collection: "movements", id: undone.id, deleted: false, row: undone, at: undone.at }]);
      toast("Undone");
    } catch (error) {
      toast(`Not undone: ${error.message}`, { label: "Try again", run: () => this.#undo(row) });
    }
  }

  async #edit(id, changes) {
    this.#replace(id, await this.#data.edit(id, changes));
    toast(`${this.shop.products.get(id).ProductName}: saved${this.#notYet()}`);
  }

  /** Ends a conflict: what was chosen stays, in every place that is in step. */
  async #settle(id, versions, chosen) {
    await this.#copy.settle(versions, chosen);
    this.#replace(id, await this.#copy.product(id));
    toast(`${this.shop.products.get(id).ProductName}: one version now${this.#notYet()}`);
  }

  /** What is added to a message while the server is away: on a phone the sign is behind the product. */
  #notYet() {
    return this.#sync?.state === "offline" ? ", not sent yet" : "";
  }

  #replace(id, row) {
    this.#apply([{ collection: "products", id: String(id), deleted: false, row }]);
  }

  /** A change from elsewhere. Many come at once after a while offline: they are drawn together. */
  #changed(event) {
    this.#early.push(event);
    if (!this.#isLoaded) return;
    this.#changesTimer ??= setTimeout(() => {
      this.#changesTimer = null;
      this.#apply(this.#early.splice(0));
      this.#sync?.count();
    }, CHANGES_WAIT_MS);
  }

  #apply(events) {
    const flashing = new Set();
    for (const event of events) {
      const isKnown = event.collection === "movements" && this.shop.movements.has(event.id) && !event.deleted;
      const touched = this.shop.apply(event);
      if (event.collection === "movements") {
        if (event.deleted) this.#side?.removeMovement(event.id);
        else this.#side?.addMovement(event.row);
      }
      if (!isKnown) touched.forEach((id) => flashing.add(id));
    }
    this.draw();
    flashing.forEach((id) => this.#list.flash(id));
  }

  // ── in step with the server, or not ──────────────────────────────────────

  #showLive(state) {
    this.#isLive = state === "live";
    this.#showStatus();
  }

  #showStatus() {
    const sync = this.#sync;
    this.#status.show({
      mode: this.#progress !== null ? "copying" : sync ? "copy" : "online",
      isLive: this.#isLive,
      progress: this.#progress,
      state: sync?.state,
      isPaused: offline.isPaused(),
      at: sync?.at ?? null,
      problem: sync?.problem ?? null,
      waiting: (sync?.waiting ?? []).map((change) => this.#named(change)),
      conflicts: [...this.shop.products.values()]
        .filter(({ conflicts }) => conflicts)
        .map(({ ProductID, conflicts }) => this.#named({ id: ProductID }, `${conflicts.length + 1} versions`)),
    });
  }

  /** A change as people know it: the product, and what happened to it. */
  #named({ collection, id }, detail = "edited") {
    const movement = collection === "movements" ? this.shop.movements.get(id) : null;
    const product = movement ? movement.ProductID : Number(id);
    const title = this.shop.products.get(product)?.ProductName ?? id;
    return { product, title, detail: movement ? `${reasonName(movement.reason)} ${signed(movement.quantity)}` : detail };
  }

  #pause(isWanted) {
    offline.pause(isWanted);
    this.#leaveAlone(isWanted);
  }

  /** Ends what goes on with the server, or takes it up again. */
  #leaveAlone(isWanted) {
    if (isWanted) this.#sync.stop();
    else this.#sync.start();
    this.#showStatus();
  }

  async #turnOn() {
    const progress = (share) => {
      this.#progress = share;
      this.#showStatus();
    };
    progress(0);
    try {
      await offline.turnOn(this.#token, progress);
      location.reload();
    } catch (error) {
      this.#progress = null;
      this.#showStatus();
      if (error.status === 401) refuse();
      else toast(`The copy could not be made: ${error.message}`, { label: "Try again", run: () => this.#turnOn() });
    }
  }

  async #turnOff() {
    const count = this.#sync.waiting.length;
    if (count && !(await mayLose(count))) {
      this.#showStatus();
      return;
    }
    await this.#sync.stop();
    await offline.turnOff(this.#copy);
    location.reload();
  }

  /** Ends this browser's access. A copy for working offline stays where it is. */
  async #close() {
    showGate("The session is closed");
    try {
      await closeSession();
    } catch (error) {
      if (error.status !== 401) toast("This browser forgot its access. The server could not be told: end it under Grants.");
    }
  }

  #tick() {
    const changed = element("changed");
    const at = this.#copy ? null : this.shop.changedAt;
    changed.textContent = at ? `Changed ${ago(at)}` : "";
    changed.title = at ? `Last change: ${exact(at)}` : "";
    this.#pictures.renew(this.shop.categories.keys()).then(
      (isNew) => isNew && this.draw(),
      () => this.#showLive("waiting"),
    );
    this.#showStatus();
  }
}

function refuse() {
  if (!element("gate").hidden) return; // the person closed the session
  signOut();
  showGate("This page is no longer let in");
}

/** The copy, if this browser works on one; a copy that cannot be opened does not keep the page from the server. */
async function copyIfOn() {
  if (!offline.isOn()) return null;
  try {
    return await offline.openCopy();
  } catch (error) {
    toast(`The copy in this browser cannot be opened: ${error.message}`);
    return null;
  }
}

const token = await signIn();
if (token) {
  element("app").hidden = false;
  new Page(token, await copyIfOn());
} else showGate("This page has no access yet");
