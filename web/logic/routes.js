// Owns the page's addresses: `#/` the gallery, `#/apps/{id}` an app, `#/tasks/{id}` a task in its app, `#/usage`.

const APP = /^#\/apps\/(\d+)$/;
const TASK = /^#\/tasks\/([\w.~%-]+)$/;
const TOKEN = /^#(\/[^?]*\?)?token=([^&]*)$/;

/** `{name: 'gallery' | 'app' | 'task' | 'usage', id}`; an unknown address is the gallery. */
export function parseRoute(hash) {
  const app = APP.exec(hash);
  if (app) return { name: 'app', id: app[1] };
  const task = TASK.exec(hash);
  if (task) return { name: 'task', id: decoded(task[1]) };
  return { name: hash === USAGE ? 'usage' : 'gallery', id: null };
}

/** The token that a link carries, or null, and the address without it. */
export function tokenIn(hash) {
  const found = TOKEN.exec(hash);
  if (!found) return { token: null, hash };
  const place = found[1]?.slice(0, -1) ?? '';
  return { token: decoded(found[2]), hash: place ? `#${place}` : '' };
}

export const GALLERY = '#/';
export const USAGE = '#/usage';
export const appRoute = (webappId) => `#/apps/${webappId}`;
export const taskRoute = (taskId) => `#/tasks/${encodeURIComponent(taskId)}`;

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
