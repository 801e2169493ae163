// The room of waiting requests: each with its decision, live.

import { fill, h, icon, toast } from "/kit/dom.js";
import { counted } from "/kit/format.js";
import { go, roomAddress } from "../place.js";
import { Decision } from "./decision.js";
import { roomHead } from "./room.js";
import { brief } from "./who.js";

export class RequestsRoom {
  #server;
  #cards = new Map();
  #list = h("div", { class: "decisions" });
  #summary = h("span", { role: "status" });
  #live = h("span", { class: "live" });
  #draw = () => this.update();

  constructor(root, server) {
    this.#server = server;
    fill(root, roomHead("Requests", [this.#summary], this.#live), h("div", { class: "room-body" }, this.#list));
    server.waiting.addEventListener("change", this.#draw);
    this.update();
  }

  end() {
    this.#server.waiting.removeEventListener("change", this.#draw);
    for (const card of this.#cards.values()) card.end();
  }

  /** Keeps the cards that stay, so that a choice which was begun is not lost. */
  update() {
    const { requests, isLive } = this.#server.waiting;
    this.#live.dataset.state = isLive ? "live" : "waiting";
    this.#live.textContent = isLive ? "Live" : "No connection";
    if (requests === null) {
      this.#say(isLive ? "" : "Asking the server…");
      return;
    }
    this.#say(requests.length ? `${counted(requests.length, "request")} ${requests.length === 1 ? "waits" : "wait"} for you` : "Nothing waits for you");
    const ids = new Set(requests.map(({ id }) => id));
    const before = [...this.#cards.keys()];
    for (const id of before) if (!ids.has(id)) this.#drop(id);
    for (const request of requests) if (!this.#cards.has(request.id)) this.#add(request);
    if (before.some((id) => !ids.has(id))) for (const card of this.#cards.values()) card.arm();
    this.#list.querySelector(".calm")?.remove();
    if (!requests.length) this.#list.append(quiet());
  }

  #say(text) {
    if (this.#summary.textContent !== text) this.#summary.textContent = text;
  }

  #add(request) {
    const card = new Decision(this.#server, request, (what, answer) => this.#decided(what, answer));
    this.#cards.set(request.id, card);
    this.#list.append(card.element);
  }

  #drop(id) {
    const card = this.#cards.get(id);
    const hadFocus = card.element.contains(document.activeElement);
    this.#cards.delete(id);
    card.end();
    card.element.remove();
    if (hadFocus) (this.#cards.values().next().value?.element.querySelector("h3") ?? document.querySelector("#room")).focus();
  }

  #decided(what, answer) {
    if (what === "approve") toast(`Allowed: ${brief(answer.name)}${answer.once ? ", for an hour" : ""}`, { label: "Grants", run: () => go(roomAddress("grants")) });
    else toast(`Refused: ${brief(answer.name)}${answer.muted ? ". It is not heard for an hour" : ""}`);
  }
}

function quiet() {
  return h(
    "div",
    { class: "calm" },
    icon("check"),
    h("h3", {}, "Nobody asks for access"),
    h("p", {}, "When a program or a web page wants to use your data, it appears here: who it says it is, what is proven of that, and what it wants. Nothing gets in before you allow it."),
    h("p", { class: "hint" }, "In a terminal: ", h("code", {}, "localsrv requests")),
  );
}
