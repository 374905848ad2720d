// Owns telling a person how the task in view goes on: to screen readers, and outside the page at its end.

import { promptOf } from '../logic/prompts.js';
import { isActive } from '../logic/statuses.js';
import { t } from '../ui/i18n.js';
import { appName } from './apps.js';
import { announce, notifyOutside } from './notices.js';
import { onTaskChange, viewedId } from './tasks.js';

export function startTelling() {
  onTaskChange((task, before) => {
    if (task.id !== viewedId.value || !before) return;
    announce(t(task.status));
    if (!isActive(task.status))
      notifyOutside(`${t(task.status)} · ${appName(task.webapp_id) ?? t('task')}`, promptOf(task));
  });
}
