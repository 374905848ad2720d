// One app with its fields written by hand and no library: submit, follow, cancel, and show the picture.

const WEBAPP_ID = '1992755951447109633'; // an id has too many digits for a JavaScript number
const FINAL = ['SUCCESS', 'FAILED', 'CANCELLED', 'SUBMIT_UNKNOWN'];

const form = document.querySelector('form');
const runButton = form.querySelector('button');
const cancelButton = document.querySelector('#cancel');
const status = document.querySelector('#status');
const results = document.querySelector('#results');

let taskId = null;

form.addEventListener('submit', (event) => {
  event.preventDefault();
  run({
    webappId: WEBAPP_ID,
    values: { '15.text': form.elements.prompt.value, '16.text': form.elements.negativePrompt.value },
  });
});
cancelButton.addEventListener('click', async () => {
  try {
    show(await call('POST', `/tasks/${taskId}/cancel`));
  } catch (error) {
    status.textContent = error.message; // it may have ended in the meantime
  }
});

async function run(body) {
  runButton.disabled = true;
  results.replaceChildren();
  try {
    taskId = await submit(body);
    cancelButton.disabled = false;
    await follow(taskId);
  } catch (error) {
    status.textContent = error.message;
  } finally {
    runButton.disabled = false;
    cancelButton.disabled = true;
  }
}

/**
 * Starts a task and returns its id. A run costs money, and a submit without a response may have started one: its key is
 * kept, across a reload too, until the service has responded. Run again with the same values then sends the same key,
 * and the service returns the same task.
 */
async function submit(body) {
  status.textContent = 'Submitting …';
  const request = JSON.stringify(body);
  const idempotencyKey = keyFor(request);
  try {
    const { task_id } = await call('POST', '/submit_task', body, { 'Idempotency-Key': idempotencyKey });
    sessionStorage.removeItem(request);
    return task_id;
  } catch (error) {
    if (isOutcomeKnown(error)) sessionStorage.removeItem(request);
    if (error.problem?.task_id) return error.problem.task_id; // stored, with the reason
    throw error;
  }
}

function keyFor(request) {
  const key = sessionStorage.getItem(request) ?? crypto.randomUUID();
  sessionStorage.setItem(request, key);
  return key;
}

/** Whether the service has looked at the values: a problem about them, or a task that was stored. */
function isOutcomeKnown({ problem }) {
  return Boolean(problem?.task_id) || [404, 422].includes(problem?.status);
}

/** Shows a task until it ends: by events as they happen, or by waiting reads where they do not get through. */
async function follow(id) {
  try {
    for await (const task of events(id)) {
      show(task);
      if (FINAL.includes(task.status)) return;
    }
  } catch {
    // A proxy on the way may cut event streams, or hold them back.
  }
  let task = await call('GET', `/tasks/${id}`);
  show(task);
  while (!FINAL.includes(task.status)) {
    task = await call('GET', `/tasks/${id}?wait=30`); // responds as soon as the status changes
    show(task);
  }
}

/** The task now and at every change. fetch, because EventSource cannot send the token. */
async function* events(id) {
  const response = await send('GET', `/tasks/${id}/events`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (text + part.value).split('\n\n');
    text = blocks.pop(); // not complete yet
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block); // a block without data is a heartbeat
      if (data) yield JSON.parse(data[1]);
    }
  }
}

function show(task) {
  const place = task.queue_position ? `, number ${task.queue_position} in the queue` : '';
  const reason = task.error ?? task.waiting; // why it did not succeed, or why it is not running yet
  status.textContent = task.status + place + (reason ? `: ${reason.message}` : '');
  // The service keeps the results; these addresses work without a token for some hours.
  const urls = task.outputs.map((output) => new URL(output.url, form.elements.service.value));
  results.replaceChildren(...urls.map((src) => Object.assign(new Image(), { src, alt: 'Result' })));
}

async function call(method, path, body, headers) {
  return (await send(method, path, body, headers)).json();
}

/** One request. An error of the service is a problem (RFC 9457): `detail` is for people, `code` for programs. */
async function send(method, path, body, headers = {}) {
  const { service, token } = form.elements;
  if (token.value) headers.Authorization = `Bearer ${token.value}`;
  if (body) headers['Content-Type'] = 'application/json';
  const response = await fetch(new URL(path, service.value), { method, headers, body: body && JSON.stringify(body) });
  if (response.ok) return response;
  const problem = await response.json();
  throw Object.assign(new Error(`${problem.detail} (${problem.code})`), { problem });
}
