// A small chart of what customers ordered, month by month.

import { h, svg } from "/kit/dom.js";
import { counted, number } from "/kit/format.js";

const WIDTH = 320;
const HEIGHT = 56;
const monthName = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric", timeZone: "UTC" });
const named = (month) => monthName.format(new Date(`${month}-01T00:00:00Z`));

/** What order lines come to, month by month: `[{month: "1997-03", quantity}]`, oldest first. */
export function sumByMonth(orders, lines) {
  const months = new Map(orders.map((order) => [order.OrderID, order.OrderDate.slice(0, 7)]));
  const sums = new Map();
  for (const { OrderID, Quantity } of lines) {
    const month = months.get(OrderID);
    if (month) sums.set(month, (sums.get(month) ?? 0) + Quantity);
  }
  return [...sums].map(([month, quantity]) => ({ month, quantity })).sort((a, b) => (a.month < b.month ? -1 : 1));
}

/** Every month from the first to the last, those without orders included. */
export function filled(months) {
  if (!months.length) return [];
  const sums = new Map(months.map(({ month, quantity }) => [month, quantity]));
  const out = [];
  let [year, month] = months[0].month.split("-").map(Number);
  for (let key = months[0].month; key <= months.at(-1).month; ) {
    out.push({ month: key, quantity: sums.get(key) ?? 0 });
    month += 1;
    if (month > 12) [year, month] = [year + 1, 1];
    key = `${year}-${String(month).padStart(2, "0")}`;
  }
  return out;
}

/** The chart with its caption; `months` as `Data.demand` gives them. */
export function drawDemand(months) {
  const bars = filled(months);
  if (!bars.length) return h("p", { class: "hint" }, "No customer has ordered it yet.");
  const most = Math.max(...bars.map((bar) => bar.quantity));
  const total = bars.reduce((sum, bar) => sum + bar.quantity, 0);
  const slot = WIDTH / Math.max(bars.length, 12);
  const first = named(bars[0].month);
  const last = named(bars.at(-1).month);
  const chart = svg(
    "svg",
    {
      class: "demand",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `Ordered by month from ${first} to ${last}: ${number(total)} in all, at most ${number(most)} in a month`,
    },
    svg("path", { class: "demand-base", d: `M0 ${HEIGHT - 0.5}H${WIDTH}` }),
    ...bars.map(({ month, quantity }, i) => {
      const height = quantity ? Math.max(2, ((HEIGHT - 2) * quantity) / most) : 0;
      return svg(
        "g",
        {},
        svg("title", {}, `${named(month)}: ${number(quantity)}`),
        svg("rect", { class: "demand-space", x: i * slot, y: 0, width: slot, height: HEIGHT }),
        svg("rect", { class: "demand-bar", x: i * slot + slot * 0.15, y: HEIGHT - height, width: slot * 0.7, height }),
      );
    }),
  );
  return h(
    "figure",
    {},
    chart,
    h("figcaption", { class: "demand-caption hint" }, h("span", {}, first), h("span", {}, `${counted(total, "unit")} in all`), h("span", {}, last)),
  );
}
