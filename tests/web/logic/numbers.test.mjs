import assert from 'node:assert/strict';
import test from 'node:test';

import { numberFault, randomWhole, tidyNumber } from '../../../web/logic/numbers.js';

const BOUNDS = { type: 'integer', min: 0, max: null };

test('whole numbers are compared exactly past 2^53', () => {
  const bounds = { type: 'integer', min: null, max: Number.MAX_SAFE_INTEGER };
  assert.equal(numberFault('9007199254740991', bounds), null);
  assert.equal(numberFault('9007199254740992', bounds).key, 'mustBeAtMost');
});

for (const [text, key] of [
  ['', 'mustBeWhole'],
  ['1.5', 'mustBeWhole'],
  ['1e3', 'mustBeWhole'],
  ['-1', 'mustBeAtLeast'],
  ['+7', undefined],
]) {
  test(`"${text}" as a whole number from 0: ${key ?? 'fine'}`, () =>
    assert.equal(numberFault(text, BOUNDS)?.key, key));
}

test('random numbers keep within the bounds', () => {
  for (let turn = 0; turn < 200; turn += 1) {
    const drawn = BigInt(randomWhole({ min: 3, max: 5 }));
    assert.ok(drawn >= 3n && drawn <= 5n);
  }
  assert.match(randomWhole({ min: null, max: null }), /^\d{1,16}$/);
});

test('short fractions stay as they are', () => {
  assert.equal(tidyNumber('0.25', 'number'), '0.25');
  assert.equal(tidyNumber('0.30000000000000004', 'number'), '0.3');
  assert.equal(tidyNumber('not a number at all', 'number'), 'not a number at all');
});
