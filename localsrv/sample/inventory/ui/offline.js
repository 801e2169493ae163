// Whether this browser works on a copy of its own, and how it comes to one and gets rid of it.

import { Copy } from "./copy.js";
import { Sync } from "./sync.js";

const MODE = "inventory.offline";
const PAUSED = "inventory.paused";
const WORKER = "/sw.js";

/** Whether the page works on the copy. It begins once the copy is whole. */
export const isOn = () => localStorage.getItem(MODE) === "on";

/** Whether a person wants the server to be left alone for now. */
export const isPaused = () => localStorage.getItem(PAUSED) === "on";

export function pause(isWanted) {
  if (isWanted) localStorage.setItem(PAUSED, "on");
  else localStorage.removeItem(PAUSED);
}

/**
 * What is decided in another window counts in this one too: `on.pause(isWanted)`, and `on.mode()` when the offline
 * mode was switched on or off there.
 */
export function watchOthers(on) {
  addEventListener("storage", ({ key }) => {
    if (key === MODE) on.mode();
    else if (key === PAUSED && isOn()) on.pause(isPaused());
  });
}

/** Loads PouchDB, which a page that works online never needs, and opens the copy. */
export async function openCopy() {
  if (!globalThis.PouchDB) await load("/vendor/pouchdb.js");
  return Copy.open();
}

function load(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error(`${source} could not be loaded`)));
    document.head.append(script);
  });
}

/** Makes the copy and switches to it; the page is to be loaded anew then. What was cut off goes on. */
export async function turnOn(token, progress) {
  // Asks that the copy is not cleared when room gets scarce. The answer, which a person may have to give, is not
  // waited for: without it the copy works as well.
  navigator.storage?.persist?.();
  const copy = await openCopy();
  await new Sync(copy, token, { progress }).first();
  localStorage.setItem(MODE, "on");
}

/** Deletes the copy, and with it what was never sent; the page is to be loaded anew then. */
export async function turnOff(copy) {
  localStorage.removeItem(MODE);
  pause(false);
  await copy.destroy();
  const worker = await navigator.serviceWorker?.getRegistration();
  await worker?.unregister();
  for (const name of await globalThis.caches.keys()) await caches.delete(name);
}

/** Lets a service worker keep the page's files as they are now, so that it opens without the server too. */
export async function keepPage() {
  if (!navigator.serviceWorker) return;
  await navigator.serviceWorker.register(WORKER);
  const { active } = await navigator.serviceWorker.ready;
  const loaded = performance.getEntriesByType("resource").map(({ name }) => new URL(name));
  const own = loaded.filter(({ origin, protocol }) => origin === location.origin && protocol !== "blob:");
  active.postMessage({ keep: [...new Set(["/", ...own.map(({ pathname }) => pathname)])] });
}
