// Owns presses of Run: one paid call for each, batches, and what becomes of a call whose outcome is unknown.

import { cancelTask, getTask, listTasks, rerunTask, submitTask, submitTasks } from '../service/api.js';
import { rememberInTab, rememberedInTab } from '../service/storage.js';
import { attemptFor, isOutcomeOpen, newKey, withAttempt, withoutAttempt } from '../logic/attempts.js';
import { runsOf } from '../logic/batch.js';
import { usualOf } from '../logic/estimate.js';
import { isActive } from '../logic/statuses.js';
import { fingerprintOf } from '../logic/submission.js';
import { taskRoute } from '../logic/routes.js';
import { signal } from '../ui/html.js';
import { readAccounts } from './connection.js';
import { navigate } from './router.js';
import { showServerFaults, submissionFor, valuesToSend } from './form.js';
import { onTaskChange, takeTasks } from './tasks.js';

const USUAL_FROM = 20;

export const isSubmitting = signal(false);
/** What the last press of Run came to, if not to a task: `{problem, others, isOpen}`. */
export const refusal = signal(null);
/** The service's warnings about the last run. */
export const warnings = signal([]);
const attempts = signal(rememberedInTab('attempts', []));

/** `{count, prompts, promptKey, rows, hasNewSeeds}`; see runsOf. */
export const NO_BATCH = { count: 1, prompts: [], promptKey: null, rows: [], hasNewSeeds: true };
/** How the next press of Run is multiplied. */
export const plan = signal(NO_BATCH);

function keepAttempts(changed) {
  attempts.value = changed;
  rememberInTab('attempts', changed);
}

/** Submits the form once, or as a batch; the page stays where it is, the result shows the task. */
export async function run(form) {
  if (isSubmitting.value) return;
  isSubmitting.value = true;
  refusal.value = null;
  warnings.value = [];
  try {
    const values = runsOf(form.app, valuesToSend(form), plan.value);
    if (values.length === 1) await runOnce(form, values[0]);
    else await runBatch(form, values);
  } finally {
    isSubmitting.value = false;
    readAccounts({ isForced: true });
  }
}

async function runOnce(form, values) {
  const submission = submissionFor(form, values);
  const attempt = attemptFor(attempts.value, fingerprintOf(submission));
  keepAttempts(withAttempt(attempts.value, attempt));
  try {
    const accepted = await submitTask(submission, attempt.key);
    warnings.value = accepted.warnings ?? [];
    await settleAttempt(attempt, accepted);
  } catch (problem) {
    await refuse(form, attempt, problem);
  }
}

// The same key gives the same task: while that is SUBMIT_UNKNOWN the key stays, so that the same values
// pressed again show it and pay nothing.
async function settleAttempt(attempt, { task_id: id, status }) {
  if (isOutcomeOpen({ taskStatus: status }))
    keepAttempts(withAttempt(attempts.value, { ...attempt, taskId: id }));
  else keepAttempts(withoutAttempt(attempts.value, attempt));
  await showTask(id);
}

// Once it is settled, the same values are a new run again.
onTaskChange((task) => {
  if (isOutcomeOpen({ taskStatus: task.status })) return;
  const settled = attempts.value.find((attempt) => attempt.taskId === task.id);
  if (settled) keepAttempts(withoutAttempt(attempts.value, settled));
});

async function refuse(form, attempt, problem) {
  const task = problem.taskId ? await getTask(problem.taskId).catch(() => null) : null;
  const isOpen = isOutcomeOpen({
    status: problem.status,
    code: problem.code,
    taskStatus: task?.status ?? null,
  });
  if (isOpen) keepAttempts(withAttempt(attempts.value, { ...attempt, taskId: problem.taskId }));
  else keepAttempts(withoutAttempt(attempts.value, attempt));
  const others = showServerFaults(form, problem.code === 'invalid_node_info' ? problem.errors : []);
  // The task says best what became of it.
  if (problem.taskId) await showTask(problem.taskId);
  else refusal.value = { problem, others, isOpen };
}

async function showTask(id) {
  const task = await getTask(id).catch(() => null);
  if (task) takeTasks([task]);
  navigate(taskRoute(id));
}

// Batches

async function runBatch(form, values) {
  const fingerprint = JSON.stringify([form.app.webappId, plan.value, valuesToSend(form)]);
  const known = attempts.value.find((attempt) => attempt.fingerprint === fingerprint);
  // New seeds would be another body: an attempt whose outcome is unknown keeps its submissions with its key.
  const attempt = known ?? { fingerprint, key: newKey(), submissions: batchSubmissions(form, values) };
  keepAttempts(withAttempt(attempts.value, attempt));
  try {
    const { results } = await submitTasks(attempt.submissions, attempt.key);
    keepAttempts(withoutAttempt(attempts.value, attempt));
    await showBatch(form, results);
  } catch (problem) {
    await refuse(form, attempt, problem);
  }
}

function batchSubmissions(form, values) {
  const batch = newKey();
  return values.map((run, index) => submissionFor(form, run, { batch, run: index, of: values.length }));
}

async function showBatch(form, results) {
  const ids = results.map((result) => result.task_id).filter(Boolean);
  const refused = results.find((result) => !result.task_id);
  if (ids.length) {
    takeTasks(await readTasks(ids));
    navigate(taskRoute(ids[0]));
  }
  if (!refused) return;
  const problem = { errors: [], ...refused, message: refused.detail };
  const others = showServerFaults(form, problem.errors);
  refusal.value = {
    problem,
    others,
    isOpen: false,
    refusedCount: results.length - ids.length,
    count: results.length,
  };
}

async function readTasks(ids) {
  const page = await listTasks({ limit: Math.min(200, ids.length + 20) }).catch(() => ({ tasks: [] }));
  const missing = ids.filter((id) => !page.tasks.some((task) => task.id === id));
  const others = await Promise.all(missing.map((id) => getTask(id).catch(() => null)));
  return [...page.tasks, ...others.filter(Boolean)];
}

export async function cancelAll(tasks) {
  const active = tasks.filter((task) => isActive(task.status));
  const cancelled = await Promise.all(active.map((task) => cancelTask(task.id).catch(() => null)));
  takeTasks(cancelled.filter(Boolean));
}

// One task again

const rerunKeys = new Map();

/** A new paid task with the values of an earlier one; pressed again after a lost response it stays one. */
export async function rerun(task) {
  const key = rerunKeys.get(task.id) ?? newKey();
  rerunKeys.set(task.id, key);
  try {
    const accepted = await rerunTask(task.id, key);
    rerunKeys.delete(task.id);
    await showTask(accepted.task_id);
  } catch (problem) {
    if (!isOutcomeOpen({ status: problem.status })) rerunKeys.delete(task.id);
    if (!problem.taskId) throw problem;
    await showTask(problem.taskId);
  }
}

// Before payment

/** `{seconds, coins, money, count}` from this app's latest successful tasks. */
export const usual = signal(null);
let usualOfId = null;

export async function readUsual(webappId) {
  if (usualOfId !== webappId) usual.value = null;
  usualOfId = webappId;
  const query = { status: 'SUCCESS', webapp_id: webappId, limit: USUAL_FROM };
  const page = await listTasks(query).catch(() => null);
  if (page && usualOfId === webappId) usual.value = usualOf(page.tasks, webappId);
}

onTaskChange((task, before) => {
  if (before && task.status === 'SUCCESS' && task.webapp_id === usualOfId) readUsual(usualOfId);
});
