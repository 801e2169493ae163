// Where the person decides about one request: by the code that a program shows, or because a program or page sent the
// browser here, with a ticket that leads back. What asks is shown as it calls itself, and apart from that as what it is.

import { copy, fill, h } from "/kit/dom.js";
import { api, signIn } from "/kit/session.js";

const WAIT_S = 25;
const TICKET = "localsrv.ticket";
const root = document.querySelector("#pair");

const ENDS = {
  approved: ["Allowed", "Go back to what asked: it goes on there. You can close this page."],
  refused: ["Refused", "It was told so. You can close this page."],
  expired: ["Too late", "This request has ended. Begin again where you came from."],
  done: ["Done", "You can close this page."],
};

/** The ticket of the address, which leaves it at once, or the one of this window before it was loaded again. */
function takeTicket() {
  const found = new URLSearchParams(location.hash.slice(1)).get("ticket");
  if (found) {
    history.replaceState(null, "", location.pathname);
    sessionStorage.setItem(TICKET, found);
  }
  return sessionStorage.getItem(TICKET);
}

const ticket = takeTicket();
const token = await signIn();

if (ticket) await byTicket();
else await byCode(new URLSearchParams(location.search).get("user_code") ?? "");

// ── sent here by a program or a page ───────────────────────────────────────

async function byTicket() {
  let request;
  try {
    request = await api(null, "POST", "/api/v1/ticket", { ticket });
  } catch (error) {
    sessionStorage.removeItem(TICKET);
    say("This request is over", error.message);
    return;
  }
  if (request.status === "waiting") {
    if (token) await draw(request);
    else drawWithoutToken(request, request.id);
  }
  // Whoever decides, here, in another window or in a terminal: this window goes back with the answer.
  while (request.status === "waiting") {
    try {
      request = await api(null, "POST", "/api/v1/ticket", { ticket, wait: WAIT_S });
    } catch (error) {
      if (error.status === 404) return;
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
  sessionStorage.removeItem(TICKET);
  say(...ENDS[request.status]);
  if (request.redirect_to) location.replace(request.redirect_to);
}

// ── by the code that a program shows ───────────────────────────────────────

async function byCode(code) {
  if (!token) {
    drawWithoutToken(null, code || "CODE");
    return;
  }
  if (!code) {
    askForCode();
    return;
  }
  try {
    const plain = (text) => text.toUpperCase().replace(/[^A-Z0-9]/g, "");
    const { requests } = await api(token, "GET", "/api/v1/requests");
    const found = requests.find((request) => request.code && plain(request.code) === plain(code));
    if (found) await draw(found);
    else askForCode("No request with this code waits. Compare it with what the program shows.");
  } catch (error) {
    askForCode(error.message);
  }
}

function askForCode(note = null) {
  const input = h("input", { class: "input", id: "code", name: "user_code", autocomplete: "off", spellcheck: "false", autocapitalize: "characters", placeholder: "BCDF-GHJK" });
  const form = h("form", { class: "pairing" }, h("label", { for: "code" }, "The code that the program shows"), input, h("button", { class: "button primary" }, "Go on"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    byCode(input.value);
  });
  fill(root, h("h1", {}, "Let a program in"), note && h("p", { class: "error-text" }, note), form);
  input.focus();
}

// ── deciding ───────────────────────────────────────────────────────────────

async function draw(request) {
  const apps = request.app ? [] : (await api(token, "GET", "/api/v1/apps")).apps;
  const note = h("p", { class: "error-text", role: "alert" });
  const choice = apps.length === 0 ? null : h("select", { class: "input", id: "app" }, apps.map(({ id, title }) => h("option", { value: id }, title ?? id)), h("option", { value: "*" }, "all apps"));
  const boxes = request.scopes.map((scope) => h("input", { type: "checkbox", value: scope, checked: true }));

  async function decide(what, once = false) {
    const scopes = boxes.filter((box) => box.checked).map((box) => box.value);
    const body = what === "refuse" ? undefined : { scopes, once, ...(choice ? { app: choice.value } : {}) };
    try {
      const { status } = await api(token, "POST", `/api/v1/requests/${encodeURIComponent(request.id)}/${what}`, body);
      if (!ticket) say(...ENDS[status]);
    } catch (error) {
      note.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    }
  }

  fill(
    root,
    h("h1", {}, "Let it in?"),
    described(request),
    choice && h("div", { class: "field" }, h("label", { for: "app" }, "In which app"), choice),
    h("p", {}, "It wants to:"),
    h("ul", {}, request.words.map((words) => h("li", {}, words))),
    h("details", {}, h("summary", {}, "Allow less"), request.scopes.map((scope, i) => h("label", { class: "check" }, boxes[i], h("code", {}, scope)))),
    note,
    h(
      "p",
      { class: "pairing-actions" },
      h("button", { class: "button primary", type: "button", onClick: () => decide("approve") }, "Allow"),
      h("button", { class: "button", type: "button", onClick: () => decide("approve", true) }, "Allow once, for an hour"),
      h("button", { class: "button", type: "button", onClick: () => decide("refuse") }, "Refuse"),
    ),
  );
}

/** What it calls itself, and apart from that what the browser says it is. */
function described(request) {
  const rows = [
    ["Calls itself", request.name],
    ["It is", request.origin ? h("span", {}, "the page ", h("strong", {}, request.origin)) : "a program on this computer; nothing proves which"],
    request.answer_to && ["The answer goes to", request.answer_to],
    request.app && ["App", request.app],
    request.code && ["Code", h("span", {}, h("strong", {}, request.code), ", which the program must show too")],
  ];
  return h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** This browser may not decide: it says how to, and waits. */
function drawWithoutToken(request, code) {
  const command = `localsrv approve ${code}`;
  fill(
    root,
    h("h1", {}, "Let it in?"),
    request && described(request),
    request && h("ul", {}, request.words.map((words) => h("li", {}, words))),
    h("p", {}, "This browser is not let in itself, so it cannot decide. Look at the request with ", h("code", {}, "localsrv requests"), " in a terminal, and allow it with:"),
    h("div", { class: "command" }, h("code", {}, command), h("button", { class: "button", type: "button", onClick: () => copy(command, "Command") }, "Copy")),
    h("p", { class: "hint" }, "Or run ", h("code", {}, "localsrv open"), " first, and load this page again."),
  );
}

function say(title, text) {
  fill(root, h("h1", {}, title), h("p", {}, text));
}
