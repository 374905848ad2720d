import assert from 'node:assert/strict';
import test from 'node:test';

import {
  acceptsFile,
  firstValue,
  groupsOf,
  matchingKeys,
  valueCaution,
  valueFault,
} from '../../../web/logic/fields.js';

const node = (fieldValue, input, names = {}) => ({
  nodeId: '3',
  fieldName: 'steps',
  fieldValue,
  input,
  ...names,
});
const INTEGER = { type: 'integer', min: 1, max: 60 };

test('the saved value always passes, also out of bounds', () => {
  assert.equal(valueFault(node('99', INTEGER), '99'), null);
  assert.deepEqual(valueFault(node('20', INTEGER), '61'), { key: 'mustBeAtMost', values: { bound: 60 } });
});

test('a fraction loses the rounding of binary fractions, a seed keeps every digit', () => {
  assert.equal(firstValue(node('0.7000000000000001', { type: 'number' })), '0.7');
  assert.equal(firstValue(node('18446744073709551615', { type: 'integer' })), '18446744073709551615');
});

test('no file and the sample file are cautions, an uploaded file is none', () => {
  const picture = (value) => node(value, { type: 'image' });
  assert.deepEqual(valueCaution(picture('None'), 'None'), { key: 'cautionNoFile' });
  assert.deepEqual(valueCaution(picture('a.png'), 'a.png'), { key: 'cautionSample' });
  assert.equal(valueCaution(picture('a.png'), 'api/b.png'), null);
});

for (const [accept, name, type, isAccepted] of [
  ['image/*', 'a.png', 'image/png', true],
  ['image/*', 'a.mp3', 'audio/mpeg', false],
  ['video/*', 'a.mkv', '', true],
  ['video/*', 'a.txt', '', false],
  ['.zip', 'A.ZIP', 'application/zip', true],
  ['.zip', 'a.png', 'image/png', false],
  [null, 'a.bin', '', true],
]) {
  test(`${accept} ${isAccepted ? 'accepts' : 'refuses'} ${name}`, () => {
    assert.equal(acceptsFile(accept, { name, type }), isAccepted);
  });
}

test('fields of one node are a group, in the order of the form', () => {
  const nodes = [
    { nodeId: '1', nodeName: 'A', fieldName: 'x' },
    { nodeId: '2', nodeName: 'B', fieldName: 'y' },
    { nodeId: '1', nodeName: 'A', fieldName: 'z' },
  ];
  const groups = groupsOf(nodes).map(({ id, nodes: members }) => [
    id,
    members.map((member) => member.fieldName),
  ]);
  assert.deepEqual(groups, [
    ['1', ['x', 'z']],
    ['2', ['y']],
  ]);
});

test('a filter finds fields by every word, in either language', () => {
  const seed = node('1', { label: '随机种子', labelEn: 'Seed' }, { fieldName: 'seed', nodeName: 'KSampler' });
  const steps = node('1', { label: '步数', labelEn: 'Steps' }, { nodeName: 'KSampler' });
  assert.deepEqual([...matchingKeys([seed, steps], 'ksampler 种子')], ['3.seed']);
  assert.equal(matchingKeys([seed, steps], '').size, 2);
});
