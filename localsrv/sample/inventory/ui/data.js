// Every request for data: plain supabase-js, as any app would write it.

import { api } from "/kit/session.js";
import { sumByMonth } from "./demand.js";
import { holds, wordsOf } from "./words.js";

const PAGE = 1000;
const COLUMNS = {
  categories: "CategoryID,CategoryName,Description",
  suppliers: "SupplierID,CompanyName,ContactName,ContactTitle,City,Country,Phone",
  products:
    "ProductID,ProductName,SupplierID,CategoryID,QuantityPerUnit,UnitPrice,UnitsOnOrder,ReorderLevel,Discontinued",
  movements: "id,ProductID,quantity,at",
};
const ORDER = { categories: "CategoryID", suppliers: "SupplierID", products: "ProductID", movements: "id" };

export const COLLECTIONS = Object.keys(COLUMNS);

export class Data {
  #client;
  #token;

  constructor(token) {
    this.#token = token;
    // The page's own origin is the server; nothing else is ever asked.
    this.#client = globalThis.supabase.createClient(location.origin, token, {
      auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    });
  }

  async #rows(query) {
    const { data, error, status } = await query;
    if (error) throw Object.assign(new Error(error.message), { status, hint: error.hint });
    return data;
  }

  /** All rows of a collection, page by page. */
  async all(collection) {
    const rows = [];
    for (let page; (page = await this.#page(collection, rows.length)).length; ) {
      rows.push(...page);
      if (page.length < PAGE) break;
    }
    return rows;
  }

  /** When anything of the app was last changed, whoever did it. */
  async changedAt() {
    return (await api(this.#token, "GET", "/api/v1/apps/inventory/collections")).updated_at;
  }

  #page(collection, from) {
    return this.#rows(
      this.#client
        .from(collection)
        .select(COLUMNS[collection])
        .order(ORDER[collection])
        .range(from, from + PAGE - 1),
    );
  }

  /**
   * The ids of the products that hold words starting as typed, in the name or the pack, or whose supplier or
   * category does. Accents and case do not matter.
   */
  async search(text, shop) {
    const words = wordsOf(text);
    const pattern = words.map((word) => `${word}:*`).join(" & ");
    const suppliers = idsNamed(shop.suppliers, "CompanyName", words);
    const categories = idsNamed(shop.categories, "CategoryName", words);
    const any = [`ProductName.fts."${pattern}"`, `QuantityPerUnit.fts."${pattern}"`];
    if (suppliers.length) any.push(`SupplierID.in.(${suppliers})`);
    if (categories.length) any.push(`CategoryID.in.(${categories})`);
    const rows = await this.#rows(this.#client.from("products").select("ProductID").or(any.join(",")));
    return new Set(rows.map((row) => row.ProductID));
  }

  /** Adds a movement: `{ProductID, quantity, reason, note}`, quantity positive for in, negative for out. */
  async book(movement) {
    return this.#rows(this.#client.from("movements").insert(movement).select().single());
  }

  /** Changes some fields of a product; gives the row as it is then. */
  async edit(productId, changes) {
    const changed = this.#client.from("products").update(changes).eq("ProductID", productId);
    return this.#rows(changed.select(COLUMNS.products).single());
  }

  /** The latest movements, newest first: of one product, or of all without the opening stock. */
  async movements(productId, limit, offset = 0) {
    const query = this.#client.from("movements").select("id,ProductID,quantity,reason,at,note");
    const filtered = productId === null ? query.neq("reason", "opening") : query.eq("ProductID", productId);
    return this.#rows(
      filtered
        .order("at", { ascending: false })
        .order("id", { ascending: false })
        .range(offset, offset + limit - 1),
    );
  }

  /** What customers ordered of a product: `[{month: "1997-03", quantity}]`, oldest first. */
  async demand(productId) {
    const lines = await this.#rows(
      this.#client.from("order_details").select("OrderID,Quantity").eq("ProductID", productId),
    );
    if (!lines.length) return [];
    const orders = await this.#rows(
      this.#client
        .from("orders")
        .select("OrderID,OrderDate")
        .in(
          "OrderID",
          lines.map((line) => line.OrderID),
        ),
    );
    return sumByMonth(orders, lines);
  }
}

function idsNamed(rows, field, words) {
  return [...rows].filter(([, row]) => holds(row[field], words)).map(([id]) => id);
}
