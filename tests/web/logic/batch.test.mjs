import assert from 'node:assert/strict';
import test from 'node:test';

import {
  batchProgress,
  promptFieldOf,
  promptsIn,
  rowsOfCsv,
  runCount,
  runsOf,
} from '../../../web/logic/batch.js';

const input = (type, label, labelEn) => ({ type, label, labelEn, min: null, max: null });
const APP = {
  nodeInfoList: [
    {
      nodeId: '16',
      fieldName: 'text',
      fieldType: 'STRING',
      input: input('textarea', '负面提示词', 'Negative prompt'),
    },
    { nodeId: '15', fieldName: 'text', fieldType: 'STRING', input: input('textarea', '提示词', 'Prompt') },
    { nodeId: '3', fieldName: 'seed', fieldType: 'INT', input: input('integer', '种子', 'Seed') },
  ],
};
const VALUES = { '16.text': 'blurry', '15.text': 'a cat', '3.seed': '7' };

test('the first run has the form’s own seed, the others new ones', () => {
  const runs = runsOf(APP, VALUES, { count: 4 });
  assert.equal(runs[0]['3.seed'], '7');
  assert.equal(new Set(runs.map((run) => run['3.seed'])).size, 4);
});

test('a locked seed is the same in every run', () => {
  const runs = runsOf(APP, VALUES, { count: 3, hasNewSeeds: false });
  assert.deepEqual(
    runs.map((run) => run['3.seed']),
    ['7', '7', '7'],
  );
});

test('each prompt is run as often as asked for', () => {
  const plan = { count: 2, prompts: promptsIn(' a \n\nb'), promptKey: '15.text', rows: [] };
  assert.deepEqual(
    runsOf(APP, VALUES, plan).map((run) => run['15.text']),
    ['a', 'a', 'b', 'b'],
  );
  assert.equal(runCount(plan), 4);
});

test('a seed that the CSV gives stays', () => {
  const { rows } = rowsOfCsv(APP, 'Prompt,3.seed\na,1\nb,2');
  assert.deepEqual(
    runsOf(APP, VALUES, { rows }).map((run) => [run['15.text'], run['3.seed']]),
    [
      ['a', '1'],
      ['b', '2'],
    ],
  );
});

test('unknown columns of a CSV are named', () => {
  assert.deepEqual(rowsOfCsv(APP, 'Prompt,colour\na,red').unknown, ['colour']);
});

test('a list of prompts goes into the prompt, not into the negative one', () => {
  assert.equal(promptFieldOf(APP).nodeId, '15');
  assert.equal(promptFieldOf({ nodeInfoList: [] }), null);
});

test('an unknown outcome counts as ended and is named', () => {
  const tasks = ['SUCCESS', 'FAILED', 'SUBMIT_UNKNOWN', 'RUNNING'].map((status) => ({ status }));
  assert.deepEqual(batchProgress(tasks, 5), { total: 5, ended: 3, succeeded: 1, failed: 1, cancelled: 0, unknown: 1 });
});
