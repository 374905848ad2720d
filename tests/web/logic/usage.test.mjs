import assert from 'node:assert/strict';
import test from 'node:test';

import { parseRoute, tokenIn } from '../../../web/logic/routes.js';
import { daySeries, measureOf, monthOf, periodOf, sortedRows, successPercent } from '../../../web/logic/usage.js';
import { bodyOf, draftOf, faultsOf, signInLink } from '../../../web/logic/users.js';

const NOW = Date.parse('2026-12-01T00:30:00Z');
const NO_LIMITS = {
  max_active_tasks: null,
  max_pending_tasks: null,
  tasks_per_day: null,
  coins_per_month: null,
  calls_per_minute: null,
};

test('a period is whole days in UTC, today included', () => {
  assert.deepEqual(periodOf(7, NOW), { from: '2026-11-25', to: '2026-12-02' });
  assert.deepEqual(periodOf(1, NOW), { from: '2026-12-01', to: '2026-12-02' });
  assert.deepEqual(monthOf(NOW), { from: '2026-12-01', to: '2026-12-02' });
});

test('the chart has a bar for every day, also across a month', () => {
  const rows = [{ day: '2026-11-30', coins: '1.5' }];
  assert.deepEqual(daySeries(rows, { from: '2026-11-29', to: '2026-12-02' }, 'coins'), [
    { day: '2026-11-29', value: 0 },
    { day: '2026-11-30', value: 1.5 },
    { day: '2026-12-01', value: 0 },
  ]);
});

test('bars measure what was spent, and tasks where nothing was', () => {
  assert.equal(measureOf({ coins: '0.5', money: '3' }), 'coins');
  assert.equal(measureOf({ coins: '0', money: '3' }), 'money');
  assert.equal(measureOf({ coins: '0', money: '0' }), 'tasks');
});

test('rows are ordered by cost, days by time', () => {
  const rows = [
    { owner: 'a', coins: '9', tasks: 1 },
    { owner: 'b', coins: '10', tasks: 1 },
    { owner: null, coins: '9', tasks: 2 },
  ];
  assert.deepEqual(
    sortedRows(rows, 'coins').map((row) => row.owner),
    ['b', null, 'a'],
  );
  const days = [{ day: '2026-11-30' }, { day: '2026-12-01' }];
  assert.equal(sortedRows(days, 'coins')[0].day, '2026-12-01');
});

test('no share of success is claimed without tasks, and none is rounded up to all', () => {
  assert.equal(successPercent({ tasks: 0, succeeded: 0 }), null);
  assert.equal(successPercent({ tasks: 1000, succeeded: 999 }), 99);
});

test('a new user follows the settings in all that is left empty', () => {
  const draft = { ...draftOf(null), name: ' ann@example.com ' };
  assert.deepEqual([...faultsOf(draft)], []);
  assert.deepEqual(bodyOf(draft), {
    name: 'ann@example.com',
    expires_at: null,
    limits: NO_LIMITS,
    webapp_ids: null,
  });
});

test('a user’s own limits, expiry and apps come back as they were', () => {
  const limits = { ...NO_LIMITS, max_active_tasks: 0, coins_per_month: 12.5 };
  const user = { name: 'bo', expires_at: '2026-12-24T12:00:00.000Z', limits, webapp_ids: ['12'] };
  const body = bodyOf(draftOf(user));
  assert.deepEqual({ ...body, expires_at: null }, { name: 'bo', expires_at: null, limits, webapp_ids: ['12'] });
  assert.ok(Date.parse(body.expires_at) >= Date.parse(user.expires_at));
});

test('a wrong name and every wrong limit are found before anything is sent', () => {
  const draft = draftOf(null);
  draft.limits.tasks_per_day = '1.5';
  draft.limits.coins_per_month = '-1';
  draft.limits.calls_per_minute = '12';
  assert.deepEqual([...faultsOf({ ...draft, name: 'a/b' })], ['name', 'tasks_per_day', 'coins_per_month']);
});

test('a link signs in, and its token leaves the address', () => {
  const link = signInLink('http://gateway', 'rhg_a+b/c=');
  assert.deepEqual(tokenIn(new URL(link).hash), { token: 'rhg_a+b/c=', hash: '' });
  assert.deepEqual(tokenIn('#/apps/12?token=x.y.z'), { token: 'x.y.z', hash: '#/apps/12' });
  assert.deepEqual(tokenIn('#/tasks/token=x'), { token: null, hash: '#/tasks/token=x' });
  assert.deepEqual(tokenIn('#/usage'), { token: null, hash: '#/usage' });
  assert.equal(parseRoute('#/usage').name, 'usage');
});
