import { type RequestOptions, type TokenSource, type Transport } from './connection.js';
import { type FollowOptions } from './follow.js';
import { type RunStorage, type UnfinishedRun } from './runs.js';
import { type UploadOptions } from './upload.js';
import type { FieldValues, Output, SubmitBody, Task, TaskPage, TaskQuery, UploadedFile, WebappForm, WorkflowForm } from './types.js';
export interface GatewayOptions {
    /** Where the gateway is; '' for a page that the gateway itself serves. */
    baseUrl: string;
    token?: TokenSource | null;
    /** Who is signed in, where that may change: the unfinished runs of one user are not continued as another. */
    user?: string;
    /** Where unfinished runs are remembered; `sessionStorage` in a browser. `null`: in memory only. */
    storage?: RunStorage | null;
    /** The first delay before a failed call is repeated; it doubles from there. */
    retryDelayMs?: number;
    fetch?: Transport;
}
/** What can be run: an app by its id or its form, or a plain workflow. */
export type Runnable = string | {
    webappId: string;
} | {
    workflowId: string;
};
export interface RunOptions extends FollowOptions, Omit<SubmitBody, 'webappId' | 'workflowId' | 'nodeInfoList' | 'values'> {
    values?: FieldValues;
    /** Your own key for this run. Without it the client makes one, and uses it again as long as the outcome is unknown. */
    idempotencyKey?: string;
}
export interface RerunOptions extends FollowOptions {
    idempotencyKey?: string;
}
export interface FinishedRun {
    task: Task;
    outputs: Output[];
}
export interface CallOptions {
    signal?: AbortSignal | undefined;
}
export interface Gateway {
    /** An app's form. `refresh` makes the gateway fetch it from RunningHub again. */
    form(webappId: string, options?: CallOptions & {
        refresh?: boolean;
    }): Promise<WebappForm>;
    /** The inputs of a plain workflow as a form. */
    workflowForm(workflowId: string, options?: CallOptions & {
        refresh?: boolean;
    }): Promise<WorkflowForm>;
    upload(file: Blob, options?: UploadOptions): Promise<UploadedFile>;
    /**
     * Submits a run once and follows it to its end, through lost responses, reconnects and restarts of the gateway.
     * Rejects with a TaskFailure where the task did not succeed, with a GatewayProblem where it was refused, and with
     * the signal's reason where that aborted; the task then goes on, and `resume` follows it again.
     */
    run(form: Runnable, options?: RunOptions): Promise<FinishedRun>;
    /** Runs the values of a final task again, as a new task. */
    rerun(taskId: string, options?: RerunOptions): Promise<FinishedRun>;
    /** The runs that have not ended yet, those of the page before its reload included. */
    unfinished(): UnfinishedRun[];
    /** Continues an unfinished run: sends the same request again if its outcome is unknown, then follows the task. */
    resume(idempotencyKey: string, options?: FollowOptions): Promise<FinishedRun>;
    /** Removes a run from `unfinished`. Its task is not touched. */
    forget(idempotencyKey: string): void;
    tasks(query?: TaskQuery, options?: CallOptions): Promise<TaskPage>;
    task(taskId: string, options?: CallOptions): Promise<Task>;
    /** The task at its end, whatever that is; `onChange` receives it now and at every change. */
    follow(taskId: string, options?: FollowOptions): Promise<Task>;
    cancel(taskId: string, options?: CallOptions): Promise<Task>;
    /** Deletes a final task with its outputs. */
    delete(taskId: string, options?: CallOptions): Promise<void>;
    /** The task's results with absolute URLs. */
    outputs(task: Task): Output[];
    /** Any other route: a response's JSON, with the token and the errors of all other calls. */
    request<T>(path: string, options?: RequestOptions): Promise<T>;
}
export declare function createGateway(options: GatewayOptions): Gateway;
