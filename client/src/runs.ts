// The runs that have not ended yet, remembered across page reloads, so that none is submitted twice.

import { GatewayProblem } from './problem.js';
import type { SubmitBody } from './types.js';

/** Where unfinished runs are kept: `sessionStorage`, or anything with these two methods. */
export interface RunStorage {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
}

/** A run that was sent, or was about to be sent; `taskId` is null until the gateway's response has arrived. */
export interface UnfinishedRun {
  readonly idempotencyKey: string;
  readonly taskId: string | null;
  /** The route and body of the submit: what is sent again if its outcome is unknown. */
  readonly path: string;
  readonly body: SubmitBody;
}

export interface StartedRun {
  run: UnfinishedRun;
  /** False where its request may have been sent before. */
  isNew: boolean;
}

export interface Runs {
  /** All that are remembered, oldest first. */
  list(): UnfinishedRun[];
  /** The run to make for this request: one whose outcome is unknown and which nobody follows, or a new one. */
  begin(path: string, body: SubmitBody, idempotencyKey: string | undefined): StartedRun;
  accepted(run: UnfinishedRun, taskId: string): void;
  forget(run: Pick<UnfinishedRun, 'idempotencyKey'>): void;
  /** Marks the run as followed until `work` has ended. */
  whileActive<T>(run: UnfinishedRun, work: () => Promise<T>): Promise<T>;
}

// By key, for all gateways of this page: two identical runs at the same time are two runs, not one repeated.
const active = new Map<string, number>();

export function openRuns(name: string, storage: RunStorage | null): Runs {
  // What could not be stored (full, forbidden, none there) is remembered until the page is closed.
  let unstored: UnfinishedRun[] | null = null;

  function list(): UnfinishedRun[] {
    if (unstored) return unstored;
    try {
      return JSON.parse(storage?.getItem(name) ?? '[]') as UnfinishedRun[];
    } catch {
      return [];
    }
  }

  function save(runs: UnfinishedRun[]): void {
    try {
      storage!.setItem(name, JSON.stringify(runs));
      unstored = null;
    } catch {
      unstored = runs;
    }
  }

  function find(path: string, body: SubmitBody, idempotencyKey: string | undefined) {
    if (idempotencyKey) return list().find((run) => run.idempotencyKey === idempotencyKey);
    return list().find((run) => !run.taskId && !active.has(run.idempotencyKey) && isSameRequest(run, path, body));
  }

  function begin(path: string, members: SubmitBody, idempotencyKey: string | undefined): StartedRun {
    const body = JSON.parse(JSON.stringify(members)) as SubmitBody; // as it is sent: without undefined members
    const known = find(path, body, idempotencyKey);
    if (known && isSameRequest(known, path, body)) return { run: known, isNew: false };
    if (known) throw new GatewayProblem('idempotency_key_reused', 'An unfinished run has this key and other values.');
    const run = { idempotencyKey: idempotencyKey ?? newKey(), taskId: null, path, body };
    save([...list(), run]);
    return { run, isNew: true };
  }

  return {
    list,
    begin,
    accepted: (run, taskId) => save(list().map((other) => (isSame(other, run) ? { ...run, taskId } : other))),
    forget: (run) => save(list().filter((other) => !isSame(other, run))),
    async whileActive(run, work) {
      const key = run.idempotencyKey;
      active.set(key, (active.get(key) ?? 0) + 1);
      try {
        return await work();
      } finally {
        const left = (active.get(key) ?? 1) - 1;
        if (left) active.set(key, left);
        else active.delete(key);
      }
    },
  };
}

/** The browser tab's own storage; null where there is none, as in Node. */
export function tabStorage(): RunStorage | null {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null; // forbidden by the browser's settings
  }
}

const isSame = (one: UnfinishedRun, other: Pick<UnfinishedRun, 'idempotencyKey'>) => one.idempotencyKey === other.idempotencyKey;

function isSameRequest(run: UnfinishedRun, path: string, body: SubmitBody): boolean {
  return run.path === path && canonical(run.body) === canonical(body);
}

/** The same text for the same request, in whatever order a form lists its values. */
function canonical(body: SubmitBody): string {
  const inOrder = (members: object) => Object.entries(members).sort(([one], [other]) => (one < other ? -1 : 1));
  return JSON.stringify(inOrder({ ...body, values: inOrder(body.values ?? {}) }));
}

// crypto.randomUUID exists on https and loopback only; getRandomValues everywhere.
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
