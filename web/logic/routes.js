// Owns the page's addresses: `#/` the gallery, `#/apps/{id}` an app, `#/tasks/{id}` a task in its app.

const APP = /^#\/apps\/(\d+)$/;
const TASK = /^#\/tasks\/([\w.~%-]+)$/;

/** `{name: 'gallery' | 'app' | 'task', id}`; an unknown address is the gallery. */
export function parseRoute(hash) {
  const app = APP.exec(hash);
  if (app) return { name: 'app', id: app[1] };
  const task = TASK.exec(hash);
  if (task) return { name: 'task', id: decoded(task[1]) };
  return { name: 'gallery', id: null };
}

export const GALLERY = '#/';
export const appRoute = (webappId) => `#/apps/${webappId}`;
export const taskRoute = (taskId) => `#/tasks/${encodeURIComponent(taskId)}`;

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
