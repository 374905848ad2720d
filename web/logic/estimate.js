// Owns estimates: an app's usual run time and cost from its earlier tasks, and what is left of a run.

import { costOf } from './outputs.js';

// The bar waits here for a run that takes longer than usual.
const FULLEST = 0.96;
const MOST_TASKS = 20;

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor((sorted.length - 1) / 2)] : null;
};

/** `{seconds, coins, money, count}` of this app's latest successful tasks; null where unknown. */
export function usualOf(tasks, webappId) {
  const done = tasks
    .filter((task) => task.webapp_id === webappId && task.status === 'SUCCESS')
    .slice(0, MOST_TASKS);
  const costs = done.map(costOf);
  const usual = (name) => median(costs.map((cost) => Number(cost[name])).filter((value) => value > 0));
  const expected = done.find((task) => task.expected_seconds)?.expected_seconds ?? null;
  return {
    seconds: usual('seconds') ?? expected,
    coins: usual('coins'),
    money: usual('money'),
    count: done.length,
  };
}

/** `{share, leftSeconds, isOverdue}` of a running task; share is null where nothing is known. */
export function progressOf(task, nowMs) {
  const seconds = Math.max(0, (nowMs - Date.parse(task.updated_at)) / 1000);
  const expected = task.status === 'RUNNING' ? task.expected_seconds : null;
  if (!expected) return { share: null, leftSeconds: null, isOverdue: false };
  const left = expected - seconds;
  return {
    share: Math.min(FULLEST, seconds / expected),
    leftSeconds: Math.max(0, left),
    isOverdue: left <= 0,
  };
}
