// Owns the tab's title: the app, and how its task stands.

import { progressOf } from '../logic/estimate.js';
import { isActive } from '../logic/statuses.js';
import { serviceNow } from '../service/api.js';
import { appName } from '../state/apps.js';
import { viewed } from '../state/tasks.js';
import { useEffect } from '../ui/html.js';
import { t } from '../ui/i18n.js';

const TICK_MS = 2_000;

/** "42 % · An app" while it runs, "Done · An app" after. */
function titleOf(webappId) {
  const name = appName(webappId) ?? t('title');
  const task = viewed.value;
  if (!task) return name;
  const { share } = progressOf(task, serviceNow());
  const state = share === null ? t(task.status) : `${Math.round(share * 100)} %`;
  return `${state} · ${name}`;
}

export function useTitle(webappId) {
  const title = titleOf(webappId);
  const isRunning = Boolean(viewed.value && isActive(viewed.value.status));
  useEffect(() => {
    document.title = title;
  }, [title]);
  useEffect(() => {
    if (!isRunning) return undefined;
    const timer = setInterval(() => (document.title = titleOf(webappId)), TICK_MS);
    return () => clearInterval(timer);
  }, [isRunning, webappId]);
}
