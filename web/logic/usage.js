// Owns usage as numbers: periods of whole UTC days as the service counts them, a value for every day, the order of rows.

const DAY_MS = 24 * 60 * 60 * 1000;
export const PERIODS = [7, 30, 90];

const dayText = (ms) => new Date(ms).toISOString().slice(0, 10);
const dayMs = (day) => Date.parse(`${day}T00:00:00Z`);

/** The last `days` days up to now: `{from, to}` as UTC days, `to` exclusive. */
export function periodOf(days, nowMs) {
  const today = dayMs(dayText(nowMs));
  return { from: dayText(today - (days - 1) * DAY_MS), to: dayText(today + DAY_MS) };
}

/** The UTC month so far, which is what a user's budget counts. */
export const monthOf = (nowMs) => ({ from: `${dayText(nowMs).slice(0, 7)}-01`, to: periodOf(1, nowMs).to });

/** What bars and rows are measured by: coins or money where any was spent, else tasks. */
export function measureOf(total) {
  return ['coins', 'money'].find((name) => Number(total[name]) > 0) ?? 'tasks';
}

/** `[{day, value}]` for every day of the period, 0 where nothing ended. */
export function daySeries(rows, { from, to }, measure) {
  const values = new Map(rows.map((row) => [row.day, Number(row[measure])]));
  const count = (dayMs(to) - dayMs(from)) / DAY_MS;
  return Array.from({ length: count }, (_, index) => {
    const day = dayText(dayMs(from) + index * DAY_MS);
    return { day, value: values.get(day) ?? 0 };
  });
}

/** Days newest first, everything else by what it cost, then by its tasks. */
export function sortedRows(rows, measure) {
  if (rows.some((row) => row.day)) return [...rows].sort((one, other) => (one.day < other.day ? 1 : -1));
  return [...rows].sort(
    (one, other) => Number(other[measure]) - Number(one[measure]) || other.tasks - one.tasks,
  );
}

/** Whole percent of the tasks that succeeded; null without tasks. */
export const successPercent = ({ tasks, succeeded }) =>
  tasks ? Math.floor((100 * succeeded) / tasks) : null;
