// Owns the usage that is shown: its period, what it is grouped by, and the sums of the service.

import { getUsage, serviceNow } from '../service/api.js';
import { periodOf } from '../logic/usage.js';
import { batch, signal } from '../ui/html.js';

export const days = signal(30);
/** What the table's rows are: `webapp`, `owner`, `account` or `day`. */
export const dimension = signal('webapp');
/** `{total, byDay, rows, dimension, period}`, or null before the first response. */
export const usage = signal(null);
export const usageProblem = signal(null);

let turn = 0;

export async function readUsage() {
  const mine = ++turn;
  const period = periodOf(days.value, serviceNow());
  const shown = dimension.value;
  try {
    const [byDay, grouped] = await Promise.all([
      getUsage({ ...period, group_by: 'day' }),
      getUsage({ ...period, group_by: shown }),
    ]);
    if (mine !== turn) return;
    batch(() => {
      usage.value = {
        total: byDay.total,
        byDay: byDay.usage,
        rows: grouped.usage,
        dimension: shown,
        period,
      };
      usageProblem.value = null;
    });
  } catch (problem) {
    if (mine === turn) usageProblem.value = problem;
  }
}

export function showPeriod(count) {
  days.value = count;
  return readUsage();
}

export function groupBy(name) {
  dimension.value = name;
  return readUsage();
}
