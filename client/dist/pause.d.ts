import type { GatewayProblem } from './problem.js';
/** Doubles from `firstMs` up to 30 s, with jitter so that many pages do not return at the same moment. */
export declare function backoff(firstMs: number, failures: number): number;
/** As long as the gateway asks for, and no shorter than the backoff. */
export declare function retryDelay(problem: GatewayProblem, firstMs: number, failures: number): number;
/** Resolves after `ms`; rejects with the signal's reason when it aborts. */
export declare function pause(ms: number, signal: AbortSignal | undefined): Promise<void>;
