// Owns time as numbers: whole days apart, and rows grouped by day. How it reads is in ui/format.js.

const DAY_MS = 24 * 60 * 60 * 1000;

/** The local day of a moment as `2026-11-24`. */
export function dayOf(time) {
  const date = new Date(time);
  const two = (number) => String(number).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** How many calendar days ago: 0 today, 1 yesterday. */
export function daysAgo(day, now = new Date()) {
  return Math.round((Date.parse(`${dayOf(now)}T00:00:00Z`) - Date.parse(`${day}T00:00:00Z`)) / DAY_MS);
}

/** The start of a local day as RFC 3339 in UTC, `days` later; null for an empty day. */
export function dayStart(day, days = 0) {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(day ?? '')) return null;
  const [year, month, date] = day.split('-').map(Number);
  return new Date(year, month - 1, date + days).toISOString();
}
