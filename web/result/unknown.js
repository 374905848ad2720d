// Owns a task whose paid call got no response: what that means, and a person's decision about it.

import { confirmed } from '../dialogs/confirm.js';
import { settleTask } from '../service/api.js';
import { takeTasks, viewTask } from '../state/tasks.js';
import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button } from '../ui/parts.js';

export function Unknown({ task, attempt }) {
  const [id, setId] = useState('');
  const settle = (decision) =>
    attempt(async () => {
      takeTasks([await settleTask(task.id, decision)]);
      await viewTask(task.id);
    });
  const follow = (event) => {
    event.preventDefault();
    settle({ runninghub_task_id: id.trim() });
  };
  const resubmit = async () => {
    if (await confirmed(t('mayCostTwice'), t('resubmit'))) settle({ resubmit: true });
  };
  return html`
    <div class="stage ended">
      <div class="end decision">
        <div class="alert unknown"><${Icon} name="question" /><div><p>${t('unknown1')}</p><p>${t('unknown2')}</p></div></div>
        <form class="settle" onSubmit=${follow}>
          <label class="label" for="runninghub-id">${t('didStart')}</label>
          <div class="row">
            <input id="runninghub-id" type="text" inputmode="numeric" autocomplete="off" required pattern="[0-9]{1,30}" value=${id} onInput=${(event) => setId(event.target.value)} />
            <button class="button secondary"><span>${t('takeId')}</span></button>
          </div>
        </form>
        <div class="settle">
          <p class="label">${t('didNotStart')}</p>
          <${Button} icon="redo" onClick=${resubmit}>${t('resubmit')}<//>
        </div>
      </div>
    </div>
  `;
}
