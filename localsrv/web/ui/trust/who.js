// Who asks or has access: what they call themselves, and apart from it what is proven.

import { h, icon } from "/kit/dom.js";

/** A name that somebody chose: a text of its own, whatever it holds and whichever way it is written. */
export const given = (name) => h("bdi", { class: "given" }, name);

/** A name for a short message. */
export const brief = (name) => (name.length > 40 ? `${name.slice(0, 39)}…` : name);

/** The title of an app by its id; `*` is every app. */
export function appTitle(server, id) {
  if (id === "*") return "all apps";
  return server.app(id)?.title ?? id;
}

/** The app of ours whose own page an origin is; null for any other. */
function ownApp(server, origin) {
  return server.apps.find(({ url }) => new URL(url).origin === origin) ?? null;
}

/**
 * What is known of who asks: `{sign, what, subject, badge, isProven, text}`. `origin` is the page's, proven by the
 * browser; `answer_to` where the answer of a redirect goes; `sent_by` the page that sent the browser for somebody else.
 */
export function identity(server, { origin, answer_to: answerTo = null, sent_by: sentBy = null }) {
  if (origin === null) {
    const goes = answerTo ? ` The answer goes to ${answerTo}.` : "";
    const text = sentBy
      ? `Your browser was sent here by ${sentBy}, in the name of a program.${goes} Allow it only if you began this there.`
      : answerTo
        ? `Nothing proves its name.${goes} Allow it only if you just came from there.`
        : "Nothing proves its name: any program on this computer can call itself so. Allow it only if you just started it.";
    return { sign: "program", what: "A program", subject: null, badge: "Name not proven", isProven: false, text };
  }
  const own = server && (origin === location.origin ? { title: "localsrv’s first page" } : ownApp(server, origin));
  if (own) return { sign: "globe", what: `The own page of ${own.title ?? own.id}`, subject: origin, badge: "Address proven", isProven: true, text: "Your browser says that this very page asks." };
  const scheme = origin.split("://")[0];
  const what = scheme.endsWith("-extension") ? "A browser extension" : scheme.startsWith("http") ? "A web page" : "A window of an app";
  return { sign: "globe", what, subject: origin, badge: "Address proven", isProven: true, text: answerTo ? "The answer goes to this address and to no other." : "Your browser says that this address asks. The name is what the page calls itself." };
}

/** The identity as a block: kind, address, badge, and what that means. */
export function identityBlock(found) {
  return h(
    "div",
    { class: "identity" },
    icon(found.sign),
    h("div", {}, h("p", { class: "identity-what" }, h("strong", {}, found.what), h("span", { class: found.isProven ? "badge good" : "badge low" }, found.badge)), found.subject && h("p", {}, h("code", { class: "address" }, h("bdi", {}, found.subject))), h("p", { class: "hint" }, found.text)),
  );
}
