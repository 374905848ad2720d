// Owns the card of the task in view: its state and progress while it runs, its results or its failure after.

import { cancelTask, serviceNow, settleTask } from './api.js';
import { announce, byId, el, icon } from './dom.js';
import { confirmed } from './dialogs.js';
import { followTask } from './follow.js';
import { say, t } from './i18n.js';
import { appName } from './picker.js';
import { problemText, taskErrorText } from './problems.js';
import { costOf, resultsOf } from './results.js';
import { duration, isActive, isFinal, moment, statusPill, statusText } from './status.js';
import { remember } from './storage.js';

const TICK_MS = 250;
// The bar waits here for a run that takes longer than usual.
const FULLEST = 0.96;

let viewedId = null;
let current = null;
let watch = new AbortController();
let listeners = { onChange: () => {}, onAgain: () => {} };

/** `onChange(task)` at every change of the task in view, `onAgain(task)` for its values in the form. */
export function installTaskCard({ onChange, onAgain }) {
  listeners = { onChange, onAgain };
  setInterval(showProgress, TICK_MS);
  // A hidden tab lets go of its connection: a browser has only six for one host.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) watch.abort();
    else if (viewedId) follow(viewedId);
  });
}

/** Puts a task into view and follows it; `task` may be known already, or only its id. */
export function showTask(id, task = null) {
  remember('task', id);
  viewedId = id;
  current = null;
  // What is still to be seen of the one before is not to be pressed any more.
  byId('task-card').inert = true;
  byId('task-problem').replaceChildren();
  if (task) take(task, { isQuiet: true });
  follow(id);
}

async function follow(id) {
  watch.abort();
  watch = new AbortController();
  const { signal } = watch;
  if (current && isFinal(current.status)) return;
  const onTask = (task) => !signal.aborted && take(task);
  try {
    await followTask(id, { onTask, onTrouble: showTrouble, signal });
  } catch (problem) {
    if (!signal.aborted) giveUp(problem);
  }
}

function giveUp(problem) {
  if (problem.code === 'task_not_found') remember('task', null);
  showProblem(problem);
}

function take(task, { isQuiet = false } = {}) {
  const isSame = current && current.id === task.id && current.status === task.status;
  const isNews = !isSame && current !== null;
  current = task;
  byId('task-empty').hidden = true;
  byId('task-card').hidden = false;
  byId('task-card').inert = false;
  if (isSame) return showProgress();
  keepingFocus(() => draw(task));
  if (isNews && !isQuiet) announce(statusText(task.status));
  listeners.onChange(task);
}

/** A button that had focus may be gone after `change`. */
function keepingFocus(change) {
  const hadFocus = byId('task-card').contains(document.activeElement);
  change();
  if (hadFocus && document.activeElement === document.body) byId('task-heading').focus();
}

function draw(task) {
  byId('task-status').replaceChildren(statusPill(task.status));
  byId('task-name').replaceChildren(...title(task));
  byId('task-actions').replaceChildren(...actions(task));
  byId('task-body').replaceChildren(...body(task));
  byId('task-card').dataset.status = task.status;
  showProgress();
}

function title(task) {
  const name = appName(task.webapp_id) ?? task.webapp_id;
  const facts = [el('li', {}, () => moment(task.created_at)), ...costOf(task)];
  const heading = name && el('span', { class: 'task-app' }, name);
  return [heading, el('ul', { class: 'facts' }, ...facts)].filter(Boolean);
}

function actions(task) {
  const again = task.webapp_id && button('redo', 'again', () => listeners.onAgain(task));
  const cancel = isActive(task.status) && button('stop', 'cancel', () => tried(cancelTask(task.id)));
  return [cancel, again].filter(Boolean);
}

function button(picture, key, onclick) {
  return el('button', { type: 'button', class: 'button secondary', onclick }, icon(picture), say(key));
}

function body(task) {
  if (isActive(task.status)) return [progress()];
  if (task.status === 'SUCCESS') return resultsOf(task);
  if (task.status === 'SUBMIT_UNKNOWN') return unclear(task);
  if (task.status === 'FAILED') return [failure(task.error)];
  return [el('p', { class: 'quiet-text' }, say('cancelled'))];
}

function failure(error) {
  const reason = el('p', {}, () => taskErrorText(error));
  return el('div', { class: 'alert bad' }, icon('alert'), reason);
}

function progress() {
  const bar = el('progress', { id: 'progress', max: 1, 'aria-label': say('progress') });
  return el('div', { class: 'run-state' }, bar, el('p', { id: 'progress-text' }));
}

/** Counted here between two answers of the service. */
function showProgress() {
  const bar = byId('progress');
  if (!bar || !current) return;
  const seconds = (since) => Math.max(0, (serviceNow() - Date.parse(since)) / 1000);
  const expected = current.status === 'RUNNING' && current.expected_seconds;
  if (expected) bar.value = Math.min(FULLEST, seconds(current.updated_at) / expected);
  else bar.removeAttribute('value');
  const parts = progressTexts(current, duration(seconds(current.created_at)));
  byId('progress-text').replaceChildren(...parts.map((part) => el('span', {}, part)));
}

function progressTexts({ status, queue_position: place, expected_seconds: expected }, elapsed) {
  const state = status === 'PENDING' && place ? t('placeInQueue', { n: place }) : t(`${status}_text`);
  const usual = expected ? t('usually', { time: duration(expected) }) : '';
  return [state, t('elapsed', { time: elapsed }), usual].filter(Boolean);
}

function unclear(task) {
  const explanation = el('div', {}, el('p', {}, say('unclear1')), el('p', {}, say('unclear2')));
  return [
    el('div', { class: 'alert unclear' }, icon('question'), explanation),
    didStart(task),
    didNotStart(task),
  ];
}

function didStart({ id }) {
  const attributes = {
    type: 'text',
    inputmode: 'numeric',
    autocomplete: 'off',
    required: true,
    pattern: '[0-9]{1,30}',
  };
  const input = el('input', { id: 'runninghub-id', ...attributes });
  const settle = (event) => {
    event.preventDefault();
    tried(settleTask(id, { runninghub_task_id: input.value.trim() }));
  };
  const label = el('label', { class: 'label', for: 'runninghub-id' }, say('didStart'));
  const row = el('div', { class: 'row' }, input, el('button', { class: 'button' }, say('takeId')));
  return el('form', { class: 'settle', onsubmit: settle }, label, row);
}

function didNotStart({ id }) {
  const resubmit = async () => {
    const isMeant = await confirmed(say('mayCostTwice'), say('resubmit'));
    if (isMeant) tried(settleTask(id, { resubmit: true }));
  };
  const label = el('p', { class: 'label' }, say('didNotStart'));
  return el('div', { class: 'settle' }, label, button('redo', 'resubmit', resubmit));
}

/** The task that a press of a button gives, or the problem in the card. */
async function tried(call) {
  byId('task-problem').replaceChildren();
  const { id } = current;
  try {
    const task = await call;
    if (current.id !== id) return;
    take(task);
    follow(id);
  } catch (problem) {
    if (current.id === id) showProblem(problem);
  }
}

function showProblem(problem) {
  byId('task-problem').replaceChildren(el('p', {}, () => problemText(problem)));
}

function showTrouble(isTrouble) {
  byId('connection').hidden = !isTrouble;
}
