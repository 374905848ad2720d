import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';

import { webappIdIn } from '../../../web/logic/app_ids.js';
import { progressOf, usualOf } from '../../../web/logic/estimate.js';
import { matchesSearch, promptOf } from '../../../web/logic/prompts.js';
import { appRoute, parseRoute, taskRoute } from '../../../web/logic/routes.js';
import { snippetOf } from '../../../web/logic/snippets.js';
import { fingerprintOf, submissionOf } from '../../../web/logic/submission.js';
import { isUserToken } from '../../../web/logic/tokens.js';
import { operatorTexts } from '../../../web/operator/texts.js';
import { texts as firstTexts } from '../../../web/ui/texts.js';

const texts = { ...firstTexts, ...operatorTexts };

const item = (fieldName, fieldValue, fieldType = 'STRING') => ({
  nodeId: '1',
  fieldName,
  fieldValue,
  fieldType,
});

test('an address names the gallery, an app or a task', () => {
  assert.deepEqual(parseRoute(appRoute('123')), { name: 'app', id: '123' });
  assert.deepEqual(parseRoute(taskRoute('a b/c')), { name: 'task', id: 'a b/c' });
  for (const hash of ['', '#/', '#/apps/x', '#/tasks/', '#/tasks/%'])
    assert.equal(typeof parseRoute(hash).name, 'string');
  assert.equal(parseRoute('#/elsewhere').name, 'gallery');
});

for (const text of [
  '1992755951447109633',
  ' https://www.runninghub.cn/ai-detail/1992755951447109633?inviteCode=1a2b ',
  'webappId=1992755951447109633',
]) {
  test(`the app of ${text.trim()}`, () => assert.equal(webappIdIn(text), '1992755951447109633'));
}

for (const [token, isUser] of [
  ['rhg_x1J9', true],
  ['eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl', true],
  ['sesame', false],
  ['a.b.c', false],
  [null, false],
])
  test(`whose token is ${token}`, () => assert.equal(isUserToken(token), isUser));

test('a name is no id', () => assert.equal(webappIdIn('flux 2'), null));

test('a task’s line is its prompt, not its model or its number', () => {
  const items = [
    item('ckpt_name', 'a.safetensors'),
    item('width', '1024'),
    item('negative_prompt', 'blurry'),
    item('prompt', 'a cat'),
  ];
  assert.equal(promptOf({ node_info: items }), 'a cat');
  assert.equal(promptOf({ node_info: null }), '');
});

test('a search finds values, names and ids by every word', () => {
  const task = { id: 'abc', node_info: [item('prompt', 'A red Balloon')], webapp_id: '7' };
  assert.ok(matchesSearch(task, 'balloon red'));
  assert.ok(matchesSearch(task, 'flux', 'Flux Kontext'));
  assert.ok(!matchesSearch(task, 'balloon blue'));
});

test('the usual run is the median of successful ones', () => {
  const run = (seconds) => ({
    webapp_id: '1',
    status: 'SUCCESS',
    result_data: [{ taskCostTime: seconds, consumeCoins: '6' }],
  });
  assert.deepEqual(usualOf([run('10'), run('90'), run('20'), { ...run('1'), status: 'FAILED' }], '1'), {
    seconds: 20,
    coins: 6,
    money: null,
    count: 3,
  });
  assert.deepEqual(usualOf([], '1'), { seconds: null, coins: null, money: null, count: 0 });
});

test('a run that takes longer than usual waits below the end and is overdue', () => {
  const task = { status: 'RUNNING', updated_at: new Date(0).toISOString(), expected_seconds: 10 };
  assert.deepEqual(progressOf(task, 4000), { share: 0.4, leftSeconds: 6, isOverdue: false });
  assert.deepEqual(progressOf(task, 60_000), { share: 0.96, leftSeconds: 0, isOverdue: true });
  assert.equal(progressOf({ ...task, status: 'QUEUED' }, 4000).share, null);
});

const APP = { webappId: '1', nodeInfoList: [{ nodeId: '15', fieldName: 'text', fieldType: 'STRING' }] };

test('what only the page needs does not make another run', () => {
  const values = { '15.text': 'a cat' };
  const plain = submissionOf(APP, values);
  const inBatch = submissionOf(APP, values, { metadata: { batch: 'x' } });
  assert.equal(fingerprintOf(plain), fingerprintOf(inBatch));
  assert.notEqual(fingerprintOf(plain), fingerprintOf(submissionOf(APP, { '15.text': 'a dog' })));
  assert.deepEqual(Object.keys(plain), ['webappId', 'nodeInfoList']);
});

test('a token is only ever a placeholder', () => {
  const submission = submissionOf(APP, { '15.text': "it's" });
  for (const language of ['curl', 'fetch', 'client', 'python']) {
    const code = snippetOf(language, { origin: 'http://host', submission, hasToken: true });
    assert.match(code, /YOUR_TOKEN|\$GATEWAY_TOKEN/);
    assert.match(code, /it's|it'\\''s/);
  }
});

test('every text has both languages and the same names in braces', () => {
  const namesIn = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
  for (const [key, [chinese, english, ...rest]] of Object.entries(texts)) {
    assert.equal(rest.length, 0, key);
    assert.ok(chinese && english, key);
    assert.deepEqual(namesIn(chinese), namesIn(english.split('|').at(-1)), key);
  }
});

test('every text that the page names exists, and none is left over', () => {
  const folders = [
    '.',
    'dialogs',
    'form',
    'gallery',
    'header',
    'history',
    'operator',
    'result',
    'state',
    'ui',
    'workspace',
  ];
  const root = new URL('../../../web/', import.meta.url);
  const files = folders.flatMap((folder) =>
    readdirSync(new URL(`${folder}/`, root))
      .filter((name) => name.endsWith('.js') && name !== 'texts.js')
      .map((name) => new URL(`${folder}/${name}`, root)),
  );
  const logic = readdirSync(new URL('logic/', root)).map((name) => new URL(`logic/${name}`, root));
  const source = [...files, ...logic].map((file) => readFileSync(file, 'utf8')).join('\n');
  const named = new Set([...source.matchAll(/\bt\(\s*'(\w+)'/g)].map((match) => match[1]));
  assert.deepEqual(
    [...named].filter((key) => !(key in texts)),
    [],
  );
  const isFamily = (key) =>
    /^(problem|account|waiting|sort|tab|filter|kind|instance|by|limit|short|delivery)_|_text$|(Count|PerDay)$|^[A-Z_]+$/.test(key);
  assert.deepEqual(
    Object.keys(texts).filter((key) => !source.includes(`'${key}'`) && !isFamily(key)),
    [],
  );
});
