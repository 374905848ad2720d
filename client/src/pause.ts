// Waiting between two attempts.

import type { GatewayProblem } from './problem.js';

const LONGEST_MS = 30_000;

/** Doubles from `firstMs` up to 30 s, with jitter so that many pages do not return at the same moment. */
export function backoff(firstMs: number, failures: number): number {
  return Math.min(firstMs * 2 ** (failures - 1), LONGEST_MS) * (0.75 + Math.random() / 2);
}

/** As long as the gateway asks for, and no shorter than the backoff. */
export function retryDelay(problem: GatewayProblem, firstMs: number, failures: number): number {
  return Math.max((problem.retryAfter ?? 0) * 1000, backoff(firstMs, failures));
}

/** Resolves after `ms`; rejects with the signal's reason when it aborts. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}
