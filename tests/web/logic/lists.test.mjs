import assert from 'node:assert/strict';
import test from 'node:test';

import { mergeTasks, passes } from '../../../web/logic/task_list.js';
import { daysAgo, dayStart } from '../../../web/logic/time.js';
import { heightOf, rowsOf, visibleRows } from '../../../web/logic/virtual_list.js';

const SIZES = { rowHeight: 50, headingHeight: 20 };
const at = (id, created, updated = created, status = 'SUCCESS') => ({
  id,
  created_at: created,
  updated_at: updated,
  status,
});
const minutes = (number) => new Date(Date.UTC(2026, 10, 24, 12) - number * 60_000).toISOString();

test('each task is there once, newest first, and never older than it was', () => {
  const newer = at('a', minutes(5), minutes(1));
  const merged = mergeTasks(
    [newer, at('b', minutes(9))],
    [at('a', minutes(5), minutes(4), 'RUNNING'), at('c', minutes(1))],
  );
  assert.deepEqual(
    merged.map((task) => task.id),
    ['c', 'a', 'b'],
  );
  assert.equal(merged[1], newer);
});

test('of ten thousand tasks only those in view are drawn', () => {
  const tasks = Array.from({ length: 10_000 }, (_, index) => at(String(index), minutes(index)));
  const rows = rowsOf(tasks, SIZES);
  const shown = visibleRows(rows, 250_000, 600, 100);
  assert.ok(shown.length < 20);
  assert.ok(shown[0].top <= 250_000 && shown.at(-1).top + shown.at(-1).height >= 250_600);
  assert.equal(
    heightOf(rows),
    rows.reduce((sum, row) => sum + row.height, 0),
  );
});

test('every day has one heading', () => {
  const rows = rowsOf(
    [at('a', '2026-11-24T12:00:00Z'), at('b', '2026-11-24T11:00:00Z'), at('c', '2026-11-20T12:00:00Z')],
    SIZES,
  );
  assert.deepEqual(
    rows.map((row) => row.kind),
    ['day', 'task', 'task', 'day', 'task'],
  );
});

test('an empty list has no rows', () => {
  assert.deepEqual(visibleRows([], 0, 600), []);
  assert.equal(heightOf([]), 0);
});

test('filters are inclusive at the start and exclusive at the end', () => {
  const task = { ...at('a', '2026-11-24T12:00:00.000Z'), webapp_id: '1' };
  assert.ok(passes(task, { after: '2026-11-24T12:00:00.000Z' }));
  assert.ok(!passes(task, { before: '2026-11-24T12:00:00.000Z' }));
  assert.ok(!passes(task, { webappId: '2' }));
  assert.ok(!passes(task, { status: 'bad' }));
});

test('days are counted by the calendar', () => {
  assert.equal(daysAgo('2026-11-23', new Date(2026, 10, 24, 0, 5)), 1);
  assert.equal(dayStart('2026-11-30', 1), new Date(2026, 11, 1).toISOString());
  assert.equal(dayStart(''), null);
});
