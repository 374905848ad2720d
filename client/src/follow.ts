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
export function follow(
  connection: Connection, id: string, retryDelayMs: number, options: FollowOptions,
): Promise<Task> {
  return new Follower(connection, taskPath(id), retryDelayMs, options).run();
}

/** What is known while one task is followed. */
class Follower {
  private latest: Task | null = null;
  private lastEventId = '';
  /** Streams in a row that brought nothing. */
  private fruitless = 0;
  /** Reads in a row that failed. */
  private failures = 0;

  constructor(
    private readonly connection: Connection,
    private readonly path: string,
    private readonly retryDelayMs: number,
    private readonly options: FollowOptions,
  ) {}

  async run(): Promise<Task> {
    const { signal } = this.options;
    for (;;) {
      if (this.fruitless < FRUITLESS_STREAMS) await this.readStream().catch(() => signal?.throwIfAborted());
      if (this.latest && isFinal(this.latest.status)) return this.latest;
      await this.readOnce().catch((error) => this.waitAfter(error));
      if (this.latest && isFinal(this.latest.status)) return this.latest;
    }
  }

  private async readStream(): Promise<void> {
    this.fruitless += 1;
    const headers: Record<string, string> = this.lastEventId ? { 'Last-Event-ID': this.lastEventId } : {};
    const { body } = await this.connection.open(`${this.path}/events`, { headers, signal: this.options.signal });
    // A stream that is resumed is silent until the next change or heartbeat.
    const silenceMs = (isFirst: boolean) => (isFirst && !headers['Last-Event-ID'] ? FIRST_SILENCE_MS : SILENCE_MS);
    for await (const event of readEvents(body!, silenceMs)) {
      if (event.type !== 'task') continue;
      this.fruitless = 0;
      this.lastEventId = event.id;
      const task = JSON.parse(event.data) as Task;
      this.accept(task);
      if (isFinal(task.status)) return; // a SUBMIT_UNKNOWN task may be settled later, so its stream stays open
    }
  }

  private async readOnce(): Promise<void> {
    const { signal } = this.options;
    const query = { wait: this.latest ? WAIT_S : 0 };
    const task = await this.connection.json<Task>(this.path, { query, signal, timeoutMs: (WAIT_S + 15) * 1000 });
    // A gateway that is stopping ends every wait immediately.
    if (!this.accept(task)) await pause(backoff(this.retryDelayMs, 1), signal);
  }

  /** Whether the task is another than before. */
  private accept(task: Task): boolean {
    this.failures = 0;
    if (JSON.stringify(task) === JSON.stringify(this.latest)) return false;
    this.latest = task;
    this.options.onChange?.(task);
    return true;
  }

  private async waitAfter(error: unknown): Promise<void> {
    if (!(error instanceof GatewayProblem && isTemporary(error))) throw error;
    this.failures += 1;
    this.options.onRetry?.(error);
    await pause(retryDelay(error, this.retryDelayMs, this.failures), this.options.signal);
  }
}
