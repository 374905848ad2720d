// Owns the list of earlier tasks: filter, pages, and what changes while one looks.

import { listTasks, Problem } from './api.js';
import { byId, el, icon } from './dom.js';
import { say, t } from './i18n.js';
import { appName } from './picker.js';
import { problemText } from './problems.js';
import { thumbnailOf } from './results.js';
import { ACTIVE, isActive, moment, statusPill } from './status.js';

const PAGE = 12;
const MOST_AT_ONCE = 200;
const REFRESH_MS = 2_000;
const LONGEST_TEXT = 120;
const FILTERS = {
  all: [],
  active: ACTIVE,
  good: ['SUCCESS'],
  bad: ['FAILED'],
  over: ['CANCELLED'],
  unclear: ['SUBMIT_UNKNOWN'],
};

const rows = new Map();
let tasks = [];
let cursor = null;
let selected = null;
let select = () => {};

export function installHistory(onSelect) {
  select = onSelect;
  const filter = byId('filter');
  filter.append(...Object.keys(FILTERS).map((name) => el('option', { value: name }, say(`filter_${name}`))));
  filter.addEventListener('change', () => reload());
  byId('load-more').addEventListener('click', loadMore);
  setInterval(refreshIfActive, REFRESH_MS);
  document.addEventListener('visibilitychange', () => !document.hidden && refresh());
}

export function markSelected(id) {
  selected = id;
  for (const [rowId, row] of rows) row.button.setAttribute('aria-current', String(rowId === id));
}

/** All that is shown, asked for again; what is further down stays. */
export async function refresh() {
  const limit = Math.min(MOST_AT_ONCE, Math.max(PAGE, tasks.length));
  await showing(async (statuses) => {
    const page = await listTasks({ statuses, limit });
    const last = page.tasks.at(-1);
    const below = page.next_cursor ? tasks.filter((task) => task.created_at < last.created_at) : [];
    if (!below.length) cursor = page.next_cursor;
    return [...page.tasks, ...below];
  });
}

function refreshIfActive() {
  if (!document.hidden && tasks.some((task) => isActive(task.status))) refresh();
}

async function reload() {
  tasks = [];
  await refresh();
}

async function loadMore() {
  const first = tasks.length;
  await showing(async (statuses) => {
    const page = await listTasks({ statuses, limit: PAGE, cursor });
    cursor = page.next_cursor;
    return [...tasks, ...page.tasks];
  });
  rows.get(tasks[first]?.id)?.button.focus();
}

async function showing(read) {
  const filter = byId('filter').value;
  try {
    const found = await read(FILTERS[filter]);
    if (filter !== byId('filter').value) return;
    tasks = found;
    byId('history-problem').replaceChildren();
    draw();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    byId('history-problem').replaceChildren(el('p', {}, () => problemText(problem)));
  }
}

/** Rows stay the same elements from draw to draw, so that focus stays where it is. */
function draw() {
  const list = byId('tasks');
  const shown = new Set(tasks.map((task) => task.id));
  for (const [id, row] of rows) if (!shown.has(id)) dropRow(id, row);
  tasks.forEach((task, place) => {
    const row = rows.get(task.id) ?? createRow(task.id);
    row.show(task);
    if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
  });
  byId('history-empty').hidden = tasks.length > 0;
  byId('load-more').hidden = !cursor;
}

function dropRow(id, row) {
  row.element.remove();
  rows.delete(id);
}

function createRow(id) {
  const button = el('button', { type: 'button', class: 'task-row', 'aria-current': String(id === selected) });
  const row = { element: el('li', {}, button), button, version: null };
  row.show = (task) => {
    const version = `${task.updated_at} ${task.queue_position} ${appName(task.webapp_id)}`;
    if (row.version === version) return;
    row.version = version;
    button.replaceChildren(thumbnail(task), summary(task), statusPill(task.status));
    button.onclick = () => select(task);
  };
  rows.set(id, row);
  return row;
}

function thumbnail(task) {
  const address = thumbnailOf(task);
  const nothing = () => el('span', { class: 'thumb' }, icon(task.status === 'SUCCESS' ? 'file' : 'image'));
  if (!address) return nothing();
  return el('img', {
    class: 'thumb',
    src: address,
    alt: '',
    loading: 'lazy',
    onerror: (event) => event.target.replaceWith(nothing()),
  });
}

function summary(task) {
  const { created_at: time, queue_position: place, webapp_id: id } = task;
  const name = appName(id) ?? say('someApp', { id: id ?? '—' });
  const text = task.node_info.find((item) => item.fieldType === 'STRING')?.fieldValue;
  const facts = () => [moment(time), place && t('placeInQueue', { n: place })].filter(Boolean).join(' · ');
  return el(
    'span',
    { class: 'summary' },
    el('span', { class: 'summary-name' }, name),
    text && el('span', { class: 'summary-text' }, text.slice(0, LONGEST_TEXT)),
    el('span', { class: 'summary-time' }, facts),
  );
}
