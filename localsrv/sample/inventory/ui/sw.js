// Lets the page open while the server is away.
//
// Files come from the server whenever it answers, so an update of the app is picked up at once, and from the cache
// only when it does not. The cache is replaced as a whole, after a page has started: what it holds belongs together.

const NAME = "inventory-page-";
/** What is no file of the page: never kept here. */
const FACES = /^\/(api|apps|couch|oauth|rest)\//;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== location.origin || FACES.test(pathname)) return;
  const kept = mode === "navigate" ? "/" : pathname;
  event.respondWith(fetch(event.request).catch((error) => fromCache(kept, error)));
});

async function fromCache(pathname, error) {
  const found = await caches.match(pathname, { ignoreVary: true });
  if (!found) throw error;
  return found;
}

let last = Promise.resolve();

self.addEventListener("message", (event) => {
  // One after the other; when one fails, the older files stay.
  last = last.then(() => replace(event.data.keep)).catch((error) => console.info(`Not kept: ${error.message}`));
  event.waitUntil(last);
});

/** Keeps these files in place of the older ones: all of them, or none. */
async function replace(pathnames) {
  const older = (await caches.keys()).filter((name) => name.startsWith(NAME));
  const name = NAME + crypto.randomUUID();
  const cache = await caches.open(name);
  try {
    await cache.addAll(pathnames.filter((pathname) => !FACES.test(pathname)));
  } catch (error) {
    await caches.delete(name);
    throw error;
  }
  await Promise.all(older.map((old) => caches.delete(old)));
}
