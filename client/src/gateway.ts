// The operations of the gateway, as a page or a Node program uses them.

import { connect, type Connection, type RequestOptions, type TokenSource, type Transport } from './connection.js';
import { follow, taskPath, type FollowOptions } from './follow.js';
import { pause, retryDelay } from './pause.js';
import { GatewayProblem, isDecisive, isOutcomeUnknown, isTemporary, TaskFailure } from './problem.js';
import { openRuns, tabStorage, type Runs, type RunStorage, type StartedRun, type UnfinishedRun } from './runs.js';
import { upload, type UploadOptions } from './upload.js';
import type {
  FieldValues, Output, SubmitBody, SubmitResponse, Task, TaskPage, TaskQuery, UploadedFile, WebappForm, WorkflowForm,
} from './types.js';

const SUBMIT_TRIES = 5;

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
export type Runnable = string | { webappId: string } | { workflowId: string };

export interface RunOptions
  extends FollowOptions, Omit<SubmitBody, 'webappId' | 'workflowId' | 'nodeInfoList' | 'values'> {
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
  form(webappId: string, options?: CallOptions & { refresh?: boolean }): Promise<WebappForm>;
  /** The inputs of a plain workflow as a form. */
  workflowForm(workflowId: string, options?: CallOptions & { refresh?: boolean }): Promise<WorkflowForm>;
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

export function createGateway(options: GatewayOptions): Gateway {
  const { token = null, storage = tabStorage(), retryDelayMs = 500 } = options;
  const connection = connect(options.baseUrl, token, options.fetch ?? ((url, init) => fetch(url, init)));
  const runs = openRuns(`runninghub-gateway ${connection.baseUrl} ${options.user ?? ''}`, storage);
  const finish = (started: StartedRun, following: FollowOptions) =>
    runs.whileActive(started.run, () => finishRun({ connection, runs, retryDelayMs }, started, following));

  return {
    form: (webappId, { signal, ...members } = {}) =>
      connection.json('/get_node_info', { method: 'POST', body: { webappId, ...members }, signal }),
    workflowForm: (workflowId, { signal, ...members } = {}) =>
      connection.json('/get_node_info', { method: 'POST', body: { workflowId, ...members }, signal }),
    upload: (file, uploadOptions = {}) => upload(connection, file, uploadOptions),
    async run(form, { values = {}, idempotencyKey, signal, onChange, onRetry, ...members } = {}) {
      signal?.throwIfAborted();
      const body = { ...idOf(form), values, ...members };
      return finish(runs.begin('/submit_task', body, idempotencyKey), { signal, onChange, onRetry });
    },
    async rerun(taskId, { idempotencyKey, signal, onChange, onRetry } = {}) {
      signal?.throwIfAborted();
      return finish(runs.begin(`${taskPath(taskId)}/rerun`, {}, idempotencyKey), { signal, onChange, onRetry });
    },
    unfinished: runs.list,
    async resume(idempotencyKey, following = {}) {
      return finish({ run: unfinishedRun(runs, idempotencyKey), isNew: false }, following);
    },
    forget: (idempotencyKey) => runs.forget({ idempotencyKey }),
    tasks: (query = {}, { signal } = {}) => connection.json('/tasks', { query, signal }),
    task: (taskId, { signal } = {}) => connection.json(taskPath(taskId), { signal }),
    follow: (taskId, following = {}) => follow(connection, taskId, retryDelayMs, following),
    cancel: (taskId, { signal } = {}) => connection.json(`${taskPath(taskId)}/cancel`, { method: 'POST', signal }),
    delete: (taskId, { signal } = {}) => connection.json(taskPath(taskId), { method: 'DELETE', signal }),
    outputs: (task) => outputsOf(task, connection.baseUrl),
    request: connection.json,
  };
}

function idOf(form: Runnable): Pick<SubmitBody, 'webappId' | 'workflowId'> {
  if (typeof form === 'string') return { webappId: form };
  return 'workflowId' in form ? { workflowId: form.workflowId } : { webappId: form.webappId };
}

function outputsOf(task: Task, baseUrl: string): Output[] {
  return task.outputs.map((output) => ({ ...output, url: baseUrl + output.url }));
}

function unfinishedRun(runs: Runs, idempotencyKey: string): UnfinishedRun {
  const run = runs.list().find((other) => other.idempotencyKey === idempotencyKey);
  if (!run) throw new RangeError('No unfinished run has this idempotency key.');
  return run;
}

interface Context {
  connection: Connection;
  runs: Runs;
  retryDelayMs: number;
}

async function finishRun(context: Context, started: StartedRun, following: FollowOptions): Promise<FinishedRun> {
  const { connection, runs, retryDelayMs } = context;
  const { run } = started;
  const taskId = run.taskId ?? (await submit(context, started, following));
  const task = await follow(connection, taskId, retryDelayMs, following).catch((error) => {
    if (error instanceof GatewayProblem && error.code === 'task_not_found') runs.forget(run); // it was deleted
    throw error;
  });
  runs.forget(run);
  if (task.status !== 'SUCCESS') throw new TaskFailure(task);
  return { task, outputs: outputsOf(task, connection.baseUrl) };
}

/** The task's id. What got no clear response is sent again as it was, with the same key: it is paid for once. */
async function submit(context: Context, { run, isNew }: StartedRun, following: FollowOptions): Promise<string> {
  const { connection, runs, retryDelayMs } = context;
  let mayHaveArrived = !isNew;
  for (let tries = 1; ; tries += 1) {
    try {
      const taskId = await submitOnce(connection, run, following.signal);
      runs.accepted(run, taskId);
      return taskId;
    } catch (error) {
      if (!(error instanceof GatewayProblem)) throw error;
      mayHaveArrived ||= isOutcomeUnknown(error);
      if (!mayHaveArrived || isDecisive(error)) runs.forget(run);
      if (!mayHaveArrived || !isTemporary(error) || tries === SUBMIT_TRIES) throw error;
      following.onRetry?.(error);
      await pause(retryDelay(error, retryDelayMs, tries), following.signal);
    }
  }
}

async function submitOnce(connection: Connection, run: UnfinishedRun, signal: AbortSignal | undefined): Promise<string> {
  const headers = { 'Idempotency-Key': run.idempotencyKey };
  try {
    const response = await connection.json<SubmitResponse>(run.path, { method: 'POST', body: run.body, headers, signal });
    return response.task_id;
  } catch (error) {
    // The task is stored, with what became of it.
    if (error instanceof GatewayProblem && error.taskId) return error.taskId;
    throw error;
  }
}
