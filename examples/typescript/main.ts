// One app with its fields written by hand, with the client package: its types come from the API, so a change that
// breaks this page fails `npm run check`.

import {
  createGateway, GatewayProblem, isFinal, TaskFailure,
  type FinishedRun, type FollowOptions, type Gateway, type Output, type Task,
} from 'runninghub-gateway-client';

const WEBAPP_ID = '1992755951447109633'; // an id has too many digits for a JavaScript number

const form = document.querySelector('form')!;
const runButton = form.querySelector('button')!;
const cancelButton = document.querySelector<HTMLButtonElement>('#cancel')!;
const status = document.querySelector<HTMLElement>('#status')!;
const results = document.querySelector<HTMLElement>('#results')!;

let taskId = '';

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const values = { '15.text': value('prompt'), '16.text': value('negativePrompt') };
  void follow((options) => gateway().run(WEBAPP_ID, { values, ...options }));
});
cancelButton.addEventListener('click', () => {
  gateway().cancel(taskId).then(show, showError); // it may have ended in the meantime
});

// A run that a reload interrupted goes on: the client remembers it, and never pays for it again.
const [interrupted] = gateway().unfinished();
if (interrupted) void follow((options) => gateway().resume(interrupted.idempotencyKey, options));

/** Shows a run from its submit to its outputs. */
async function follow(start: (options: FollowOptions) => Promise<FinishedRun>): Promise<void> {
  runButton.disabled = true;
  results.replaceChildren();
  status.textContent = 'Submitting …';
  try {
    const { outputs } = await start({ onChange: show, onRetry: showError });
    showOutputs(outputs);
  } catch (error) {
    if (!(error instanceof TaskFailure)) showError(error); // a TaskFailure has been shown as the task
  } finally {
    runButton.disabled = false;
    cancelButton.disabled = true;
  }
}

function show(task: Task): void {
  taskId = task.id;
  cancelButton.disabled = isFinal(task.status);
  const place = task.queue_position ? `, number ${task.queue_position} in the queue` : '';
  const reason = task.error ?? task.waiting; // why it did not succeed, or why it is not running yet
  status.textContent = task.status + place + (reason ? `: ${reason.message}` : '');
}

function showOutputs(outputs: Output[]): void {
  results.replaceChildren(...outputs.map(({ url }) => Object.assign(new Image(), { src: url, alt: 'Result' })));
}

function showError(error: unknown): void {
  status.textContent = error instanceof GatewayProblem ? `${error.message} (${error.code})` : String(error);
}

function gateway(): Gateway {
  return createGateway({ baseUrl: value('service'), token: value('token') });
}

function value(name: string): string {
  return (form.elements.namedItem(name) as HTMLInputElement).value;
}
