// Owns the apps: their names, the lists of the gallery, and which one is open (open_app.js opens it).

import { listWebapps } from '../service/api.js';
import { remember, remembered } from '../service/storage.js';
import { computed, signal } from '../ui/html.js';

const PAGE = 24;
const MOST_NAMES = 200;

const names = signal(remembered('appNames', {}));
export const appName = (webappId) => names.value[webappId] ?? null;

/** The form of the app that is open, its id while it is being opened, and why it could not be. */
export const form = signal(null);
export const openingId = signal(null);
export const openProblem = signal(null);

export const sources = { used: createSource('used'), runninghub: createSource('runninghub') };
export const sort = signal('RECOMMEND');

/** Apps to offer for switching: those used here, else those opened in this browser. */
export const knownApps = computed(() => {
  if (sources.used.apps.value.length) return sources.used.apps.value;
  const opened = Object.entries(names.value).map(([webappId, webappName]) => ({ webappId, webappName }));
  return opened.length ? opened : sources.runninghub.apps.value;
});

function createSource(name) {
  return {
    name,
    apps: signal([]),
    cursor: signal(null),
    isLoading: signal(false),
    isLoaded: signal(false),
    problem: signal(null),
  };
}

/** The first page of a list, or the next one. */
export async function readApps(source, { isNextPage = false } = {}) {
  if (source.isLoading.value) return;
  source.isLoading.value = true;
  source.problem.value = null;
  const cursor = isNextPage ? source.cursor.value : null;
  const order = source.name === 'runninghub' ? sort.value : null;
  try {
    const page = await listWebapps({ source: source.name, sort: order, limit: PAGE, cursor });
    source.apps.value = isNextPage ? [...source.apps.value, ...page.webapps] : page.webapps;
    source.cursor.value = page.next_cursor;
    rememberNames(page.webapps);
  } catch (problem) {
    source.problem.value = problem;
  }
  source.isLoaded.value = true;
  source.isLoading.value = false;
}

export function sortBy(order) {
  sort.value = order;
  return readApps(sources.runninghub);
}

export function rememberNames(apps) {
  const named = apps.filter((app) => app.webappName).map((app) => [app.webappId, app.webappName]);
  names.value = Object.fromEntries([...Object.entries(names.value), ...named].slice(-MOST_NAMES));
  remember('appNames', names.value);
}
