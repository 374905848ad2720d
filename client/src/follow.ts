// Follows one task to its end: by its event stream, by waiting reads where a stream does not get through.

import type { Connection } from './connection.js';
import { readEvents } from './events.js';
import { backoff, pause, retryDelay } from './pause.js';
import { GatewayProblem, isTemporary } from './problem.js';
import type { Task, TaskStatus } from './types.js';

const FINAL: readonly TaskStatus[] = ['SUCCESS', 'FAILED', 'CANCELLED', 'SUBMIT_UNKNOWN'];
const WAIT_S = 25;
// The gateway sends a heartbeat every 15 s, so after this long the connection is dead.
const SILENCE_MS = 40_000;
// The task itself comes immediately, unless a proxy on the way holds the stream back.
const FIRST_SILENCE_MS = 5_000;
// After so many streams in a row that brought nothing, only waiting reads are used.
const FRUITLESS_STREAMS = 2;

export interface FollowOptions {
  /** Stops following; the task goes on, and can be followed again or cancelled. */
  signal?: AbortSignal | undefined;
  /** Receives the task first as it is and then at every change, the last one included. */
  onChange?: ((task: Task) => void) | undefined;
  /** The gateway cannot be reached at the moment; the client tries again. */
  onRetry?: ((problem: GatewayProblem) => void) | undefined;
}

export const isFinal = (status: TaskStatus): boolean => FINAL.includes(status);
export const taskPath = (id: string): string => `/tasks/${encodeURIComponent(id)}`;

/** The task at its end. Only `signal` or a refusal (no such task, no valid token) ends it earlier. */
export async function follow(
  connection: Connection, id: string, retryDelayMs: number, options: FollowOptions,
): Promise<Task> {
  const { signal, onChange, onRetry } = options;
  let latest: Task | null = null;
  let lastEventId = '';
  let fruitless = 0;
  let failures = 0;

  /** Whether the task is another than before. */
  const accept = (task: Task): boolean => {
    failures = 0;
    if (JSON.stringify(task) === JSON.stringify(latest)) return false;
    latest = task;
    onChange?.(task);
    return true;
  };

  const readStream = async (): Promise<void> => {
    fruitless += 1;
    const headers: Record<string, string> = lastEventId ? { 'Last-Event-ID': lastEventId } : {};
    const { body } = await connection.open(`${taskPath(id)}/events`, { headers, signal });
    // A stream that is resumed is silent until the next change or heartbeat.
    const silenceMs = (isFirst: boolean) => (isFirst && !lastEventId ? FIRST_SILENCE_MS : SILENCE_MS);
    for await (const event of readEvents(body!, silenceMs)) {
      if (event.type !== 'task') continue;
      fruitless = 0;
      lastEventId = event.id;
      const task = JSON.parse(event.data) as Task;
      accept(task);
      if (isFinal(task.status)) return; // a SUBMIT_UNKNOWN task may be settled later, so its stream stays open
    }
  };

  const readOnce = async (): Promise<void> => {
    const query = { wait: latest ? WAIT_S : 0 };
    const task = await connection.json<Task>(taskPath(id), { query, signal, timeoutMs: (WAIT_S + 15) * 1000 });
    // A gateway that is stopping ends every wait immediately.
    if (!accept(task)) await pause(backoff(retryDelayMs, 1), signal);
  };

  const readAgain = async (): Promise<void> => {
    try {
      await readOnce();
    } catch (error) {
      if (!(error instanceof GatewayProblem && isTemporary(error))) throw error;
      failures += 1;
      onRetry?.(error);
      await pause(retryDelay(error, retryDelayMs, failures), signal);
    }
  };

  while (latest === null || !isFinal((latest as Task).status)) {
    if (fruitless < FRUITLESS_STREAMS) await readStream().catch(() => signal?.throwIfAborted());
    if (latest === null || !isFinal((latest as Task).status)) await readAgain();
  }
  return latest;
}
