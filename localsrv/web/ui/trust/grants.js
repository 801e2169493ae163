// The room of grants: everyone who has access, and its end.

import { copy, fill, h, icon, toast } from "/kit/dom.js";
import { ago, counted, exact, when } from "/kit/format.js";
import { makeKey } from "./keymaker.js";
import { confirm, loading, roomHead } from "./room.js";
import { appTitle, brief, given } from "./who.js";

const KINDS = { paired: "Paired", page: "Page", key: "Key", publishable: "Publishable key" };
const FILTERS = { all: "All", paired: "Paired", page: "Pages", key: "Keys" };

export class GrantsRoom {
  #server;
  #grants = [];
  #public = new Map();
  #own = null;
  #kind = "all";
  #summary = h("span", { role: "status" });
  #list = h("div", {});
  #load;

  constructor(root, server) {
    this.#server = server;
    const make = h("button", { class: "button primary", type: "button", onClick: () => this.#make() }, icon("key"), "Make a key");
    fill(root, roomHead("Grants", [this.#summary], make), h("div", { class: "room-body" }, this.#filter(), this.#list));
    this.#load = loading(this.#list, () => this.#ask(), () => this.#draw());
  }

  end() {}

  update() {
    this.#load();
  }

  async #ask() {
    const [{ grants }, { keys }, own] = await Promise.all(["/api/v1/grants", "/api/v1/keys", "/api/v1/session"].map((path) => this.#server.call("GET", path)));
    this.#grants = grants.sort((a, b) => (b.last_used_at ?? b.created_at).localeCompare(a.last_used_at ?? a.created_at));
    this.#public = new Map(keys.filter(({ token }) => token).map(({ id, token }) => [id, token]));
    this.#own = own.id;
  }

  #filter() {
    const choose = (kind) => {
      this.#kind = kind;
      this.#draw();
    };
    return h(
      "fieldset",
      { class: "segments narrow", "aria-label": "Which grants" },
      Object.entries(FILTERS).map(([kind, name]) => h("label", {}, h("input", { type: "radio", name: "kind", value: kind, checked: kind === this.#kind, onChange: () => choose(kind) }), name)),
    );
  }

  #draw() {
    const isShown = ({ kind }) => this.#kind === "all" || kind === this.#kind || (this.#kind === "key" && kind === "publishable");
    const shown = this.#grants.filter(isShown);
    this.#summary.textContent = `${counted(this.#grants.length, "grant")} ${this.#grants.length === 1 ? "has" : "have"} access`;
    fill(this.#list, shown.length ? h("ul", { class: "entries" }, shown.map((grant) => this.#entry(grant))) : h("p", { class: "nothing" }, this.#kind === "all" ? "Nobody has access but you." : "None of these."));
  }

  #entry(grant) {
    const isOwn = grant.id === this.#own;
    const end = h("button", { class: "button", type: "button", "aria-label": `End the access of ${brief(grant.name)}`, onClick: () => this.#end(grant, isOwn) }, "End");
    const token = this.#public.get(grant.id);
    return h(
      "li",
      { class: "entry", dataset: { grant: grant.id } },
      h(
        "div",
        { class: "entry-main" },
        h("h3", {}, given(grant.name), " ", h("span", { class: "badge" }, KINDS[grant.kind] ?? grant.kind), isOwn && h("span", { class: "badge good" }, "This page")),
        h("p", { class: "entry-under" }, whose(grant), " · ", h("code", {}, grant.id)),
      ),
      h("div", { class: "entry-may" }, h("p", {}, "In ", h("strong", {}, appTitle(this.#server, grant.app)), " it may"), h("ul", {}, grant.words.map((words) => h("li", {}, words)))),
      h("dl", { class: "entry-times" }, time("Made", grant.created_at), time("Last used", grant.last_used_at, "never"), time("Ends", grant.expires_at, "when you end it", when)),
      h("div", { class: "entry-actions" }, token && h("button", { class: "button", type: "button", "aria-label": `Copy the key ${brief(grant.name)}`, onClick: () => copy(token, "Key") }, icon("copy"), "Copy"), end),
    );
  }

  async #end(grant, isOwn) {
    const text = isOwn ? "This is the page that you are looking at. It closes, and has to be let in again." : ["“", given(grant.name), "” is not heard any more, and what it has open closes at once. It can ask again."];
    const isDone = await confirm("End this access?", text, "End it", () => this.#server.call("DELETE", `/api/v1/grants/${grant.id}`));
    if (!isDone) return;
    if (isOwn) {
      this.#server.lost();
      return;
    }
    toast(`${brief(grant.name)} has no access any more`);
    this.#load();
  }

  async #make() {
    if (await makeKey(this.#server)) this.#load();
  }
}

/** Which page or program it is for. */
function whose({ kind, origin, program }) {
  if (origin) return ["Only from ", h("code", {}, h("bdi", {}, origin))];
  if (kind === "publishable") return "Only from the app’s own pages";
  return program ? "A program, by the name it gave itself" : "For whoever holds it";
}

function time(name, at, none = "–", shown = ago) {
  return h("div", {}, h("dt", {}, name), h("dd", at ? { title: exact(at) } : {}, at ? shown(at) : none));
}
