import type { Connection } from './connection.js';
import { GatewayProblem } from './problem.js';
import type { Task, TaskStatus } from './types.js';
export interface FollowOptions {
    /** Stops following; the task goes on, and can be followed again or cancelled. */
    signal?: AbortSignal | undefined;
    /** Receives the task first as it is and then at every change, the last one included. */
    onChange?: ((task: Task) => void) | undefined;
    /** The gateway cannot be reached at the moment; the client tries again. */
    onRetry?: ((problem: GatewayProblem) => void) | undefined;
}
export declare const isFinal: (status: TaskStatus) => boolean;
export declare const taskPath: (id: string) => string;
/** The task at its end. Only `signal` or a refusal (no such task, no valid token) ends it earlier. */
export declare function follow(connection: Connection, id: string, retryDelayMs: number, options: FollowOptions): Promise<Task>;
