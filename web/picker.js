// Owns the choice of an app: by id or link, or from those opened before.

import { listTasks } from './api.js';
import { byId, el } from './dom.js';
import { localise, say } from './i18n.js';
import { remember, remembered } from './storage.js';

// The sample app of RunningHub's documentation; the simulator has it, too.
const SUGGESTED = { webappId: '1992755951447109633', name: '【c0029】基础LoRA配合提示词文生图' };
const MOST_REMEMBERED = 6;
const IN_A_LINK = /(?:\/(?:ai-detail|ai-app|webapp|run\/ai-app)\/|[?&#](?:webappId|webapp_id|id)=)(\d+)/i;
const LONG_NUMBER = /\d{6,}/;

/** The app's id in what a person pasted, or null. */
export function webappIdIn(text) {
  const plain = text.trim();
  if (/^\d+$/.test(plain)) return plain;
  return IN_A_LINK.exec(plain)?.[1] ?? LONG_NUMBER.exec(plain)?.[0] ?? null;
}

export const knownApps = () => remembered('apps', []);
export const appName = (webappId) => knownApps().find((app) => app.webappId === webappId)?.name;

export function rememberApp({ webappId, webappName }) {
  const others = knownApps().filter((app) => app.webappId !== webappId);
  remember('apps', [{ webappId, name: webappName }, ...others].slice(0, MOST_REMEMBERED));
  showApps(webappId);
}

let openApp = () => {};

export function installPicker(onOpen) {
  openApp = onOpen;
  byId('picker').addEventListener('submit', (event) => {
    event.preventDefault();
    const webappId = webappIdIn(byId('app-id').value);
    showPickerProblem(webappId ? null : say('noId'));
    if (webappId) onOpen(webappId);
  });
  showApps(null);
}

export function showPickerProblem(text) {
  const input = byId('app-id');
  byId('picker-alert').replaceChildren(...(text ? [el('p', {}, text)] : []));
  if (text) input.setAttribute('aria-invalid', 'true');
  else input.removeAttribute('aria-invalid');
}

/** On a first visit from this browser: the app of the last task, else the sample. */
export async function suggestApp() {
  if (knownApps().length) return;
  const { tasks } = await listTasks({ limit: 1 });
  const last = tasks[0]?.webapp_id;
  if (last && last !== SUGGESTED.webappId) showApps(null, [{ webappId: last, name: last }, SUGGESTED]);
}

function showApps(current, apps = knownApps()) {
  const shown = apps.length ? apps : [SUGGESTED];
  const title = knownApps().length ? 'recentApps' : 'tryApps';
  localise(byId('apps-title'), say(title));
  byId('apps').replaceChildren(...shown.map((app) => el('li', {}, chip(app, app.webappId === current))));
}

function chip({ webappId, name }, isCurrent) {
  return el(
    'button',
    { type: 'button', class: 'chip', 'aria-pressed': String(isCurrent), onclick: () => openApp(webappId) },
    name || webappId,
  );
}
