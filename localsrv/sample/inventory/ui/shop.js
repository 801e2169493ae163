// What the page knows of the shop: rows by their key, and the stock as the sum of the movements.
//
// No requests and no elements here. A row that arrives twice (from a request and from the live feed) counts once,
// since every table is a map by identity.

const KEYS = { categories: "CategoryID", suppliers: "SupplierID", products: "ProductID", movements: "id" };

export class Shop {
  categories = new Map();
  suppliers = new Map();
  products = new Map();
  movements = new Map();
  changedAt = null;
  #stock = new Map();

  /** Puts rows of a collection; returns the ids of the products that this may change. */
  put(collection, rows) {
    const touched = new Set();
    for (const row of rows) {
      if (collection === "movements") this.#book(row.id, row);
      else this[collection].set(row[KEYS[collection]], row);
      if (row.ProductID !== undefined) touched.add(row.ProductID);
    }
    return touched;
  }

  /** Applies an event of the live feed; returns the ids of the products that it may change. */
  apply(event) {
    this.noteChange(event.at ?? new Date().toISOString());
    if (!event.deleted) return this.put(event.collection, [event.row]);
    const key = event.collection === "movements" ? event.id : Number(event.id);
    const old = this[event.collection].get(key);
    if (event.collection === "movements") this.#book(event.id, null);
    else this[event.collection].delete(key);
    return new Set(old?.ProductID === undefined ? [] : [old.ProductID]);
  }

  #book(id, row) {
    const old = this.movements.get(id);
    if (old) this.#stock.set(old.ProductID, this.stock(old.ProductID) - old.quantity);
    if (row) {
      this.movements.set(id, row);
      this.#stock.set(row.ProductID, this.stock(row.ProductID) + row.quantity);
    } else this.movements.delete(id);
  }

  noteChange(at) {
    if (at && (this.changedAt === null || new Date(at) > new Date(this.changedAt))) this.changedAt = at;
  }

  /** How many there are: what came in less what went out. */
  stock(productId) {
    return this.#stock.get(productId) ?? 0;
  }

  /** "out", "low", "enough", or "ended" for a discontinued product, which nobody reorders. */
  level(product) {
    const stock = this.stock(product.ProductID);
    if (product.Discontinued) return "ended";
    if (stock <= 0) return "out";
    return stock <= (product.ReorderLevel ?? 0) ? "low" : "enough";
  }

  isLow(product) {
    const level = this.level(product);
    return level === "low" || level === "out";
  }

  /** How many are missing to be above the reorder level. */
  shortage(product) {
    return (product.ReorderLevel ?? 0) - this.stock(product.ProductID);
  }

  categoryName(product) {
    return this.categories.get(product.CategoryID)?.CategoryName ?? "";
  }

  supplierName(product) {
    return this.suppliers.get(product.SupplierID)?.CompanyName ?? "";
  }

  /** The greatest stock or reorder level: the common scale of all bars. */
  scale() {
    let most = 1;
    for (const p of this.products.values()) most = Math.max(most, this.stock(p.ProductID), p.ReorderLevel ?? 0);
    return most;
  }
}

export const VIEWS = {
  all: { title: "All products", holds: () => true },
  low: { title: "Low stock", holds: (shop, p) => shop.isLow(p) },
  ended: { title: "Discontinued", holds: (shop, p) => p.Discontinued },
};

const collator = new Intl.Collator(undefined, { sensitivity: "base", numeric: true });
const byText = (of) => (a, b) => collator.compare(of(a), of(b));

/** The columns' orders; each compares two products. */
export const SORTS = {
  name: () => byText((p) => p.ProductName),
  category: (shop) => byText((p) => shop.categoryName(p)),
  supplier: (shop) => byText((p) => shop.supplierName(p)),
  price: () => (a, b) => a.UnitPrice - b.UnitPrice,
  ordered: () => (a, b) => a.UnitsOnOrder - b.UnitsOnOrder,
  reorder: () => (a, b) => a.ReorderLevel - b.ReorderLevel,
  stock: (shop) => (a, b) => shop.stock(a.ProductID) - shop.stock(b.ProductID),
  shortage: (shop) => (a, b) => shop.shortage(b) - shop.shortage(a),
};

/** The products to list, in order. `found` is null, or the ids that a search found. */
export function listed(shop, { view, category, sort, descending, found }) {
  const holds = VIEWS[view].holds;
  const rows = [...shop.products.values()].filter(
    (p) =>
      (category === null || p.CategoryID === category) &&
      holds(shop, p) &&
      (found === null || found.has(p.ProductID)),
  );
  const compare = SORTS[sort ?? (view === "low" ? "shortage" : "name")](shop);
  const direction = descending ? -1 : 1;
  const byName = SORTS.name(shop);
  return rows.sort((a, b) => direction * compare(a, b) || byName(a, b));
}
