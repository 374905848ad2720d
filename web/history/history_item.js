// Owns one earlier task in the list: thumbnail, prompt first, then how it stands, which app, when.

import { promptOf } from '../logic/prompts.js';
import { taskRoute } from '../logic/routes.js';
import { isDeletable } from '../logic/statuses.js';
import { confirmed } from '../dialogs/confirm.js';
import { Thumbnail } from '../result/batch_strip.js';
import { appName } from '../state/apps.js';
import { notice } from '../state/notices.js';
import { remove, viewedId } from '../state/tasks.js';
import { clockTime } from '../ui/format.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { IconButton, StatusIcon } from '../ui/parts.js';
import { problemText } from '../ui/problems.js';
import { showResult } from '../workspace/layout.js';

export function HistoryItem({ task }) {
  const { status, queue_position: place } = task;
  const name =
    appName(task.webapp_id) ?? (task.webapp_id ? t('someApp', { id: task.webapp_id }) : t('workflow'));
  const prompt = promptOf(task);
  const state = place ? t('placeInQueue', { n: place }) : t(status);
  return html`
    <a class="task-row" href=${taskRoute(task.id)} aria-current=${task.id === viewedId.value ? 'true' : null} onClick=${showResult}>
      <${Thumbnail} task=${task} />
      <span class="summary">
        <span class="summary-text">${prompt || name}</span>
        <span class="summary-facts">
          ${status !== 'SUCCESS' && html`<${StatusIcon} status=${status} /><span class="summary-status">${state}</span>`}
          ${prompt && !place && html`<span class="summary-name">${name}</span>`}
          <span class="summary-time">${clockTime(task.created_at)}</span>
        </span>
      </span>
    </a>
    ${isDeletable(status) && html`<${IconButton} icon="trash" class="row-delete" label=${t('deleteTask')} onClick=${() => removeIt(task)} />`}
  `;
}

async function removeIt(task) {
  if (!(await confirmed(t('deleteQuestion'), t('delete')))) return;
  await remove(task).then(
    () => notice(t('deleted')),
    (problem) => notice(problemText(problem)),
  );
}
