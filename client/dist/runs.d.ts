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
export declare function openRuns(name: string, storage: RunStorage | null): Runs;
/** The browser tab's own storage; null where there is none, as in Node. */
export declare function tabStorage(): RunStorage | null;
