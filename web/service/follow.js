// Owns the following of one task to its end: by its event stream, by waiting GETs where a stream does not get through.

import { isFinal } from '../logic/statuses.js';
import { openEvents, waitForTask } from './api.js';
import { readEvents } from './sse.js';

const WAIT_S = 25;
const PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 4_000;

/**
 * Calls `onTask` with the task now and at every change until it is final or `signal` aborts. While the
 * service cannot be reached it is tried again. Throws a Problem that trying again cannot fix.
 */
export async function followTask(id, { onTask, signal }) {
  let status = null;
  let pauseMs = PAUSE_MS;
  const take = (task) => {
    status = task.status;
    pauseMs = PAUSE_MS;
    onTask(task);
  };
  while (!signal.aborted && !isFinal(status)) {
    try {
      await readStream(id, take, signal);
    } catch {
      if (!signal.aborted) await readOnce(id, take, signal);
    }
    if (!isFinal(status)) await pause(pauseMs, signal);
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
}

// Without Last-Event-ID: a stream that is opened again then starts with the task, changed or not.
async function readStream(id, take, signal) {
  for await (const event of readEvents(await openEvents(id, signal))) {
    if (signal.aborted) return;
    if (event.type === 'task') take(JSON.parse(event.data));
  }
}

async function readOnce(id, take, signal) {
  try {
    take(await waitForTask(id, WAIT_S, signal));
  } catch (problem) {
    if (signal.aborted) return;
    if (problem.status < 500 || !problem.code) throw problem;
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
