// The client against a real gateway and the simulator: what is paid for, what is reported, and what survives.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { GatewayProblem, TaskFailure } from '../dist/gateway.js';
import {
  ALWAYS_FAILS, block, fetchWith, GUARDED_URL, loseResponse, memory, paidRuns, resetSimulator, respond, setSwitches,
  testGateway, TEXT_TO_IMAGE, TOKEN, WORKFLOW,
} from './support.js';

const VALUES = { '15.text': 'a dog' };

beforeEach(() => resetSimulator());

// Run and follow

test('a run submits the given values and resolves with the outputs', async () => {
  const gateway = testGateway();
  const form = await gateway.form(TEXT_TO_IMAGE);
  const statuses = [];
  const { task, outputs } = await gateway.run(form, { values: VALUES, onChange: (t) => statuses.push(t.status) });
  assert.equal(statuses.at(-1), 'SUCCESS');
  assert.deepEqual(task.node_info.map((node) => [node.nodeId, node.fieldName, node.fieldValue]), [['15', 'text', 'a dog']]);
  assert.deepEqual(outputs.map(({ url }) => url), gateway.outputs(task).map(({ url }) => url));
  assert.deepEqual(outputs.map(({ n, media_type }) => [n, media_type]), [[0, 'image/png']]);
  const picture = await fetch(outputs[0].url);
  assert.deepEqual([picture.status, picture.headers.get('Content-Type')], [200, 'image/png']);
  assert.deepEqual(gateway.unfinished(), []);
});

test('other members of a submit are passed on', async () => {
  const { task } = await testGateway().run(TEXT_TO_IMAGE, { values: VALUES, instanceType: 'plus' });
  const sent = await fetch(`${process.env.SIMULATOR_URL}/simulator/last-request?endpoint=run`).then((r) => r.json());
  assert.equal(task.status, 'SUCCESS');
  assert.match(JSON.stringify(sent), /"instanceType":"plus"/);
});

test('a workflow has a form and runs', async () => {
  const gateway = testGateway();
  const form = await gateway.workflowForm(WORKFLOW);
  const { task } = await gateway.run(form, { metadata: { scene: 3 } });
  assert.deepEqual([task.status, task.workflow_id, task.metadata], ['SUCCESS', WORKFLOW, { scene: 3 }]);
});

test('two identical runs at the same time are two tasks', async () => {
  const gateway = testGateway();
  const [one, other] = await Promise.all([1, 2].map(() => gateway.run(TEXT_TO_IMAGE, { values: VALUES })));
  assert.notEqual(one.task.id, other.task.id);
  assert.equal(await paidRuns(), 2);
});

test('a task that fails is a TaskFailure with its reason', async () => {
  const failure = await testGateway().run(ALWAYS_FAILS).catch((error) => error);
  assert.ok(failure instanceof TaskFailure);
  assert.equal(failure.task.status, 'FAILED');
  assert.deepEqual([failure.code, failure.message], [failure.task.error.code, failure.task.error.message]);
});

test('a task whose paid call had no response ends as SUBMIT_UNKNOWN and is not submitted again', async () => {
  await setSwitches({ faults: { run: { kind: 'lost_reply' } } });
  const gateway = testGateway();
  const failure = await gateway.run(TEXT_TO_IMAGE, { values: VALUES }).catch((error) => error);
  assert.ok(failure instanceof TaskFailure, String(failure));
  assert.equal(failure.task.status, 'SUBMIT_UNKNOWN');
  assert.deepEqual([gateway.unfinished(), await paidRuns()], [[], 1]);
});

test('without event streams a run is followed by waiting reads', async () => {
  const read = [];
  const blocked = fetchWith(block('/events'));
  const gateway = testGateway({ fetch: (url, init) => { read.push(url); return blocked(url, init); } });
  await gateway.run(TEXT_TO_IMAGE, { values: VALUES });
  assert.ok(read.some((url) => /\/tasks\/[^/]+\?wait=25$/.test(url)), read.join('\n'));
  assert.equal(read.filter((url) => url.endsWith('/events')).length, 2);
});

test('a stream that breaks is resumed behind the last event', async () => {
  const resumedBehind = [];
  const gateway = testGateway({ fetch: async (url, init) => {
    if (!url.endsWith('/events')) return fetch(url, init);
    resumedBehind.push(init.headers['Last-Event-ID'] ?? null);
    const response = await fetch(url, init);
    return resumedBehind.length === 1 ? afterFirstPiece(response) : response;
  } });
  const { task } = await gateway.run(TEXT_TO_IMAGE, { values: VALUES });
  assert.equal(task.status, 'SUCCESS');
  assert.equal(resumedBehind[0], null);
  assert.match(resumedBehind[1], /^\d+$/);
});

/** The response as far as its first piece, and then a broken connection. */
function afterFirstPiece(response) {
  const reader = response.body.getReader();
  let pieces = 0;
  return new Response(new ReadableStream({
    async pull(controller) {
      pieces += 1;
      if (pieces === 1) controller.enqueue((await reader.read()).value);
      else { await reader.cancel(); controller.error(new TypeError('terminated')); }
    },
  }));
}

test('following goes on while the gateway cannot be reached, and says so', async () => {
  const problems = [];
  const outage = fetchWith(block('/events'), respond('', '<h1>Bad gateway</h1>', { status: 502 }, 3));
  const { id } = await started(testGateway());
  const task = await testGateway({ fetch: outage }).follow(id, { onRetry: (problem) => problems.push(problem.status) });
  assert.deepEqual([task.status, problems], ['SUCCESS', [502, 502, 502]]);
});

test('following a task that does not exist is a problem', async () => {
  await assert.rejects(testGateway().follow('no-such-task'), { name: 'GatewayProblem', code: 'task_not_found', status: 404 });
});

// Paid once

test('a submit whose response was lost is sent again with the same key and paid once', async () => {
  const problems = [];
  const gateway = testGateway({ fetch: fetchWith(loseResponse('/submit_task')) });
  const { task } = await gateway.run(TEXT_TO_IMAGE, { values: VALUES, onRetry: ({ code }) => problems.push(code) });
  assert.deepEqual([task.status, problems, await paidRuns()], ['SUCCESS', ['network'], 1]);
});

for (const [name, body, status] of [['a proxy\'s page', '<h1>Timeout</h1>', 504], ['half a response', '{"task_', 202]]) {
  test(`${name} in place of the response is not the end of a run`, async () => {
    const spoil = { path: '/submit_task', times: 1, respond: async (url, init) => {
      await (await fetch(url, init)).text();
      return new Response(body, { status });
    } };
    const { task } = await testGateway({ fetch: fetchWith(spoil) }).run(TEXT_TO_IMAGE, { values: VALUES });
    assert.deepEqual([task.status, await paidRuns()], ['SUCCESS', 1]);
  });
}

test('when all attempts fail, the next run with the same values uses the same key', async () => {
  const gateway = testGateway({ fetch: fetchWith(loseResponse('/submit_task', 5)) });
  await assert.rejects(gateway.run(TEXT_TO_IMAGE, { values: { '15.text': 'a', '16.text': 'b', '17.x': undefined } }), { code: 'network' });
  assert.equal(gateway.unfinished().length, 1);
  const { task } = await gateway.run(TEXT_TO_IMAGE, { values: { '16.text': 'b', '15.text': 'a' } });
  assert.deepEqual([task.status, await paidRuns(), gateway.unfinished()], ['SUCCESS', 1, []]);
});

test('other values are another run with another key', async () => {
  const gateway = testGateway({ fetch: fetchWith(loseResponse('/submit_task', 5)) });
  await assert.rejects(gateway.run(TEXT_TO_IMAGE, { values: VALUES }), { code: 'network' });
  await gateway.run(TEXT_TO_IMAGE, { values: { '15.text': 'another' } });
  assert.deepEqual([await paidRuns(), gateway.unfinished().length], [2, 1]);
});

test('a rate limit behind a lost response does not end the run: its key is kept', async () => {
  const limited = () => respond('/submit_task', '{"code": "rate_limited", "detail": "Too many calls."}', { status: 429 }, 4);
  const gateway = testGateway({ fetch: fetchWith(loseResponse('/submit_task'), limited()) });
  await assert.rejects(gateway.run(TEXT_TO_IMAGE, { values: VALUES }), { code: 'rate_limited' });
  await gateway.run(TEXT_TO_IMAGE, { values: VALUES });
  assert.equal(await paidRuns(), 1);
});

test('after a reload, a run whose response was lost is continued and paid once', async () => {
  const storage = memory();
  const leaving = new AbortController();
  const reload = { path: '/submit_task', times: 1, respond: async (url, init) => {
    await (await fetch(url, init)).text();
    leaving.abort();
    throw leaving.signal.reason;
  } };
  const before = testGateway({ storage, fetch: fetchWith(reload) });
  await assert.rejects(before.run(TEXT_TO_IMAGE, { values: VALUES, signal: leaving.signal }), { name: 'AbortError' });

  const after = testGateway({ storage });
  const [run] = after.unfinished();
  assert.equal(run.taskId, null);
  const { task } = await after.resume(run.idempotencyKey);
  assert.deepEqual([task.status, await paidRuns(), after.unfinished()], ['SUCCESS', 1, []]);
});

test('after a reload, a run that was accepted is followed without another submit', async () => {
  const storage = memory();
  const leaving = new AbortController();
  const before = testGateway({ storage });
  const left = before.run(TEXT_TO_IMAGE, { values: VALUES, signal: leaving.signal, onChange: () => leaving.abort() });
  await assert.rejects(left, { name: 'AbortError' });

  const after = testGateway({ storage, fetch: fetchWith(block('/submit_task')) });
  const [run] = after.unfinished();
  const { task } = await after.resume(run.idempotencyKey);
  assert.deepEqual([task.id, task.status, await paidRuns()], [run.taskId, 'SUCCESS', 1]);
});

test('your own key makes two runs one, and never two different ones', async () => {
  const gateway = testGateway();
  const options = { values: VALUES, idempotencyKey: crypto.randomUUID() };
  const [one, other] = await Promise.all([gateway.run(TEXT_TO_IMAGE, options), gateway.run(TEXT_TO_IMAGE, options)]);
  assert.deepEqual([one.task.id, await paidRuns()], [other.task.id, 1]);
  await assert.rejects(gateway.run(TEXT_TO_IMAGE, { ...options, values: {} }), { code: 'idempotency_key_reused', status: 422 });
});

test('a run is remembered in memory where the storage is full', async () => {
  const full = { getItem: () => null, setItem: () => { throw new DOMException('full', 'QuotaExceededError'); } };
  const gateway = testGateway({ storage: full, fetch: fetchWith(loseResponse('/submit_task', 5)) });
  await assert.rejects(gateway.run(TEXT_TO_IMAGE, { values: VALUES }), { code: 'network' });
  await gateway.run(TEXT_TO_IMAGE, { values: VALUES });
  assert.equal(await paidRuns(), 1);
});

test('a run that was aborted before it was sent is not remembered', async () => {
  const gateway = testGateway();
  await assert.rejects(gateway.run(TEXT_TO_IMAGE, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.deepEqual(gateway.unfinished(), []);
});

test('a forgotten run is not continued', async () => {
  const gateway = testGateway({ fetch: fetchWith(block('/submit_task', 5)) });
  await assert.rejects(gateway.run(TEXT_TO_IMAGE), { code: 'network' });
  const [{ idempotencyKey }] = gateway.unfinished();
  gateway.forget(idempotencyKey);
  await assert.rejects(gateway.resume(idempotencyKey), RangeError);
});

// Problems

test('a refused run names the wrong values, and is not remembered', async () => {
  const gateway = testGateway();
  const problem = await gateway.run(TEXT_TO_IMAGE, { values: { '99.nothing': 1 } }).catch((error) => error);
  assert.ok(problem instanceof GatewayProblem);
  assert.deepEqual([problem.code, problem.status], ['invalid_node_info', 422]);
  assert.deepEqual(problem.errors.map(({ nodeId, fieldName }) => [nodeId, fieldName]), [['99', 'nothing']]);
  assert.deepEqual([gateway.unfinished(), await paidRuns()], [[], 0]);
});

test('Retry-After is passed on', async () => {
  const limited = respond('/get_node_info', '{"code": "rate_limited", "detail": "d"}',
    { status: 429, headers: { 'Retry-After': '7' } });
  await assert.rejects(testGateway({ fetch: fetchWith(limited) }).form('1'), { code: 'rate_limited', retryAfter: 7 });
});

test('a gateway that is not there is a network problem', async () => {
  await assert.rejects(testGateway({ baseUrl: 'http://127.0.0.1:9' }).tasks(), { code: 'network', status: 0 });
});

test('a response in time or a timeout', async () => {
  const silent = (_, { signal }) => new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
  await assert.rejects(testGateway({ fetch: silent }).request('/health', { timeoutMs: 5 }), { code: 'timeout' });
});

// Tokens

test('the token is sent with every call, event streams included', async () => {
  const gateway = testGateway({ baseUrl: GUARDED_URL, token: TOKEN });
  const { task } = await gateway.run(TEXT_TO_IMAGE, { values: VALUES });
  assert.equal(task.status, 'SUCCESS');
  await assert.rejects(testGateway({ baseUrl: GUARDED_URL }).tasks(), { code: 'unauthorized', status: 401 });
});

test('a person may take longer to enter a token than a response may take', async () => {
  const slow = async () => { await new Promise((resolve) => setTimeout(resolve, 60)); return TOKEN; };
  const gateway = testGateway({ token: slow, fetch: async () => new Response('{}') });
  assert.deepEqual(await gateway.request('/health', { timeoutMs: 50 }), {});
});

test('the unfinished runs of one user are not those of another', async () => {
  const storage = memory();
  const gateway = testGateway({ storage, user: 'ann', fetch: fetchWith(block('/submit_task', 5)) });
  await assert.rejects(gateway.run(TEXT_TO_IMAGE), { code: 'network' });
  assert.equal(testGateway({ storage, user: 'ben' }).unfinished().length, 0);
  assert.equal(testGateway({ storage, user: 'ann' }).unfinished().length, 1);
});

test('a token that was refused is renewed once', async () => {
  const calls = [];
  const token = (refused) => { calls.push(refused); return refused ? TOKEN : 'expired'; };
  await testGateway({ baseUrl: GUARDED_URL, token }).tasks();
  assert.deepEqual(calls, [null, 'expired']);
  await assert.rejects(testGateway({ baseUrl: GUARDED_URL, token: () => 'expired' }).tasks(), { code: 'unauthorized' });
});

// Files and tasks

test('an upload returns the value for a file field', async () => {
  const shares = [];
  const picture = new File([new Uint8Array(1000)], 'cat.png', { type: 'image/png' });
  const { fileName } = await testGateway().upload(picture, {
    webappId: TEXT_TO_IMAGE, onProgress: (share) => shares.push(share),
  });
  assert.match(fileName, /^api\/.+\.png$/);
  assert.deepEqual(shares, [1]);
});

test('an upload of an empty file is refused, and an aborted one ends', async () => {
  await assert.rejects(testGateway().upload(new File([], 'empty.png')), { code: 'invalid_request', status: 422 });
  const file = new File(['x'], 'x.png');
  await assert.rejects(testGateway().upload(file, { signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('tasks are listed by status and app', async () => {
  const gateway = testGateway();
  const { task } = await gateway.run(TEXT_TO_IMAGE);
  const page = await gateway.tasks({ status: ['SUCCESS', 'FAILED'], webapp_id: TEXT_TO_IMAGE, limit: 1 });
  assert.deepEqual(page.tasks.map(({ id }) => id), [task.id]);
  assert.equal(typeof page.next_cursor, 'string');
});

test('a final task is run again with its values, once, although the response is lost', async () => {
  const first = await testGateway().run(TEXT_TO_IMAGE, { values: VALUES });
  const { task } = await testGateway({ fetch: fetchWith(loseResponse('/rerun')) }).rerun(first.task.id);
  assert.deepEqual([task.status, task.rerun_of, task.node_info], ['SUCCESS', first.task.id, first.task.node_info]);
  assert.equal(await paidRuns(), 2);
});

test('a deleted task is not there any more', async () => {
  const gateway = testGateway();
  const { task } = await gateway.run(TEXT_TO_IMAGE);
  assert.equal(await gateway.delete(task.id), undefined);
  await assert.rejects(gateway.task(task.id), { code: 'task_not_found' });
});

test('a cancelled run is a TaskFailure', async () => {
  await setSwitches({ run_time: 600 });
  const gateway = testGateway();
  let cancelled;
  const failure = await gateway.run(TEXT_TO_IMAGE, {
    onChange: (task) => { cancelled ??= gateway.cancel(task.id); },
  }).catch((error) => error);
  assert.deepEqual([failure.name, failure.code], ['TaskFailure', 'cancelled']);
  assert.equal((await cancelled).id, failure.task.id);
});

/** A task that was just submitted. */
async function started(gateway) {
  const leaving = new AbortController();
  let task;
  await gateway.run(TEXT_TO_IMAGE, {
    signal: leaving.signal,
    onChange: (current) => { task = current; leaving.abort(); },
  }).catch(() => {});
  return task;
}
