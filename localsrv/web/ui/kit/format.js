// Numbers and times as the reader's language writes them.

const whole = new Intl.NumberFormat();
const money = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const signedWhole = new Intl.NumberFormat(undefined, { signDisplay: "always" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** 1234 → "1,234", -5 → "−5" */
export const number = (value) => whole.format(value).replace("-", "\u2212");

/** 18 → "18.00" */
export const price = (value) => money.format(value);

/** -5 → "−5", 5 → "+5" */
export const signed = (value) => signedWhole.format(value).replace("-", "\u2212");

/** "1 product", "2 products" */
export const counted = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

/** A time of today as a clock, any other as a date. */
export function when(iso, now = new Date()) {
  const time = new Date(iso);
  return time.toDateString() === now.toDateString() ? clock.format(time) : day.format(time);
}

/** The whole time, for a tooltip. */
export const exact = (iso) => full.format(new Date(iso));

const STEPS = [
  [60, "second", 1],
  [3600, "minute", 60],
  [86400, "hour", 3600],
  [86400 * 30, "day", 86400],
  [86400 * 365, "month", 86400 * 30],
  [Infinity, "year", 86400 * 365],
];

/** "just now", "3 minutes ago" */
export function ago(iso, now = Date.now()) {
  const seconds = Math.max(0, (now - new Date(iso).getTime()) / 1000);
  if (seconds < 10) return "just now";
  const [, unit, size] = STEPS.find(([limit]) => seconds < limit);
  return relative.format(-Math.floor(seconds / size), unit);
}

/** 1536 → "1.5 kB" */
export function bytes(n) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const step = n < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(n) / 3));
  const value = n / 1000 ** step;
  return new Intl.NumberFormat(undefined, {
    style: "unit",
    unit: units[step],
    unitDisplay: step === 0 ? "long" : "short",
    maximumFractionDigits: step === 0 || value >= 100 ? 0 : 1,
  }).format(value);
}

/** Letters without accents and case, for comparing what a person typed. */
export const folded = (text) =>
  String(text ?? "")
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .toLowerCase();
