import assert from 'node:assert/strict';
import test from 'node:test';

import { attemptFor, isOutcomeOpen, withAttempt, withoutAttempt } from '../../../web/logic/attempts.js';

for (const [problem, isOpen] of [
  [{ status: 0, code: 'network' }, true],
  [{ status: 502, code: 'invalid_response' }, true],
  [{ status: 504, code: 'runninghub_timeout' }, true],
  [{ status: 500, code: 'internal_error' }, true],
  [{ status: 408, code: 'invalid_response' }, true],
  [{ status: 422, code: 'invalid_node_info' }, false],
  [{ status: 429, code: 'too_many_pending' }, false],
  [{ status: 503, code: 'runninghub_not_configured' }, false],
]) {
  test(`${problem.status} ${problem.code}: the outcome is ${isOpen ? 'open' : 'known'}`, () => {
    assert.equal(isOutcomeOpen(problem), isOpen);
  });
}

test('the status of a task says more than the response', () => {
  assert.equal(isOutcomeOpen({ status: 504, taskStatus: 'FAILED' }), false);
  assert.equal(isOutcomeOpen({ status: 200, taskStatus: 'SUBMIT_UNKNOWN' }), true);
});

test('the same values keep their key until the attempt is over', () => {
  const first = attemptFor([], 'values');
  const attempts = withAttempt([], first);
  assert.equal(attemptFor(attempts, 'values').key, first.key);
  assert.notEqual(attemptFor(attempts, 'others').key, first.key);
  assert.notEqual(attemptFor(withoutAttempt(attempts, first), 'values').key, first.key);
});
