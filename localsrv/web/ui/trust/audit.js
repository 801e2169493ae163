// The room of the audit log: what happened around trust, newest first.

import { fill, h, icon, toast } from "/kit/dom.js";
import { counted, exact, when } from "/kit/format.js";
import { go, roomAddress } from "../place.js";
import { EVENTS, toneOf } from "./events.js";
import { loading, problem, roomHead } from "./room.js";
import { appTitle } from "./who.js";

const PAGE = 50;

export class AuditRoom {
  #server;
  #place;
  #body = h("tbody", { role: "rowgroup" });
  #list = h("div", {});
  #more = h("div", { class: "actions" });
  #event;
  #load;

  constructor(root, server, place) {
    this.#server = server;
    this.#place = place;
    this.#event = h("select", { class: "input", id: "audit-event", onChange: () => this.#choose() }, h("option", { value: "" }, "Everything"), Object.entries(EVENTS).map(([event, [name]]) => h("option", { value: event }, name)));
    const save = h("button", { class: "button", type: "button", onClick: () => this.#save() }, icon("in"), "Export");
    const filter = h("div", { class: "field audit-filter" }, h("label", { for: "audit-event" }, "Show"), this.#event);
    fill(root, roomHead("Audit", ["What happened around trust, newest first. It never holds a token or a secret."], save), h("div", { class: "room-body" }, filter, this.#list, this.#more));
    this.#event.value = this.#filter;
    this.#load = loading(this.#list, () => this.#page(), (page) => this.#draw(page));
  }

  end() {}

  update(place) {
    this.#place = place;
    this.#event.value = this.#filter;
    this.#load();
  }

  get #filter() {
    const event = this.#place.query.get("event") ?? "";
    return Object.hasOwn(EVENTS, event) ? event : "";
  }

  #choose() {
    go(roomAddress("audit", new URLSearchParams(this.#event.value ? { event: this.#event.value } : {})));
  }

  #page(before = null) {
    const query = new URLSearchParams({ limit: PAGE, ...(this.#filter ? { event: this.#filter } : {}), ...(before === null ? {} : { before }) });
    return this.#server.call("GET", `/api/v1/audit?${query}`);
  }

  #draw({ entries, next }) {
    if (!entries.length) {
      fill(this.#more);
      fill(this.#list, h("p", { class: "nothing" }, this.#filter ? "This has not happened yet." : "Nothing has happened yet."));
      return;
    }
    const head = ["When", "What", "Who", "About"].map((text) => h("th", { scope: "col", role: "columnheader" }, text));
    fill(this.#body, entries.map((entry) => this.#row(entry)));
    fill(this.#list, h("div", { class: "table-scroll" }, h("table", { class: "plain log", role: "table" }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)), this.#body)));
    this.#drawMore(next);
  }

  #drawMore(next) {
    fill(this.#more, next !== null && h("button", { class: "button", type: "button", onClick: () => this.#older(next) }, "Older"));
  }

  async #older(before) {
    try {
      const { entries, next } = await this.#page(before);
      const first = entries.map((entry) => this.#body.appendChild(this.#row(entry)))[0];
      this.#drawMore(next);
      if (first) {
        first.tabIndex = -1;
        first.focus();
      }
    } catch (error) {
      toast(problem(error));
    }
  }

  #row(entry) {
    const [name, text] = EVENTS[entry.event] ?? [entry.event, ""];
    const details = Object.entries(entry.details).map(([key, value]) => `${key}: ${value}`);
    // A request's subject is what the asker calls itself.
    const asker = entry.event.startsWith("request-") ? entry.subject : null;
    const who = entry.who ?? asker ?? entry.origin;
    const subject = asker ? null : entry.subject;
    const about = [entry.app && ["in ", h("strong", {}, appTitle(this.#server, entry.app))], subject && h("bdi", {}, subject), details.length > 0 && h("span", { class: "under" }, h("bdi", {}, details.join(", ")))].filter(Boolean);
    // The roles stay when a narrow window shows the rows as blocks.
    return h(
      "tr",
      { role: "row" },
      h("td", { role: "cell", title: exact(entry.at) }, h("time", { datetime: entry.at }, when(entry.at)), entry.count > 1 && h("span", { class: "under" }, counted(entry.count, "time"))),
      h("td", { role: "cell", title: text }, h("span", { class: `tone ${toneOf(entry.event)}` }, name)),
      h("td", { role: "cell", class: `wrap${who ? "" : " empty"}` }, entry.who && h("bdi", {}, entry.who), asker && h("span", {}, "“", h("bdi", {}, asker), "”"), entry.origin && h("code", { class: "under" }, h("bdi", {}, entry.origin)), !who && "–"),
      h("td", { role: "cell", class: `wrap${about.length ? "" : " empty"}` }, about.length ? about.map((part, i) => [i > 0 && " ", part]) : "–"),
    );
  }

  /** The whole log as a file; a link could not send the token. */
  async #save() {
    const query = this.#filter ? `?${new URLSearchParams({ event: this.#filter })}` : "";
    try {
      const answer = await fetch(`/api/v1/audit/export${query}`, { headers: { Authorization: `Bearer ${this.#server.token}` } });
      if (!answer.ok) throw new Error(`The server answered ${answer.status}`);
      const url = URL.createObjectURL(await answer.blob());
      h("a", { href: url, download: "localsrv-audit.ndjson" }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      toast(`Not exported: ${error.message}`);
    }
  }
}
