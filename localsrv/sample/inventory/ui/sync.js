// Keeps the copy in step with the server's databases, in both directions.
//
// PouchDB's own `live: true` holds one connection open for each database, and browsers allow six for a server: a
// second window would stand still. So every exchange here is a short one-shot replication, and one WebSocket, which
// does not count among the six, says when the server has something new. A replication goes on where the last one
// ended, also where that one was cut off.

import { follow } from "/kit/live.js";
import { KEPT, WRITTEN } from "./copy.js";

const APP = "inventory";
const BATCH = { batch_size: 500 };
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
/** One window at a time: the others find that there is nothing left to do. */
const LOCK = "inventory.sync";
/** Where the time of the last exchange is kept. */
const AT = "inventory.synced";

export class Sync {
  #copy;
  #token;
  #on;
  #remote = {};
  #wanted = new Set();
  #isConnected = false;
  #isRunning = false;
  #retry = null;
  #wait = FIRST_WAIT_MS;
  #stop = () => {};
  #done = null;
  #counts = 0;

  /** What a person is told: see `state`. `problem` is why the last exchange failed, or null. */
  at = localStorage.getItem(AT);
  waiting = [];
  problem = null;

  /**
   * `on.state()` whenever something below changed; `on.online()` when the server answers (again); `on.refused(error)`
   * when it does not take the token any more; `on.progress(share)` while a first copy is made.
   */
  constructor(copy, token, on) {
    this.#copy = copy;
    this.#token = token;
    this.#on = on;
    for (const name of KEPT) this.#remote[name] = this.#connectTo(name);
  }

  /** The server's database of a collection. The token travels as a header; no cookie is used. */
  #connectTo(collection) {
    return new globalThis.PouchDB(`${location.origin}/couch/${collection}`, {
      skip_setup: true, // it is there: never ask to make it
      fetch: (url, options) => {
        options.headers.set("Authorization", `Bearer ${this.#token}`);
        return globalThis.PouchDB.fetch(url, { ...options, credentials: "omit" });
      },
    });
  }

  /** "syncing", "online" or "offline". */
  get state() {
    if (!this.#isConnected) return "offline";
    return this.#isRunning || this.#wanted.size || this.waiting.length ? "syncing" : "online";
  }

  // ── when ─────────────────────────────────────────────────────────────────

  /** Keeps in step from now on, until `stop`. */
  start() {
    this.#stop = follow(APP, this.#token, KEPT, {
      ready: () => {},
      change: ({ collection }) => this.#want([collection]),
      reset: () => this.#want(KEPT),
      refused: (error) => this.#on.refused(error),
      state: (state) => this.#connected(state === "live"),
    });
  }

  /** Leaves the server alone; resolves when what was under way has ended. */
  async stop() {
    this.#stop();
    this.#connected(false);
    await this.#done;
  }

  #connected(isConnected) {
    this.#isConnected = isConnected;
    clearTimeout(this.#retry);
    if (isConnected) {
      this.problem = null;
      this.#wait = FIRST_WAIT_MS;
      this.#want(KEPT);
      this.#on.online();
    } else this.#on.state();
  }

  /** This window wrote something: it is counted, and sent as soon as it can be. */
  async wrote(collection) {
    if (this.#isConnected) this.#want([collection]);
    await this.count();
  }

  /** Counts what waits to be sent. */
  async count() {
    const turn = ++this.#counts;
    const waiting = await this.#copy.waiting();
    if (turn !== this.#counts) return; // counted anew meanwhile
    this.waiting = waiting;
    this.#on.state();
  }

  #want(collections) {
    for (const name of collections) this.#wanted.add(name);
    this.#run();
  }

  #run() {
    if (this.#isRunning || !this.#isConnected) return;
    this.#isRunning = true;
    this.#done = this.#exchangeWanted();
  }

  async #exchangeWanted() {
    this.#on.state();
    try {
      for (const name of this.#wanted) {
        if (!this.#isConnected) break;
        this.#wanted.delete(name);
        await this.#exchange(name).catch((error) => {
          this.#wanted.add(name);
          throw error;
        });
      }
      this.problem = null;
      this.#wait = FIRST_WAIT_MS;
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isRunning = false;
      await this.count();
    }
    if (this.#wanted.size && !this.problem) this.#run();
  }

  #failed(error) {
    if (error.status === 401) {
      this.#on.refused(error);
      return;
    }
    this.problem = error;
    if (!this.#isConnected) return; // the feed says when it is worth another try
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.problem = null;
      this.#run();
    }, this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
  }

  // ── what ─────────────────────────────────────────────────────────────────

  /** One exchange: what the server has that we lack, then what we have that it lacks. */
  #exchange(collection) {
    return navigator.locks.request(LOCK, async () => {
      const here = this.#copy.database(collection);
      await done(here.replicate.from(this.#remote[collection], BATCH));
      if (WRITTEN.includes(collection)) {
        const { update_seq: until } = await here.info();
        await done(here.replicate.to(this.#remote[collection], BATCH));
        await this.#copy.noteSent(collection, until);
      }
      this.at = new Date().toISOString();
      localStorage.setItem(AT, this.at);
    });
  }

  /** Fetches everything for the first time, or the rest of it. */
  async first() {
    const infos = await Promise.all(KEPT.map((name) => this.#remote[name].info()));
    const all = infos.reduce((sum, { doc_count }) => sum + doc_count, 0);
    let before = 0;
    for (const [i, name] of KEPT.entries()) {
      const replication = this.#copy.database(name).replicate.from(this.#remote[name], BATCH);
      replication.on("change", ({ docs_written }) => this.#on.progress((before + docs_written) / all));
      await done(replication);
      before += infos[i].doc_count;
      this.#on.progress(before / all);
      if (WRITTEN.includes(name)) await this.#exchange(name);
    }
  }
}

/** Waits for a replication, and takes documents that the other side refused for an error too. */
async function done(replication) {
  const result = await replication;
  if (result.doc_write_failures) throw result.errors[0] ?? new Error("The server refused some changes.");
}
