// Owns the arithmetic of a long list: where its rows are, and which of them a scroll position shows.

import { dayOf, dayStart } from './time.js';

/** Tasks (newest first) as rows with a heading before each day: `[{kind, id, top, height, task? day?}]`. */
export function rowsOf(tasks, { rowHeight, headingHeight }) {
  const rows = [];
  let top = 0;
  // The bounds of the day in milliseconds: calendars are slow, and 10,000 tasks are of a few days.
  let [start, end] = [Infinity, -Infinity];
  for (const task of tasks) {
    const time = Date.parse(task.created_at);
    if (time < start || time >= end) {
      const day = dayOf(time);
      [start, end] = [dayStart(day), dayStart(day, 1)].map(Date.parse);
      rows.push({ kind: 'day', id: `day-${day}`, day, top, height: headingHeight });
      top += headingHeight;
    }
    rows.push({ kind: 'task', id: task.id, task, top, height: rowHeight });
    top += rowHeight;
  }
  return rows;
}

export const heightOf = (rows) => (rows.length ? rows.at(-1).top + rows.at(-1).height : 0);

/** The rows in view and `margin` pixels around it. */
export function visibleRows(rows, scrollTop, viewHeight, margin = 400) {
  const first = firstEndingAfter(rows, scrollTop - margin);
  let last = first;
  while (last < rows.length && rows[last].top < scrollTop + viewHeight + margin) last += 1;
  return rows.slice(first, last);
}

/** Binary search: 10,000 rows are looked at 14 times. */
function firstEndingAfter(rows, position) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].top + rows[middle].height > position) high = middle;
    else low = middle + 1;
  }
  return low;
}
