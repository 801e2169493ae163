// Connecting a program to a collection: a key made on the spot, and a snippet with it.

import { copy, fill, h, icon } from "/kit/dom.js";
import { head } from "./rows.js";
import { curl, javascript, python } from "./snippets.js";

const LANGUAGES = { "supabase-js": javascript, Python: python, curl };
const PLACEHOLDER = "lsk_YOUR_KEY";

export class ConnectRoom {
  #server;
  #place;
  #app;
  #collection;
  #language = "supabase-js";
  #keys = new Map();
  #canWrite = false;
  #code = h("code");
  #keyLine = h("div", { class: "key-line", "aria-live": "polite" });
  #origin = h("input", { class: "input", id: "origin", type: "url", placeholder: "http://localhost:5173", autocomplete: "off", spellcheck: "false", onInput: () => this.#draw() });

  constructor(root, server, place) {
    this.#server = server;
    this.#place = place;
    this.#app = server.app(place.app);
    this.#collection = server.collection(place.app, place.collection);
    fill(root, head(server, place), h("div", { class: "room-body connect" }, this.#choices(), this.#keyLine, this.#snippet()));
    this.#draw();
  }

  end() {}

  update() {}

  #choices() {
    return h(
      "div",
      { class: "connect-choices" },
      segments("Language", "language", Object.keys(LANGUAGES), this.#language, (language) => {
        this.#language = language;
        this.#draw();
      }),
      segments("The key may", "access", ["Read", "Read and write"], "Read", (access) => {
        this.#canWrite = access !== "Read";
        this.#draw();
      }),
      h("div", { class: "field" }, h("label", { for: "origin" }, "For a web page: its address"), this.#origin),
    );
  }

  #snippet() {
    return h(
      "div",
      { class: "snippet" },
      h("button", { class: "button", type: "button", onClick: () => copy(this.#code.textContent, "Snippet") }, icon("copy"), "Copy"),
      h("pre", { tabindex: 0, "aria-label": "Snippet" }, this.#code),
    );
  }

  /** The address that alone may use the key from a browser; null when it is for programs. */
  get #boundTo() {
    return this.#origin.value.trim().replace(/\/$/, "") || null;
  }

  get #choice() {
    return JSON.stringify([this.#canWrite, this.#boundTo]);
  }

  get #token() {
    return this.#keys.get(this.#choice) ?? null;
  }

  #draw() {
    const { name, definition } = this.#collection;
    const described = { name, fields: definition.fields ?? {}, key: definition.key };
    const token = this.#token ?? PLACEHOLDER;
    const text = LANGUAGES[this.#language](this.#app.path_url, token, described, this.#canWrite);
    const [before, ...after] = text.split(token);
    fill(this.#code, before, ...after.flatMap((part) => [h("mark", { class: this.#token ? "key" : "key missing" }, token), part]));
    const user = this.#boundTo === null ? "a program" : ["the page at ", h("code", {}, this.#boundTo)];
    if (this.#token) {
      fill(this.#keyLine, h("span", { class: "badge good" }, "Key made"), h("p", {}, "It is for ", user, ", is in the snippet and shown only now. ", h("code", {}, "localsrv key list"), " shows and ", h("code", {}, "localsrv key revoke"), " ends it."));
    } else {
      fill(
        this.#keyLine,
        h("button", { class: "button primary", type: "button", onClick: () => this.#make() }, icon("key"), "Make a key"),
        h("p", {}, "The snippet needs one. It opens ", h("strong", {}, name), " alone, ", this.#canWrite ? "for reading and writing" : "for reading", ", to ", user, "."),
      );
    }
  }

  async #make() {
    const { name } = this.#collection;
    const canWrite = this.#canWrite;
    const choice = this.#choice;
    const scopes = canWrite ? [`${name}:read`, `${name}:write`] : [`${name}:read`];
    try {
      const made = await this.#server.makeKey(this.#place.app, `${name}, ${canWrite ? "read and write" : "read"}, made on the first page`, scopes, this.#boundTo);
      this.#keys.set(choice, made.token);
      this.#draw();
    } catch (error) {
      fill(this.#keyLine, h("button", { class: "button primary", type: "button", onClick: () => this.#make() }, icon("key"), "Make a key"), h("p", { class: "error-text" }, [error.message, error.hint].filter(Boolean).join(" ")));
    }
  }
}

function segments(title, name, options, current, choose) {
  return h(
    "fieldset",
    { class: "field" },
    h("legend", { class: "label" }, title),
    h(
      "div",
      { class: "segments" },
      options.map((option) => h("label", {}, h("input", { type: "radio", name, value: option, checked: option === current, onChange: () => choose(option) }), option)),
    ),
  );
}
