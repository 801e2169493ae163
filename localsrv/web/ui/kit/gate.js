// What a page shows while it has no access: why, and the ways to get it. When access comes, the page goes on by itself.

import { copy, fill, h, icon } from "./dom.js";
import { askForAccess, isAsking } from "./pairing.js";
import { KEY } from "./session.js";

const WAITING = "Waiting for your decision.";
const AWAY = "The server does not answer. This page waits for it.";
/** How asking ended, by OAuth's word for it. */
const ENDS = {
  access_denied: "This was refused. Ask again if that was a mistake; after two refusals nobody is asked for an hour.",
  expired_token: "Nobody decided within ten minutes.",
  invalid_grant: "The request is not known any more.",
};

/**
 * Shows the gate in `#gate` and hides `#app`. The page is loaded anew when it was let in.
 *
 * `page` is `{name, command, scope, app}`: what the page calls itself, the command that opens it, and what it asks for
 * (`kit/pairing.js`). `title` says why there is no access.
 */
export function showGate(page, title = "This page has no access yet") {
  new Gate(page, title);
}

/** A command to copy into a terminal. */
export function command(text) {
  return h("div", { class: "command" }, h("code", {}, text), h("button", { class: "button", type: "button", "aria-label": `Copy ${text}`, onClick: () => copy(text, "Command") }, icon("copy"), "Copy"));
}

/** A code to compare, which a screen reader spells. */
export const spelled = (code) => h("strong", { class: "code-shown", role: "img", "aria-label": [...code].join(" ") }, code);

class Gate {
  #page;
  #ways = h("div", { class: "gate-ways" });
  #told = h("p", { class: "gate-told", role: "status" });
  #heading;

  constructor(page, title) {
    this.#page = page;
    this.#heading = h("h1", { tabindex: -1 }, title);
    const root = document.querySelector("#gate");
    document.querySelector("#app").hidden = true;
    root.hidden = false;
    fill(
      root,
      h("img", { src: "/icon.svg", alt: "", width: 40, height: 40 }),
      this.#heading,
      h("p", {}, "What it shows stays on this computer, and only you, who own the computer, can let a page in."),
      this.#told,
      this.#ways,
    );
    // Another window of this page was let in: its token counts here too.
    addEventListener("storage", ({ key, newValue }) => key === KEY && newValue && location.reload());
    if (isAsking()) this.#ask();
    else this.#offer();
  }

  #offer(problem = null) {
    this.#told.textContent = problem ?? "";
    this.#told.classList.toggle("error-text", problem !== null);
    const ask = h("button", { class: "button primary", type: "button", onClick: () => ((ask.disabled = true), this.#ask()) }, "Ask for access");
    fill(
      this.#ways,
      h("section", {}, ask, h("p", { class: "hint" }, "You get a code, and allow the request that shows the same one.")),
      h("section", {}, h("h2", {}, "Or open it from a terminal"), command(this.#page.command), h("p", { class: "hint" }, "A new tab opens that is let in. This one then goes on by itself.")),
    );
  }

  async #ask() {
    const stopping = new AbortController();
    let wasShown = false;
    const shown = (asked) => {
      wasShown = true;
      this.#drawWaiting(asked, stopping);
    };
    const away = (isAway) => this.#tell(isAway ? AWAY : WAITING);
    try {
      await askForAccess({ ...this.#page, shown, away, signal: stopping.signal });
      this.#tell("Allowed.");
      location.reload();
    } catch (error) {
      if (stopping.signal.aborted) this.#offer();
      else this.#offer(error instanceof TypeError ? "The server does not answer. Is it running?" : ((wasShown && ENDS[error.reason]) || error.message));
      this.#heading.focus();
    }
  }

  /** Says it once: a text that stays the same is not read out again. */
  #tell(text) {
    if (this.#told.textContent !== text) this.#told.textContent = text;
  }

  #drawWaiting({ code, address }, stopping) {
    this.#told.classList.remove("error-text");
    this.#tell(WAITING);
    const isFirstPage = new URL(address).origin === location.origin;
    fill(
      this.#ways,
      h("section", { class: "gate-code" }, h("h2", {}, "Its code"), spelled(code), h("p", { class: "hint" }, "Allow the request only if it shows this code.")),
      h("section", {}, h("h2", {}, "Allow it in a terminal"), command(`localsrv approve ${code}`)),
      h("section", {}, h("h2", {}, "Or on localsrv’s first page"), h("p", {}, isFirstPage ? "In a browser that is let in: choose Requests on the left." : h("a", { href: address, target: "_blank", rel: "noopener" }, "Open this request there"))),
      h("button", { class: "button", type: "button", onClick: () => stopping.abort() }, "Stop waiting"),
    );
  }
}
