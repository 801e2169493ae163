// Northwind through supabase-js: every row of the shop is where an application looks for it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { column, connect, data } from "./client.mjs";

const shop = connect("northwind");
const products = () => shop.from("products");

test("select: all rows, columns, aliases, casts", async () => {
  assert.equal(data(await products().select()).length, 77);
  const [chai] = data(await products().select("ProductID, name:ProductName, price:UnitPrice::text").eq("ProductID", 1));
  assert.deepEqual(chai, { ProductID: 1, name: "Chai", price: "18" });
});

test("single and maybeSingle", async () => {
  const one = await products().select("ProductName").eq("ProductID", 2).single();
  assert.deepEqual(data(one), { ProductName: "Chang" });
  const none = await products().select().eq("ProductID", 9999).single();
  assert.equal(none.status, 406);
  assert.equal(none.error.code, "PGRST116");
  assert.equal(data(await products().select().eq("ProductID", 9999).maybeSingle()), null);
  const many = await products().select().lt("ProductID", 3).single();
  assert.equal(many.error.code, "PGRST116");
});

test("filters", async () => {
  const ids = async (build) => column(await build(products().select("ProductID")).order("ProductID"), "ProductID");
  assert.deepEqual(await ids((q) => q.eq("CategoryID", 1).gt("UnitPrice", 40)), [38, 43]);
  assert.deepEqual(await ids((q) => q.gte("UnitPrice", 97).lte("UnitPrice", 263.5)), [9, 29, 38]);
  assert.deepEqual(await ids((q) => q.neq("CategoryID", 1).lt("ProductID", 5)), [3, 4]);
  assert.deepEqual(await ids((q) => q.in("ProductID", [1, 2, 999])), [1, 2]);
  assert.deepEqual(await ids((q) => q.like("ProductName", "Cha%")), [1, 2, 39]);
  assert.deepEqual(await ids((q) => q.ilike("ProductName", "%TOFU%")), [14, 74]);
  assert.deepEqual(await ids((q) => q.ilike("ProductName", "gnocchi%NONNA alice")), [56]);
  assert.deepEqual(await ids((q) => q.likeAnyOf("ProductName", ["Chai", "Chang"])), [1, 2]);
  assert.deepEqual(await ids((q) => q.ilikeAllOf("ProductName", ["%tofu%", "%life%"])), [74]);
  assert.deepEqual(await ids((q) => q.match({ CategoryID: 2, SupplierID: 2 })), [4, 5, 65, 66]);
  assert.deepEqual(await ids((q) => q.not("ProductID", "gt", 3)), [1, 2, 3]);
  assert.deepEqual(await ids((q) => q.or("ProductID.eq.1,and(ProductID.gt.75,UnitPrice.lt.10)")), [1]);
  assert.deepEqual(await ids((q) => q.filter("ProductName", "match", "^Ch.*i$")), [1]);
  assert.deepEqual(await ids((q) => q.eq("ProductName", 'Chef Anton"s, (no)')), []);
  assert.deepEqual(await ids((q) => q.in("ProductName", ["Original Frankfurter grüne Soße", "a,b", 'c"d'])), [77]);
});

test("long lists", async () => {
  const ids = Array.from({ length: 8000 }, (_, n) => n + 1);
  assert.equal(data(await products().select("ProductID").in("ProductID", ids)).length, 77);
  const longer = await products().select("ProductID").in("ProductName", ["x".repeat(70_000)]);
  assert.equal(longer.error.code, "PGRST100");
});

test("is, null and undeclared names", async () => {
  const customers = shop.from("customers");
  const without = data(await customers.select("CustomerID", { count: "exact" }).is("Region", null));
  const all = data(await shop.from("customers").select("CustomerID"));
  const having = data(await shop.from("customers").select("CustomerID").not("Region", "is", null));
  assert.equal(without.length + having.length, all.length);
  const unknown = await shop.from("customers").select("*").eq("Regoin", "x");
  assert.equal(unknown.error.code, "42703");
  assert.match(unknown.error.hint, /Region/);
});

test("order, limit, range and counts", async () => {
  const dear = await products().select("ProductName").order("UnitPrice", { ascending: false }).limit(2);
  assert.deepEqual(column(dear, "ProductName"), ["Côte de Blaye", "Thüringer Rostbratwurst"]);
  const page = await products().select("ProductID", { count: "exact" }).order("ProductID").range(10, 14);
  assert.deepEqual(column(page, "ProductID"), [11, 12, 13, 14, 15]);
  assert.equal(page.count, 77);
  assert.equal(page.status, 206);
  const head = await products().select("*", { count: "exact", head: true }).eq("CategoryID", 8);
  assert.equal(head.count, 12);
  assert.equal(head.data, null);
  const estimated = await shop.from("orders").select("*", { count: "estimated", head: true });
  assert.equal(estimated.count, 830);
  const beyond = await products().select("*", { count: "exact" }).range(100, 110);
  assert.equal(beyond.error.code, "PGRST103");
});

test("full-text search", async () => {
  const search = async (words, options) => {
    const query = products().select("ProductID").textSearch("ProductName", words, options).order("ProductID");
    return column(await query, "ProductID");
  };
  assert.deepEqual(await search("tofu"), [14, 74]);
  assert.deepEqual(await search("'tofu' & !'longlife'"), [14]);
  assert.deepEqual(await search("longlife tofu", { type: "plain" }), [74]);
  assert.deepEqual(await search("chai or chang", { type: "websearch" }), [1, 2]);
  assert.deepEqual(await search("cote de blaye", { type: "phrase" }), [38]);
  assert.deepEqual(await search("grune", { type: "websearch", config: "german" }), [77]);
  const ranked = await products().select("ProductID").textSearch("_text", "tofu").order("_rank");
  assert.deepEqual(column(ranked, "ProductID"), [14, 74]);
});

test("dates", async () => {
  const orders = await shop.from("orders").select("OrderID").gte("OrderDate", "1998-05-06").order("OrderID");
  assert.deepEqual(column(orders, "OrderID"), [11074, 11075, 11076, 11077]);
});

test("keys of two fields", async () => {
  const line = await shop.from("order_details").select("Quantity").eq("OrderID", 10248).eq("ProductID", 11).single();
  assert.deepEqual(data(line), { Quantity: 12 });
});

test("insert, update, delete", async () => {
  const added = await shop.from("shippers").insert({ ShipperID: 10, CompanyName: "New", Phone: null }).select().single();
  assert.equal(added.status, 201);
  assert.equal(data(added).CompanyName, "New");
  const twice = await shop.from("shippers").insert({ ShipperID: 10, CompanyName: "Twice" });
  assert.equal(twice.status, 409);
  assert.equal(twice.error.code, "23505");
  const changed = await shop.from("shippers").update({ Phone: "1" }).eq("ShipperID", 10).select("ShipperID, Phone");
  assert.deepEqual(data(changed), [{ ShipperID: 10, Phone: "1" }]);
  const silent = await shop.from("shippers").update({ Phone: "2" }).eq("ShipperID", 10);
  assert.deepEqual([silent.status, silent.data], [204, null]);
  const gone = await shop.from("shippers").delete({ count: "exact" }).eq("ShipperID", 10);
  assert.deepEqual([gone.status, gone.count], [204, 1]);
  assert.equal(data(await shop.from("shippers").select()).length, 3);
});

test("many rows are one transaction", async () => {
  const rows = [
    { ShipperID: 20, CompanyName: "a" },
    { ShipperID: 21, CompanyName: "b", Phone: "1" },
  ];
  const broken = await shop.from("shippers").insert([...rows, { ShipperID: 1, CompanyName: "exists" }]);
  assert.equal(broken.error.code, "23505");
  assert.equal(data(await shop.from("shippers").select()).length, 3);
  const added = await shop.from("shippers").insert(rows, { count: "exact" }).select();
  assert.deepEqual([data(added).length, added.count], [2, 2]);
  assert.deepEqual(data(await shop.from("shippers").delete().gte("ShipperID", 20).select("ShipperID")).length, 2);
});

test("upsert", async () => {
  const merged = await shop.from("shippers").upsert([
    { ShipperID: 1, CompanyName: "Speedy Express", Phone: "(503) 555-0000" },
    { ShipperID: 30, CompanyName: "Thirty", Phone: "30" },
  ]).select("ShipperID, Phone");
  assert.deepEqual(column(merged, "Phone"), ["(503) 555-0000", "30"]);
  const ignored = await shop.from("shippers")
    .upsert({ ShipperID: 30, CompanyName: "Other", Phone: null }, { ignoreDuplicates: true }).select();
  assert.deepEqual(data(ignored), []);
  const kept = await shop.from("shippers").select("CompanyName").eq("ShipperID", 30).single();
  assert.deepEqual(data(kept), { CompanyName: "Thirty" });
  data(await shop.from("shippers").delete().eq("ShipperID", 30));
});

test("relations are kept", async () => {
  const orphan = await products().insert({ ProductID: 500, ProductName: "x", CategoryID: 999 });
  assert.equal(orphan.error.code, "23503");
  const parent = await shop.from("categories").delete().eq("CategoryID", 1);
  assert.equal(parent.error.code, "23503");
  assert.equal(data(await shop.from("categories").select()).length, 8);
});

test("csv and stripped nulls", async () => {
  const csv = data(await products().select("ProductID,ProductName").lte("ProductID", 2).order("ProductID").csv());
  assert.equal(csv, "ProductID,ProductName\n1,Chai\n2,Chang\n");
});

test("maxAffected and rollback", async () => {
  const many = await shop.from("shippers").update({ Phone: "x" }).gt("ShipperID", 0).maxAffected(1);
  assert.equal(many.error.code, "PGRST124");
  data(await shop.from("shippers").insert({ ShipperID: 40, CompanyName: "Forty" }));
  const tried = await shop.from("shippers").delete().eq("ShipperID", 40).select().rollback();
  assert.equal(data(tried).length, 1);
  assert.equal(data(await shop.from("shippers").select()).length, 4);
  data(await shop.from("shippers").delete().eq("ShipperID", 40));
});

test("errors are PostgREST's", async () => {
  const cases = [
    [shop.from("nothing").select(), 404, "42P01"],
    [products().select("nothing"), 400, "42703"],
    [products().select().eq("ProductID", "x"), 400, "22P02"],
    [products().select().filter("ProductName", "match", "("), 400, "2201B"],
    [products().insert({ ProductID: "x", ProductName: "y" }), 400, "22P02"],
  ];
  for (const [query, status, code] of cases) {
    const answer = await query;
    assert.deepEqual([answer.status, answer.error?.code], [status, code], JSON.stringify(answer.error));
    assert.ok(answer.error.message);
  }
});
