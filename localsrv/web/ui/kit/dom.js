// Elements without a framework: `h` makes them, `icon` draws, `toast` tells.

/**
 * Makes an element. Properties that start with `on` are listeners; `class`, `dataset` and ARIA names are set as
 * attributes; `null`, `undefined` and `false` set nothing. Children may be nested lists; text is always text.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2).toLowerCase(), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child);
  }
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Makes an SVG element; a picture of data is drawn with these. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  append(element, children);
  return element;
}

const ICONS = {
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14",
  close: "m4 4 8 8m0-8-8 8",
  back: "M10 3 5 8l5 5",
  next: "m6 3 5 5-5 5",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  in: "M8 2v8m-3-3 3 3 3-3M2.5 12v1.5h11V12",
  out: "M8 10V2M5 5l3-3 3 3M2.5 12v1.5h11V12",
  count: "m3 8 3 3 7-7",
  up: "m4 10 4-4 4 4",
  down: "m4 6 4 4 4-4",
  copy: "M6 6h7v7H6zM3 10V3h7",
  key: "M5.5 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm2.2-5.2L13 2.5m-2 2 2 2",
  file: "M4 2h5l3 3v9H4zM9 2v3h3",
  table: "M2 3h12v10H2zM2 6.5h12M6 6.5V13",
  home: "M2.5 7 8 2.5 13.5 7v6.5h-11z",
  open: "M9 3h4v4m0-4L7 9M6 4H3v9h9v-3",
  filter: "M2 4h12M4.5 8h7M7 12h2",
  ask: "M2.5 3h11v8H8l-3 2.5V11H2.5zM6 6.2a2 2 0 1 1 2.6 1.7c-.4.2-.6.5-.6.9",
  shield: "M8 2l5 2v4c0 3-2 5-5 6.2C5 13 3 11 3 8V4z",
  lock: "M3.5 7h9v6.5h-9zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
  plug: "M5.5 2v3M10.5 2v3M3.5 5h9v2a4.5 4.5 0 0 1-9 0zM8 11.5V14",
  log: "M3 3.5h1M6.5 3.5H13M3 8h1M6.5 8H13M3 12.5h1M6.5 12.5H13",
  leave: "M6.5 3h-4v10h4M10 5l3 3-3 3M13 8H6",
  check: "m3 8.5 3.2 3L13 4.5",
  warn: "M8 2.5 14.5 13.5h-13zM8 6.5v3.2M8 11.6v.1",
  globe: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM2 8h12M8 2c2 1.7 2.6 3.7 2.6 6S10 12.3 8 14C6 12.3 5.4 10.3 5.4 8S6 3.7 8 2Z",
  program: "M2 3h12v10H2zM4.5 6.5 6.5 8l-2 1.5M8 10h3",
};

/** A drawn sign, hidden from screen readers: the text beside it says the same. */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

const TOAST_MS = 7000;

/** A short message at the bottom, read out by screen readers; `action` is `{label, run}`. */
export function toast(message, action = null) {
  let region = document.querySelector(".toasts");
  if (!region) {
    region = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    document.body.append(region);
  }
  const box = h("div", { class: "toast" }, h("p", {}, message));
  if (action) {
    const button = h("button", { type: "button" }, action.label);
    button.addEventListener("click", () => {
      box.remove();
      action.run();
    });
    box.append(button);
  }
  region.replaceChildren(box);
  const timer = setTimeout(() => box.remove(), TOAST_MS);
  box.addEventListener("pointerenter", () => clearTimeout(timer));
}

/** Copies a text and says so; `what` names it ("Snippet"). */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    toast("The browser did not allow copying: select the text and copy it yourself");
  }
}
