import type { Problem, Task } from './types.js';
/**
 * A call that failed. `code` is one of the gateway's codes, or one of the client's own: `network` (no complete response),
 * `timeout` (no response in time) and `invalid_response` (a response that is not the gateway's, such as a proxy's page).
 */
export declare class GatewayProblem extends Error {
    readonly code: string;
    /** The HTTP status; 0 where there was no response. */
    readonly status: number;
    /** After how many seconds a new call may succeed, where the gateway says so. */
    readonly retryAfter: number | null;
    /** The whole problem (RFC 9457), where there is one. */
    readonly problem: Partial<Problem>;
    readonly name = "GatewayProblem";
    constructor(code: string, 
    /** What failed and what to do about it, for people. */
    message: string, 
    /** The HTTP status; 0 where there was no response. */
    status?: number, 
    /** After how many seconds a new call may succeed, where the gateway says so. */
    retryAfter?: number | null, 
    /** The whole problem (RFC 9457), where there is one. */
    problem?: Partial<Problem>, options?: ErrorOptions);
    /** Which values or members are wrong, each with `msg` and `loc` or `nodeId` and `fieldName`. */
    get errors(): NonNullable<Problem['errors']>;
    /** The task that the problem is about, where the gateway stored one. */
    get taskId(): string | null;
}
/** A run that ended as FAILED, CANCELLED or SUBMIT_UNKNOWN; `code` and `message` are those of the task's `error`. */
export declare class TaskFailure extends Error {
    readonly task: Task;
    readonly name = "TaskFailure";
    readonly code: string;
    constructor(task: Task);
}
/** The problem that a response of 4xx or 5xx contains. */
export declare function problemOf(response: Response): Promise<GatewayProblem>;
export declare function invalidResponse(status: number): GatewayProblem;
/** Whether the request may have had its effect although this came instead of a response. */
export declare function isOutcomeUnknown(problem: GatewayProblem): boolean;
/**
 * Whether it also says that no earlier request with the same idempotency key had an effect. A missing token and a rate
 * limit are refused before the key is looked up, and a proxy's page says nothing about it.
 */
export declare function isDecisive(problem: GatewayProblem): boolean;
/** Whether the same call may succeed later. */
export declare function isTemporary(problem: GatewayProblem): boolean;
