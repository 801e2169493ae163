// Filters of a table, as a person writes them and as the data face reads them. No elements here.

/** Comparison → its name, the operator before the value, and for which types it makes sense. */
export const COMPARISONS = {
  is: { name: "is", query: (value) => `eq.${value}`, types: "any" },
  not: { name: "is not", query: (value) => `neq.${value}`, types: "any" },
  has: { name: "contains", query: (value) => `ilike.*${value}*`, types: "text" },
  starts: { name: "starts with", query: (value) => `ilike.${value}*`, types: "text" },
  more: { name: "is more than", query: (value) => `gt.${value}`, types: "ordered" },
  least: { name: "is at least", query: (value) => `gte.${value}`, types: "ordered" },
  less: { name: "is less than", query: (value) => `lt.${value}`, types: "ordered" },
  most: { name: "is at most", query: (value) => `lte.${value}`, types: "ordered" },
  empty: { name: "is empty", query: () => "is.null", types: "any", isUnary: true },
  filled: { name: "is not empty", query: () => "not.is.null", types: "any", isUnary: true },
};

const TEXTS = new Set(["text", "uuid", "json"]);

/** The comparisons that fit a field's type, most useful first. */
export function comparisonsOf(type) {
  const fits = TEXTS.has(type) ? ["text", "any"] : type === "boolean" ? ["any"] : ["any", "ordered"];
  return Object.entries(COMPARISONS)
    .filter(([, comparison]) => fits.includes(comparison.types))
    .sort(([, a], [, b]) => fits.indexOf(a.types) - fits.indexOf(b.types) || Number(!!a.isUnary) - Number(!!b.isUnary))
    .map(([key, { name }]) => ({ key, name }));
}

/** The filters in the address: `f=<comparison>:<field>:<value>`, any number of times. */
export function readFilters(query) {
  return query.getAll("f").flatMap((text) => {
    const [comparison, field, ...value] = text.split(":");
    return Object.hasOwn(COMPARISONS, comparison) && field ? [{ comparison, field: decodeURIComponent(field), value: value.join(":") }] : [];
  });
}

/** Writes them back. */
export function writeFilters(query, filters) {
  query.delete("f");
  for (const { comparison, field, value } of filters) query.append("f", `${comparison}:${encodeURIComponent(field)}:${value}`);
}

/** "UnitPrice is at least 10" */
export function described({ comparison, field, value }) {
  const { name, isUnary } = COMPARISONS[comparison];
  return isUnary ? `${field} ${name}` : `${field} ${name} ${value}`;
}

/**
 * The data face's query: pairs of name and value. `search` looks for words that start as typed in every full-text
 * field; `order` is `{field, descending}` or null.
 */
export function dataQuery({ filters, search, fullText, order, key }) {
  const pairs = [["select", "*"]];
  for (const { comparison, field, value } of filters) pairs.push([column(field), COMPARISONS[comparison].query(value)]);
  const words = search.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  if (words.length) {
    const pattern = words.map((word) => `${word}:*`).join(" & ");
    pairs.push(["or", `(${fullText.map((field) => `${column(field)}.fts."${pattern}"`).join(",")})`]);
  }
  const parts = order ? [`${column(order.field)}.${order.descending ? "desc" : "asc"}`] : [];
  // The key makes the order of equal rows certain, so that no row is missed between two pages.
  parts.push(...key.filter((field) => field !== order?.field).map(column));
  pairs.push(["order", parts.join(",")]);
  return pairs;
}

/** A field's name in a query: quoted when it holds a sign that the grammar uses. */
const column = (name) => (/^[\p{L}_][\p{L}\p{N}_ ]*$/u.test(name) ? name : `"${name.replace(/["\\]/g, "\\$&")}"`);
