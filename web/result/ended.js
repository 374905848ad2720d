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
  return html`
    <div class="stage ended">
      <div class=${`alert ${isFailed ? 'bad' : 'plain'}`}>
        <${Icon} name=${isFailed ? 'alert' : 'cross'} />
        <div>
          <p>${text}</p>
          ${isFailed && task.error.message && task.error.message !== text && !text.includes(task.error.message) && html`<p class="soft error-message">${task.error.message}</p>`}
        </div>
      </div>
      <${Button} icon="redo" onClick=${() => attempt(() => rerun(task))}>${t('rerun')}<//>
    </div>
  `;
}
