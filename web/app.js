// Owns the page as a whole: starts its parts and passes what one says to the others.

import { getApp, getHealth, onUnauthorized, Problem, submitTask } from './api.js';
import { showApp } from './app_card.js';
import { askForToken, installForget } from './dialogs.js';
import { announce, byId } from './dom.js';
import { Form } from './form.js';
import { installHistory, markSelected, refresh } from './history.js';
import { currentLanguage, localisePage, setLanguage, t } from './i18n.js';
import { installPasteAndDrop } from './media.js';
import { installPicker, knownApps, rememberApp, showPickerProblem, suggestApp } from './picker.js';
import { problemText } from './problems.js';
import { installViewer } from './results.js';
import { remembered } from './storage.js';
import { installTaskCard, showTask } from './task_card.js';

let app = null;
let form = null;
// The last press of Run that got no answer: the same values again go with the same key, and cost once.
let unanswered = null;

async function openApp(webappId, { hasFocus = true } = {}) {
  showPickerProblem(null);
  document.body.dataset.loading = 'app';
  try {
    app = await getApp(webappId);
  } catch (problem) {
    showPickerProblem(() => problemText(asProblem(problem)));
    return false;
  } finally {
    delete document.body.dataset.loading;
  }
  showApp(app);
  form?.close();
  form = new Form(app);
  rememberApp(app);
  refresh();
  byId('app-id').value = app.webappId;
  if (hasFocus) byId('app-title').focus();
  return true;
}

async function run(event) {
  event.preventDefault();
  if (!form.check()) return;
  byId('run').disabled = true;
  try {
    await submit(form.submission());
  } finally {
    byId('run').disabled = false;
  }
}

async function submit(submission) {
  const values = JSON.stringify(submission);
  const key = unanswered?.values === values ? unanswered.key : newKey();
  unanswered = { values, key };
  try {
    const answer = await submitTask(submission, key);
    unanswered = null;
    form.showWarnings(answer.warnings);
    watchTask(answer.task_id);
  } catch (problem) {
    showRefusal(asProblem(problem));
  }
}

function showRefusal(problem) {
  if (problem.code !== 'network') unanswered = null;
  // 504: it may run. The task's card explains that better than an alert.
  if (problem.code !== 'runninghub_timeout' || !problem.taskId) form.showProblem(problem);
  if (problem.taskId) watchTask(problem.taskId);
}

// crypto.randomUUID() is missing where the page is not served over https.
const newKey = () =>
  [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join('-');

function watchTask(id, task = null) {
  announce(t('submitted'));
  showTask(id, task);
  markSelected(id);
  bringTaskIntoView();
  refresh();
}

// In one column the card lies far below the form; beside it, it is in view mostly.
function bringTaskIntoView() {
  const isOneColumn = matchMedia('(max-width: 60rem)').matches;
  byId('task').scrollIntoView({ block: isOneColumn ? 'start' : 'nearest' });
}

function selectTask(task) {
  showTask(task.id, task);
  markSelected(task.id);
  bringTaskIntoView();
  byId('task-heading').focus({ preventScroll: true });
}

async function runAgain(task) {
  const isOpen = app?.webappId === task.webapp_id || (await openApp(task.webapp_id));
  if (!isOpen) return;
  form.fill(task.node_info);
  byId('app-title').focus();
  announce(t('filled'));
}

const asProblem = (error) => {
  if (error instanceof Problem) return error;
  throw error;
};

async function start() {
  localisePage();
  onUnauthorized(askForToken);
  installForget();
  installViewer();
  installPicker(openApp);
  installPasteAndDrop();
  installHistory(selectTask);
  installTaskCard({ onChange: refresh, onAgain: runAgain });
  byId('app-form').addEventListener('submit', run);
  byId('reset').addEventListener('click', () => form.reset());
  byId('language').addEventListener('click', () => setLanguage(currentLanguage() === 'zh' ? 'en' : 'zh'));
  await comeBack();
}

/** What was in view before a reload; else what a first visit is offered. */
async function comeBack() {
  const health = await getHealth().catch(() => null);
  byId('not-configured').hidden = health?.runninghub !== 'not_configured';
  await refresh();
  const [last] = knownApps();
  if (last) await openApp(last.webappId, { hasFocus: false });
  else await suggestApp().catch(() => {});
  const taskId = remembered('task');
  if (taskId) {
    showTask(taskId);
    markSelected(taskId);
  }
}

start();
