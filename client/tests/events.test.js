// Event streams as they may arrive: in any pieces, with any line ends, or not at all.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEvents } from '../build/events.js';

const patient = () => 60_000;

function streamOf(...pieces) {
  const bytes = pieces.map((piece) => (typeof piece === 'string' ? new TextEncoder().encode(piece) : piece));
  return new ReadableStream({
    start(controller) {
      for (const piece of bytes) controller.enqueue(piece);
      controller.close();
    },
  });
}

async function read(...pieces) {
  const events = [];
  for await (const event of readEvents(streamOf(...pieces), patient)) events.push(event);
  return events;
}

test('an event has its type, id and data', async () => {
  assert.deepEqual(await read('event: task\nid: 7\ndata: {"a": 1}\n\n'), [{ type: 'task', id: '7', data: '{"a": 1}' }]);
});

test('heartbeats and blocks without data are no events', async () => {
  assert.deepEqual(await read(': ping\n\n', 'retry: 1000\n\n', 'data: x\n\n'), [{ type: 'message', id: '', data: 'x' }]);
});

test('several data lines are one text', async () => {
  assert.deepEqual((await read('data: a\ndata: b\n\n')).map((event) => event.data), ['a\nb']);
});

for (const lineEnd of ['\n', '\r\n', '\r']) {
  test(`pieces of one byte make the same events, with ${JSON.stringify(lineEnd)}`, async () => {
    const bytes = new TextEncoder().encode(['event: task', 'data: 猫', '', 'data: 2', '', ''].join(lineEnd));
    const events = await read(...Array.from(bytes, (byte) => new Uint8Array([byte])), '\n');
    assert.deepEqual(events.map((event) => [event.type, event.data]), [['task', '猫'], ['message', '2']]);
  });
}

test('an event that was cut off is dropped', async () => {
  assert.deepEqual(await read('data: whole\n\ndata: ha'), [{ type: 'message', id: '', data: 'whole' }]);
});

test('a silent stream is an error, and is closed', async () => {
  let isClosed = false;
  const silent = new ReadableStream({ cancel: () => { isClosed = true; } });
  await assert.rejects(readEvents(silent, () => 1).next(), /silent/);
  assert.equal(isClosed, true);
});
