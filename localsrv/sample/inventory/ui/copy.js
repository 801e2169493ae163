// The shop in this browser: a PouchDB database for each collection. Reading and writing are as in data.js, and
// neither asks the server. sync.js keeps the databases in step with it.

import { sumByMonth } from "./demand.js";
import { holds, wordsOf } from "./words.js";

/** What the page changes; the rest it only reads. */
export const WRITTEN = ["products", "movements"];
export const KEPT = ["categories", "suppliers", ...WRITTEN, "orders", "order_details"];

/** The databases' names in this browser begin with this. */
const PREFIX = "inventory-";
/** Where a database notes how far its changes have reached the server. `_local` documents stay in this browser. */
const SENT = "_local/sent";

/** A document as the row that the data face would give. `conflicts` are the revisions that did not win. */
export function rowOf(collection, document) {
  const { _id, _rev, _attachments, _conflicts, ...row } = document;
  if (collection === "movements") row.id = _id;
  if (_conflicts) row.conflicts = _conflicts;
  return row;
}

export class Copy {
  #databases = {};
  #from = {};
  #orders = null;
  #on = { written: () => {} };

  /** Opens the databases; they are made when they are not there. */
  static async open() {
    const copy = new Copy();
    for (const name of KEPT) {
      // Old revisions are the server's business: here they would only take room.
      copy.#databases[name] = new globalThis.PouchDB(PREFIX + name, { auto_compaction: true });
      copy.#from[name] = (await copy.#databases[name].info()).update_seq;
    }
    return copy;
  }

  database(collection) {
    return this.#databases[collection];
  }

  /** Closes the databases for good and deletes them. */
  async destroy() {
    await Promise.all(Object.values(this.#databases).map((database) => database.destroy()));
  }

  // ── reading ──────────────────────────────────────────────────────────────

  /** All rows of a collection. */
  async all(collection) {
    const { rows } = await this.#databases[collection].allDocs({ include_docs: true, conflicts: true });
    return rows.filter(({ id }) => !id.startsWith("_")).map(({ doc }) => rowOf(collection, doc));
  }

  /**
   * Tells every change since the databases were opened, by this window, another one or the server:
   * `on.change(event)` with an event as of the live feed. `on.written(collection)` after each write of this window.
   */
  follow(on) {
    this.#on = on;
    for (const collection of KEPT) {
      const options = { since: this.#from[collection], live: true, include_docs: true, conflicts: true };
      this.#databases[collection].changes(options).on("change", ({ id, deleted, doc }) => {
        if (collection.startsWith("order")) this.#orders = null;
        if (id.startsWith("_")) return;
        on.change({ collection, id, deleted: Boolean(deleted), row: deleted ? null : rowOf(collection, doc) });
      });
    }
  }

  /** When something last changed is not kept: the sign in the header says how far the copy is instead. */
  async changedAt() {
    return null;
  }

  /** The ids of the products that a text finds, as the server would find them. */
  async search(text, shop) {
    const words = wordsOf(text);
    const found = [...shop.products.values()].filter((product) =>
      [product.ProductName, product.QuantityPerUnit, shop.supplierName(product), shop.categoryName(product)].some((text) =>
        holds(text, words),
      ),
    );
    return new Set(found.map((product) => product.ProductID));
  }

  /** The latest movements, newest first: of one product, or of all without the opening stock. */
  async movements(productId, limit, offset = 0) {
    const rows = (await this.all("movements")).filter((row) =>
      productId === null ? row.reason !== "opening" : row.ProductID === productId,
    );
    rows.sort((a, b) => new Date(b.at) - new Date(a.at) || (a.id < b.id ? 1 : -1));
    return rows.slice(offset, offset + limit);
  }

  /** What customers ordered of a product: `[{month: "1997-03", quantity}]`, oldest first. */
  async demand(productId) {
    this.#orders ??= Promise.all([this.all("orders"), this.all("order_details")]);
    const [orders, lines] = await this.#orders;
    return sumByMonth(
      orders,
      lines.filter((line) => line.ProductID === productId),
    );
  }

  // ── writing ──────────────────────────────────────────────────────────────

  /** Adds a movement: `{ProductID, quantity, reason, note}`, quantity positive for in, negative for out. */
  async book(movement) {
    // A new document with an id of its own: it can never be in conflict with what others book meanwhile.
    const document = { ...movement, _id: crypto.randomUUID(), at: new Date().toISOString() };
    await this.#databases.movements.put(document);
    this.#on.written("movements");
    return rowOf("movements", document);
  }

  /** Changes some fields of a product; gives the row as it is then. */
  async edit(productId, changes) {
    const products = this.#databases.products;
    const document = { ...(await products.get(String(productId))), ...changes };
    await products.put(document);
    this.#on.written("products");
    return this.product(productId);
  }

  async product(productId) {
    return rowOf("products", await this.#databases.products.get(String(productId), { conflicts: true }));
  }

  // ── a product that was changed in two places ─────────────────────────────

  /** Its versions, the one that is shown first, each with its `_rev`. One alone: there is no conflict. */
  async versions(productId) {
    const products = this.#databases.products;
    const shown = await products.get(String(productId), { conflicts: true });
    const { _conflicts: others = [], ...first } = shown;
    return [first, ...(await Promise.all(others.map((rev) => products.get(String(productId), { rev }))))];
  }

  /** Ends a conflict: `chosen` fields go into the version that is shown, the other versions are deleted. */
  async settle(versions, chosen) {
    const [shown, ...others] = versions;
    const isNew = Object.keys(chosen).some((field) => chosen[field] !== shown[field]);
    const done = await this.#databases.products.bulkDocs([
      ...(isNew ? [{ ...shown, ...chosen }] : []),
      ...others.map(({ _id, _rev }) => ({ _id, _rev, _deleted: true })),
    ]);
    this.#on.written("products");
    const failed = done.find((result) => result.error);
    if (failed) throw new Error(failed.message);
  }

  // ── what has not reached the server yet ──────────────────────────────────

  /** The changes that wait to be sent: `[{collection, id}]`. */
  async waiting() {
    const found = [];
    for (const collection of WRITTEN) {
      const database = this.#databases[collection];
      const { results } = await database.changes({ since: await this.#sent(database) });
      found.push(...results.map(({ id }) => ({ collection, id })));
    }
    return found;
  }

  async #sent(database) {
    try {
      return (await database.get(SENT)).seq;
    } catch (error) {
      if (error.status !== 404) throw error;
      return 0;
    }
  }

  /** Notes that everything up to `seq` has reached the server. */
  async noteSent(collection, seq) {
    const database = this.#databases[collection];
    const old = await database.get(SENT).catch(() => ({ _id: SENT }));
    if (old.seq !== seq) await database.put({ ...old, seq });
  }
}

/** The categories' pictures out of the copy, with the same methods as in pictures.js. */
export class KeptPictures {
  #copy;
  #urls = new Map();

  constructor(copy) {
    this.#copy = copy;
  }

  async sign(categoryIds) {
    for (const id of categoryIds) {
      const picture = await this.#copy
        .database("categories")
        .getAttachment(String(id), "picture.jpg")
        .catch(() => null); // a category without a picture is shown without
      if (picture) this.#urls.set(id, URL.createObjectURL(picture));
    }
  }

  async renew() {
    return false;
  }

  url(categoryId) {
    return this.#urls.get(categoryId) ?? null;
  }
}
