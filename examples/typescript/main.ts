// One app with its fields written by hand, typed by schema.d.ts: a change of the API that breaks this page fails `npm run check`.

import createClient, { type Client } from 'openapi-fetch';
import type { components, paths } from './schema.js';

type Task = components['schemas']['TaskResponse'];

const WEBAPP_ID = '1992755951447109633'; // an id has too many digits for a JavaScript number
const FINAL: Task['status'][] = ['SUCCESS', 'FAILED', 'CANCELLED', 'SUBMIT_UNKNOWN'];

const form = document.querySelector('form')!;
const runButton = form.querySelector('button')!;
const cancelButton = document.querySelector<HTMLButtonElement>('#cancel')!;
const status = document.querySelector<HTMLElement>('#status')!;
const results = document.querySelector<HTMLElement>('#results')!;

let idempotencyKey: string | null = null;
let taskId = '';

form.addEventListener('input', () => { idempotencyKey = null; }); // another request needs another key
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  runButton.disabled = true;
  results.replaceChildren();
  try {
    taskId = await submit();
    cancelButton.disabled = false;
    await follow(taskId);
  } catch (error) {
    showError(error);
  } finally {
    runButton.disabled = false;
    cancelButton.disabled = true;
  }
});
cancelButton.addEventListener('click', async () => {
  try {
    show(await answerOf(service().POST('/tasks/{task_id}/cancel', { params: { path: { task_id: taskId } } })));
  } catch (error) {
    showError(error); // it may have ended in the meantime
  }
});

/** Start a task and give its id. A run costs, so a call that got no answer is repeated with the same key: it is paid once. */
async function submit(): Promise<string> {
  status.textContent = 'Submitting …';
  idempotencyKey ??= crypto.randomUUID();
  const answer = await answerOf(service().POST('/submit_task', {
    params: { header: { 'idempotency-key': idempotencyKey } },
    body: {
      webappId: WEBAPP_ID,
      nodeInfoList: [
        { nodeId: '15', fieldName: 'text', fieldValue: value('prompt') },
        { nodeId: '16', fieldName: 'text', fieldValue: value('negativePrompt') },
      ],
    },
  }));
  idempotencyKey = null;
  return answer.task_id;
}

/** Show a task until it ends: live if events come through, else by asking again and again. */
async function follow(id: string): Promise<void> {
  try {
    for await (const task of events(id)) {
      show(task);
      if (FINAL.includes(task.status)) return;
    }
  } catch {
    // A proxy on the way may cut event streams, or hold them back.
  }
  let task = await getTask(id);
  show(task);
  while (!FINAL.includes(task.status)) {
    task = await getTask(id, 30); // answers as soon as the status changes
    show(task);
  }
}

function getTask(id: string, wait = 0): Promise<Task> {
  return answerOf(service().GET('/tasks/{task_id}', { params: { path: { task_id: id }, query: { wait } } }));
}

/** The task now and at every change. Not EventSource, which cannot send the token. */
async function* events(id: string): AsyncGenerator<Task> {
  const stream = await answerOf(
    service().GET('/tasks/{task_id}/events', { params: { path: { task_id: id } }, parseAs: 'stream' }),
  );
  const reader = (stream as ReadableStream<BufferSource>).pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (text + part.value).split('\n\n');
    text = blocks.pop() ?? ''; // not complete yet
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1]; // a block without data is a heartbeat
      if (data) yield JSON.parse(data) as Task;
    }
  }
}

function show(task: Task): void {
  const place = task.queue_position ? `, number ${task.queue_position} in the queue` : '';
  const reason = task.error ? `: ${task.error.message}` : '';
  status.textContent = task.status + place + reason;
  // RunningHub's own list, passed on whole.
  const urls = (task.result_data ?? []).flatMap((file) => file.fileUrl ?? []);
  results.replaceChildren(...urls.map((src) => Object.assign(new Image(), { src, alt: 'Result' })));
}

function showError(error: unknown): void {
  status.textContent = error instanceof Error ? error.message : String(error);
}

function service(): Client<paths> {
  const token = value('token');
  return createClient<paths>({
    baseUrl: value('service'),
    headers: token ? { Authorization: `Bearer ${token}` } : {},
  });
}

/** An error of the service is a problem (RFC 9457): `detail` is for people, `code` for programs. */
async function answerOf<T>(call: Promise<{ data?: T; error?: components['schemas']['Problem'] }>): Promise<T> {
  const { data, error } = await call;
  if (data !== undefined) return data;
  throw new Error(error ? `${error.detail} (${error.code})` : 'The service could not be read.');
}

function value(name: string): string {
  return (form.elements.namedItem(name) as HTMLInputElement).value;
}
