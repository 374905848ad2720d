import assert from 'node:assert/strict';
import test from 'node:test';

import { costOf, fileNameOf, isNamedByPage, outputsOf, previewOf, webAddress } from '../../../web/logic/outputs.js';

const RESULT = { fileUrl: 'https://host/a.png', fileType: 'png', taskCostTime: '27', consumeCoins: '6' };
const OUTPUT = {
  n: 0,
  state: 'KEPT',
  url: '/tasks/1/outputs/0?expires=1&signature=x',
  file_type: 'png',
  media_type: 'image/png',
  text: null,
};

test('without outputs of our own, RunningHub’s list is shown', () => {
  const [output] = outputsOf({ result_data: [RESULT] });
  assert.deepEqual([output.kind, output.url, output.isOurs], ['image', 'https://host/a.png', false]);
});

test('an output of our own is shown and downloaded from here', () => {
  const [output] = outputsOf({ result_data: [RESULT], outputs: [OUTPUT] });
  assert.equal(output.url, OUTPUT.url);
  assert.equal(output.downloadUrl, `${OUTPUT.url}&download=1`);
  assert.ok(output.isOurs && output.isKept && !output.isGone);
});

test('lists show the thumbnail, which is not there before an image is kept', () => {
  const small = `${OUTPUT.url}&thumbnail=true`;
  const [kept] = outputsOf({ outputs: [{ ...OUTPUT, thumbnail_url: small }] });
  assert.deepEqual([kept.url, kept.thumbnailUrl], [OUTPUT.url, small]);
  assert.equal(outputsOf({ outputs: [{ ...OUTPUT, thumbnail_url: null }] })[0].thumbnailUrl, OUTPUT.url);
  assert.equal(outputsOf({ result_data: [RESULT] })[0].thumbnailUrl, RESULT.fileUrl);
});

test('the page names the files that it can save, others come as the service or RunningHub names them', () => {
  const [output] = outputsOf({ result_data: [RESULT], outputs: [OUTPUT] });
  assert.ok(isNamedByPage([output, { ...output, kind: 'video', bytes: 1000 }]));
  assert.ok(!isNamedByPage([output, { ...output, bytes: 400_000_000 }]));
  assert.ok(!isNamedByPage([output, { ...output, kind: 'video', bytes: null }]));
  assert.ok(!isNamedByPage(outputsOf({ result_data: [RESULT] })));
});

test('a lost output is gone', () => {
  assert.ok(outputsOf({ outputs: [{ ...OUTPUT, state: 'LOST' }] })[0].isGone);
  assert.equal(previewOf({ outputs: [{ ...OUTPUT, state: 'LOST' }] }), null);
});

for (const address of ['javascript:alert(1)', 'data:text/html,x', '//host/a.png', '', null, 7]) {
  test(`${address} is no address to open`, () => {
    assert.equal(webAddress(address), null);
    assert.equal(outputsOf({ outputs: [{ ...OUTPUT, url: address }] })[0].url, null);
  });
}

test('result data of other types is passed over', () => {
  assert.deepEqual(outputsOf({ result_data: [null, 'x', 7, {}] }), []);
});

test('a cost is counted once, however many files repeat it', () => {
  assert.equal(costOf({ result_data: [RESULT, RESULT] }).coins, '6');
  assert.equal(costOf({ result_data: [RESULT], cost: { coins: '9', money: null } }).coins, '9');
  assert.equal(costOf({ result_data: [] }).seconds, null);
});

test('a file has a readable name without what file systems refuse', () => {
  const output = { n: 1, ending: 'png' };
  assert.equal(
    fileNameOf({ prompt: 'a cat: "asleep"/\n on a roof', output, count: 2 }),
    'a cat asleep on a roof 2.png',
  );
  assert.equal(fileNameOf({ prompt: '', appName: '文生图', output, count: 1 }), '文生图.png');
});
