// A request by its code: typed by the person, or brought by the address.

import { fill, h } from "/kit/dom.js";
import { Decision } from "/trust/decision.js";
import { Waiting } from "/trust/waiting.js";
import { brief } from "/trust/who.js";
import { drawHowTo } from "./howto.js";

const plain = (code) => code.toUpperCase().replace(/[^\p{L}\p{N}]/gu, "");
/** "bcdf ghjk" → "BCDF-GHJK" */
const shaped = (code) => plain(code).slice(0, 8).replace(/^(.{4})(.+)$/, "$1-$2");

export class CodePage {
  #root;
  #server;
  #waiting;
  #code;
  #card = null;
  #shown = null;

  /** `server` is null in a browser that may not decide. */
  constructor(root, server, code) {
    this.#root = root;
    this.#server = server;
    this.#code = plain(code);
    if (server === null) {
      drawHowTo(root, this.#code ? shaped(this.#code) : null);
      return;
    }
    fill(root, h("p", { class: "loading", role: "status" }, "Looking for the request…"));
    this.#waiting = new Waiting(server.token);
    this.#waiting.addEventListener("change", () => this.#changed());
    this.#waiting.addEventListener("refused", () => drawHowTo(root, shaped(this.#code)));
  }

  #changed() {
    const { requests } = this.#waiting;
    if (requests === null || this.#card?.isDeciding) return;
    const found = this.#code ? (requests.find(({ code }) => code !== null && plain(code) === this.#code) ?? null) : null;
    if (this.#card && !found) {
      this.#end("This request does not wait any more", "It was decided elsewhere, or ran out.");
    } else if (found && this.#shown !== found.id) this.#draw(found);
    else if (!found && this.#shown === null) this.#drawForm();
  }

  #drawForm() {
    const input = h("input", { class: "input code-input", id: "code", required: true, value: shaped(this.#code), placeholder: "BCDF-GHJK", maxlength: 20, autocomplete: "off", autocapitalize: "characters", spellcheck: "false", "aria-describedby": "code-told" });
    const told = this.#code ? "No request with this code waits. Compare it with what the program shows; after ten minutes it begins anew." : "";
    const form = h("form", { class: "code-form" }, h("div", { class: "field" }, h("label", { for: "code" }, "Code"), input), h("button", { class: "button primary", type: "submit" }, "Go on"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#code = plain(input.value);
      this.#shown = null;
      this.#changed();
    });
    this.#shown = "form";
    fill(this.#root, h("h1", {}, "A program asks for access"), h("p", {}, "Type the code that it shows. Nothing is given before you have seen who asks for what, and said yes."), form, h("p", { class: "error-text", id: "code-told", role: "alert" }, told));
    input.focus();
  }

  #draw(request) {
    this.#shown = request.id;
    this.#card = new Decision(this.#server, request, (what, answer) => this.#decided(what, answer));
    fill(this.#root, h("h1", { class: "visually-hidden" }, "A request for access"), this.#card.element);
    this.#card.focus();
  }

  #decided(what, answer) {
    this.#card.end();
    this.#card = null;
    const name = brief(answer.name);
    if (what === "approve") this.#end(`“${name}” is let in`, answer.once ? "For an hour. Go back to it: it goes on by itself." : "Go back to it: it goes on by itself. Under Grants you can end this at any time.");
    else this.#end(`“${name}” is refused`, answer.muted ? "It was refused twice, so it is not heard for an hour." : "Nothing was given.");
  }

  #end(title, text) {
    this.#card?.end();
    this.#card = null;
    this.#shown = "end";
    const heading = h("h1", { tabindex: -1 }, h("bdi", {}, title));
    fill(this.#root, heading, h("p", { role: "status" }, text), h("p", {}, h("a", { href: "/#/~grants" }, "Who has access")));
    heading.focus();
  }
}
