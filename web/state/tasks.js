// Owns the tasks the page knows: the list of earlier ones with its filters and pages, and the one in view.

import { deleteTask, followTask, getTask, listTasks, waitForTask } from '../service/api.js';
import { isActive, isFinal } from '../logic/statuses.js';
import { matchesSearch } from '../logic/prompts.js';
import { dayStart } from '../logic/time.js';
import { mergeTasks, passes, STATUS_FILTERS } from '../logic/task_list.js';
import { batch, computed, signal } from '../ui/html.js';
import { appName } from './apps.js';
import { onBack } from './connection.js';

const PAGE = 50;
// Further pages are larger: whoever scrolls through thousands of tasks waits a quarter as often.
const NEXT_PAGE = 200;
const SEARCHED_AT_ONCE = 2_000;
const ENOUGH_FOUND = 30;
const REFRESH_MS = 2_000;
const WAIT_S = 25;
const MOST_REFRESHED_ALONE = 20;

export const NO_FILTERS = { status: 'all', webappId: '', owner: '', from: '', to: '' };
export const filters = signal(NO_FILTERS);
export const search = signal('');
export const cursor = signal(null);
export const isLoading = signal(false);
export const isLoaded = signal(false);
export const listProblem = signal(null);
const listed = signal([]);

const bounds = ({ from, to }) => ({ after: dayStart(from), before: dayStart(to, 1) });

/** The filters as the service takes them; the search is the page's own. */
function queryOf({ status, webappId, owner, from, to }) {
  const { after, before } = bounds({ from, to });
  return {
    status: STATUS_FILTERS[status],
    webapp_id: webappId || null,
    owner: owner || null,
    created_after: after,
    created_before: before,
  };
}

/** The list as it is shown: loaded pages, filtered. */
export const shownTasks = computed(() => {
  const { status, webappId, owner } = filters.value;
  const criteria = { status, webappId, owner, ...bounds(filters.value) };
  return listed.value.filter(
    (task) => passes(task, criteria) && matchesSearch(task, search.value, appName(task.webapp_id) ?? ''),
  );
});
export const loadedCount = computed(() => listed.value.length);

const listeners = new Set();
/** Calls `listener(task, before)` for every task that is new or has changed. */
export const onTaskChange = (listener) => listeners.add(listener);

/** Takes in news of tasks, from whatever call they came. */
export function takeTasks(tasks) {
  const before = new Map(listed.value.map((task) => [task.id, task]));
  listed.value = mergeTasks(listed.value, tasks);
  for (const task of tasks) {
    if (before.get(task.id)?.status !== task.status)
      for (const listener of listeners) listener(task, before.get(task.id));
  }
  const isViewed = (task) => task.id === viewedId.value || task.runninghub_task_id === viewedId.value;
  // From the list, where an older response has not replaced a newer one.
  if (tasks.some(isViewed)) viewed.value = listed.value.find(isViewed);
}

export const knownTask = (id) => listed.value.find((task) => task.id === id) ?? null;

// The list

export function setFilters(changes) {
  filters.value = { ...filters.value, ...changes };
  return reload();
}

export async function reload() {
  batch(() => {
    listed.value = viewed.value && isActive(viewed.value.status) ? [viewed.value] : [];
    cursor.value = null;
  });
  await readPage();
}

/** The next page; while searching as many as it takes to find something. */
export async function loadMore() {
  const isSearching = search.value.trim() !== '';
  const end = listed.value.length + SEARCHED_AT_ONCE;
  const found = shownTasks.value.length;
  do await readPage({ isNextPage: true, limit: NEXT_PAGE });
  while (
    isSearching &&
    cursor.value &&
    !listProblem.value &&
    listed.value.length < end &&
    shownTasks.value.length < found + ENOUGH_FOUND
  );
}

export async function searchFor(text) {
  search.value = text;
  if (text.trim() && cursor.value && shownTasks.value.length < ENOUGH_FOUND) await loadMore();
}

let reading = 0;

async function readPage({ isNextPage = false, limit = PAGE } = {}) {
  const turn = ++reading;
  isLoading.value = true;
  try {
    const query = { ...queryOf(filters.value), limit, cursor: isNextPage ? cursor.value : null };
    const page = await listTasks(query);
    if (turn !== reading) return;
    batch(() => {
      cursor.value = page.next_cursor;
      listProblem.value = null;
      takeTasks(page.tasks);
    });
  } catch (problem) {
    if (turn === reading) listProblem.value = problem;
  } finally {
    if (turn === reading) {
      isLoading.value = false;
      isLoaded.value = true;
    }
  }
}

/** News of what is active: the first page, and what lies further down one by one. */
export async function refresh() {
  const page = await listTasks({ ...queryOf(filters.value), limit: PAGE });
  const ids = new Set(page.tasks.map((task) => task.id));
  const below = listed.value
    .filter((task) => isActive(task.status) && !ids.has(task.id))
    .slice(0, MOST_REFRESHED_ALONE);
  const others = await Promise.all(below.map((task) => getTask(task.id).catch(() => task)));
  takeTasks([...page.tasks, ...others]);
}

export function startRefreshing() {
  const refreshQuietly = () => refresh().catch(() => {});
  setInterval(() => {
    if (!document.hidden && listed.value.some((task) => isActive(task.status))) refreshQuietly();
  }, REFRESH_MS);
  document.addEventListener('visibilitychange', () => !document.hidden && isLoaded.value && refreshQuietly());
  onBack(() => (isLoaded.value ? refreshQuietly() : reload()));
}

export async function remove(task) {
  await deleteTask(task.id);
  listed.value = listed.value.filter(({ id }) => id !== task.id);
  if (viewed.value?.id === task.id) closeTask();
}

// The task in view

export const viewedId = signal(null);
export const viewed = signal(null);
export const viewProblem = signal(null);
let following = new AbortController();

/** Puts a task into view and follows it to its end. */
export async function viewTask(id) {
  if (viewedId.value === id && !viewProblem.value) return;
  batch(() => {
    viewedId.value = id;
    viewed.value = knownTask(id);
    viewProblem.value = null;
  });
  await follow(id);
}

export function closeTask() {
  following.abort();
  batch(() => {
    viewedId.value = null;
    viewed.value = null;
    viewProblem.value = null;
  });
}

async function follow(id) {
  following.abort();
  following = new AbortController();
  const { signal: ended } = following;
  if (viewed.value && isFinal(viewed.value.status) && !isKeeping(viewed.value)) return;
  try {
    const onChange = (task) => !ended.aborted && takeTasks([task]);
    await followTask(id, { onChange, signal: ended });
    await readSettled(id, ended);
    await readKept(id, ended);
  } catch (problem) {
    if (!ended.aborted) viewProblem.value = problem;
  }
}

/** An unknown outcome may be settled elsewhere: by a webhook, or by a colleague. */
async function readSettled(id, ended) {
  while (!ended.aborted && viewed.value?.status === 'SUBMIT_UNKNOWN') {
    takeTasks([await waitForTask(id, WAIT_S, ended)]);
  }
}

const isKeeping = (task) => (task.outputs ?? []).some((output) => output.state === 'KEEPING');

/** The stream ends with the task; that its outputs have been kept is news after that. */
async function readKept(id, ended) {
  for (let turn = 0; turn < 5 && viewed.value && isKeeping(viewed.value); turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
    if (ended.aborted) return;
    takeTasks([await getTask(id, ended)]);
  }
}

// A hidden tab lets go of its connection: a browser has only six for one host.
export function startFollowing() {
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) following.abort();
    else if (viewedId.value) follow(viewedId.value);
  });
}

// Batches

/** The tasks of a batch in the order of their runs. */
export function batchOf(task) {
  const id = task?.metadata?.batch;
  if (!id) return [];
  const members = listed.value.filter((other) => other.metadata?.batch === id);
  return members.sort((one, other) => one.metadata.run - other.metadata.run);
}
