// Owns a task that ended without a result: why it failed, or that it was cancelled.

import { rerun } from '../state/runs.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button } from '../ui/parts.js';
import { taskErrorText } from '../ui/problems.js';

export function Ended({ task, attempt }) {
  const isFailed = task.status === 'FAILED';
  const text = isFailed
    ? taskErrorText(task.error)
    : t(task.error?.code === 'deadline' ? 'cancelledByDeadline' : 'cancelled');
  const isMore = isFailed && task.error.message && !text.includes(task.error.message);
  return html`
    <div class="stage ended">
      <div class="end">
        <span class=${`end-icon ${isFailed ? 'bad' : ''}`}><${Icon} name=${isFailed ? 'alert' : 'cross'} /></span>
        ${isFailed && html`<h3 class="end-title">${t('failedTitle')}</h3>`}
        <p class=${isFailed ? 'end-reason' : 'end-title'}>${text}</p>
        ${isMore && html`<p class="end-reason soft">${task.error.message}</p>`}
        <p class="soft">${t('endedHint')}</p>
        <${Button} icon="redo" kind="primary" onClick=${() => attempt(() => rerun(task))}>${t('rerun')}<//>
        ${task.runninghub_task_id && html`<p class="end-id soft">${t('runninghubTask', { id: task.runninghub_task_id })}</p>`}
      </div>
    </div>
  `;
}
