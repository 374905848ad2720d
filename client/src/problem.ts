// What can go wrong: a response of 4xx or 5xx, no response at all, or a task that did not succeed.

import type { Problem, Task } from './types.js';

/**
 * A call that failed. `code` is one of the gateway's codes, or one of the client's own: `network` (no complete response),
 * `timeout` (no response in time) and `invalid_response` (a response that is not the gateway's, such as a proxy's page).
 */
export class GatewayProblem extends Error {
  override readonly name = 'GatewayProblem';

  constructor(
    readonly code: string,
    /** What failed and what to do about it, for people. */
    message: string,
    /** The HTTP status; 0 where there was no response. */
    readonly status: number = 0,
    /** After how many seconds a new call may succeed, where the gateway says so. */
    readonly retryAfter: number | null = null,
    /** The whole problem (RFC 9457), where there is one. */
    readonly problem: Partial<Problem> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Which values or members are wrong, each with `msg` and `loc` or `nodeId` and `fieldName`. */
  get errors(): NonNullable<Problem['errors']> {
    return this.problem.errors ?? [];
  }

  /** The task that the problem is about, where the gateway stored one. */
  get taskId(): string | null {
    return this.problem.task_id ?? null;
  }
}

/** A run that ended as FAILED, CANCELLED or SUBMIT_UNKNOWN; `code` and `message` are those of the task's `error`. */
export class TaskFailure extends Error {
  override readonly name = 'TaskFailure';
  readonly code: string;

  constructor(readonly task: Task) {
    super(task.error?.message ?? `The task ended as ${task.status}.`);
    this.code = task.error?.code ?? task.status.toLowerCase();
  }
}

/** The problem that a response of 4xx or 5xx contains. */
export async function problemOf(response: Response): Promise<GatewayProblem> {
  const body = await response.json().catch(() => null);
  if (typeof body?.code !== 'string') return invalidResponse(response.status);
  return new GatewayProblem(body.code, body.detail, response.status, retryAfter(response.headers), body);
}

export function invalidResponse(status: number): GatewayProblem {
  return new GatewayProblem('invalid_response', `The response (HTTP ${status}) is not one of the gateway.`, status);
}

/** Whether the request may have had its effect although this came instead of a response. */
export function isOutcomeUnknown(problem: GatewayProblem): boolean {
  if (problem.code === 'runninghub_not_configured') return false;
  return problem.status < 400 || problem.status >= 500;
}

/**
 * Whether it also says that no earlier request with the same idempotency key had an effect. A missing token and a rate
 * limit are refused before the key is looked up, and a proxy's page says nothing about it.
 */
export function isDecisive(problem: GatewayProblem): boolean {
  return problem.status < 500 && ![0, 401, 403, 429].includes(problem.status) && problem.code !== 'invalid_response';
}

/** Whether the same call may succeed later. */
export function isTemporary(problem: GatewayProblem): boolean {
  return isOutcomeUnknown(problem) || problem.status === 429;
}

function retryAfter(headers: Headers): number | null {
  const seconds = Number.parseInt(headers.get('Retry-After') ?? '', 10);
  return Number.isNaN(seconds) ? null : seconds;
}
