// A request that came by redirect: this browser waits for the decision, wherever that is made, and then goes where the
// answer goes.

import { fill, h } from "/kit/dom.js";
import { api } from "/kit/session.js";
import { Decision } from "/trust/decision.js";
import { inWords, sorted } from "/trust/scopes.js";
import { brief, given, identity, identityBlock } from "/trust/who.js";
import { drawHowTo } from "./howto.js";

const WAIT_S = 25;
const AGAIN_MS = 1500;
/** Schemes that would run something here instead of leading elsewhere. */
const UNSAFE = /^(?:javascript|data|vbscript|blob|file|about|view-source):/i;

const TITLES = { approved: "is let in", refused: "is refused", expired: "has waited too long", done: "was answered already" };

export class TicketPage {
  #root;
  #server;
  #ticket;
  #ended;
  #card = null;

  /** `ended()` is called when the ticket is worth nothing any more. */
  constructor(root, server, ticket, ended) {
    this.#root = root;
    this.#server = server;
    this.#ticket = ticket;
    this.#ended = ended;
    fill(root, h("p", { class: "loading", role: "status" }, "Looking for the request…"));
    this.#follow();
  }

  async #follow() {
    for (let wait = 0; ; wait = WAIT_S) {
      try {
        const request = await api(null, "POST", "/api/v1/ticket", { ticket: this.#ticket, wait });
        if (request.status !== "waiting") {
          this.#leave(request);
          return;
        }
        if (wait === 0) this.#draw(request);
      } catch (error) {
        if (error.status === 404) {
          this.#ended();
          this.#say("This request is not known any more", "Go back to the program and begin again. Nothing was given.");
          return;
        }
        await new Promise((resume) => setTimeout(resume, AGAIN_MS)); // the server is away, or busy
      }
    }
  }

  #draw(request) {
    if (this.#server === null) {
      drawHowTo(this.#root, request.id, [h("h2", { class: "asked" }, "“", given(request.name), "” asks for access"), identityBlock(identity(null, request)), h("p", {}, request.app ? ["In the app ", h("code", {}, request.app), " it wants to"] : "It wants to"), h("ul", { class: "words" }, sorted(request.scopes).map((scope) => h("li", {}, inWords(scope))))]);
      return;
    }
    this.#card = new Decision(this.#server, request, () => {});
    fill(this.#root, h("h1", { class: "visually-hidden" }, "A request for access"), this.#card.element);
    this.#card.focus();
  }

  /** Goes where the answer goes. A program's own scheme may leave this page standing, so that a link stays. */
  #leave({ status, name, redirect_to: to }) {
    this.#card?.end();
    this.#ended();
    const isSafe = to !== null && !UNSAFE.test(to);
    this.#say(`“${brief(name)}” ${TITLES[status]}`, isSafe ? "You are taken back to it." : "You can close this page.", isSafe && h("p", {}, h("a", { href: to, rel: "noreferrer" }, "Go back to it")));
    if (isSafe) location.replace(to);
  }

  #say(title, text, more = null) {
    const heading = h("h1", { tabindex: -1 }, h("bdi", {}, title));
    fill(this.#root, heading, h("p", { role: "status" }, text), more);
    heading.focus();
  }
}
