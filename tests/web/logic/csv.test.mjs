import assert from 'node:assert/strict';
import test from 'node:test';

import { parseCsv } from '../../../web/logic/csv.js';

for (const [name, text, rows] of [
  [
    'plain',
    'a,b\n1,2\n',
    [
      ['a', 'b'],
      ['1', '2'],
    ],
  ],
  [
    'a byte order mark and CRLF',
    '\uFEFFa,b\r\n1,2',
    [
      ['a', 'b'],
      ['1', '2'],
    ],
  ],
  ['quotes, commas and line breaks', '"a ""b"", c","d\ne"', [['a "b", c', 'd\ne']]],
  [
    'empty cells and lines',
    'a,,\n\n,b,c\n',
    [
      ['a', '', ''],
      ['', 'b', 'c'],
    ],
  ],
  ['nothing', '', []],
]) {
  test(name, () => assert.deepEqual(parseCsv(text), rows));
}

test('a quote that is not closed is an error', () => {
  assert.throws(() => parseCsv('a\n"b'));
});
