// Owns the largest part of the screen: the task in view, from its wait to its result.

import { Cover } from '../gallery/app_card.js';
import { batchProgress } from '../logic/batch.js';
import { costOf } from '../logic/outputs.js';
import { promptOf } from '../logic/prompts.js';
import { isActive } from '../logic/statuses.js';
import { cancelTask } from '../service/api.js';
import { appName } from '../state/apps.js';
import { accounts, isOperator } from '../state/connection.js';
import { cancelAll } from '../state/runs.js';
import { takeTasks, batchOf, viewed, viewedId, viewProblem } from '../state/tasks.js';
import { costParts, dateTime, duration } from '../ui/format.js';
import { html, useState } from '../ui/html.js';
import { pick, t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button, ProblemNote, StatusPill } from '../ui/parts.js';
import { problemText } from '../ui/problems.js';
import { BatchStrip } from './batch_strip.js';
import { Ended } from './ended.js';
import { Progress } from './progress.js';
import { Success } from './success.js';
import { TaskActions } from './task_actions.js';
import { Unknown } from './unknown.js';

export function Result({ form }) {
  const task = viewed.value;
  if (viewProblem.value && !task)
    return html`
      <div class="stage ended">
        <div class="end">
          <span class="end-icon"><${Icon} name="question" /></span>
          <p class="end-title" role="alert">${problemText(viewProblem.value)}</p>
        </div>
      </div>
    `;
  if (!task)
    return viewedId.value
      ? html`<div class="stage loading" role="status" aria-label=${t('loading')}></div>`
      : html`<${Example} form=${form} />`;
  return html`<${TaskView} key=${task.id} task=${task} form=${form} />`;
}

/** Before the first run: what the app's author shows of it. */
const Example = ({ form }) => html`
  <div class="stage example" id="task-empty">
    ${form && html`<${Cover} key=${form.app.webappId} cover=${form.app.covers[0]?.url ?? form.app.covers[0]} class="example-cover" />`}
    <div class="example-text">
      <p class="example-title">${t('taskEmptyTitle')}</p>
      ${form && html`<p class="example-about">${pick(form.app.description, form.app.descriptionEn)}</p>`}
      <p class="soft">${form ? t('taskEmpty') : ''}</p>
    </div>
  </div>
`;

function TaskView({ task, form }) {
  const [problem, setProblem] = useState(null);
  const members = batchOf(task);
  /** Runs an action of a button; what goes wrong is shown with this task. */
  const attempt = async (action) => {
    setProblem(null);
    try {
      await action();
    } catch (error) {
      setProblem(error);
    }
  };
  return html`
    <article class="task" id="task-card" data-status=${task.status} aria-labelledby="task-heading">
      <header class="task-head">
        <div class="task-title">
          <h2 id="task-heading" tabindex="-1"><${StatusPill} status=${task.status} /><span class="ellipsis">${promptOf(task) || appName(task.webapp_id) || t('task')}</span></h2>
          <${TaskFacts} task=${task} />
        </div>
        <div class="row" id="task-actions">
          ${
            isActive(task.status) &&
            html`<${Button} icon="stop" class="small" onClick=${() => attempt(async () => takeTasks([await cancelTask(task.id)]))}>${t('cancel')}<//>`
          }
          <${TaskActions} task=${task} form=${form} attempt=${attempt} />
        </div>
      </header>
      ${members.length > 1 && html`<${BatchHead} members=${members} total=${task.metadata.of} current=${task.id} attempt=${attempt} />`}
      <${ProblemNote} problem=${problem ?? viewProblem.value} />
      <div class="task-body" id="task-body"><${TaskBody} task=${task} form=${form} attempt=${attempt} /></div>
    </article>
  `;
}

function TaskFacts({ task }) {
  const cost = costOf(task);
  const facts = [
    appName(task.webapp_id),
    isOperator.value && task.owner && t('ownerFact', { name: task.owner }),
    accounts.value.length > 1 && task.account,
    dateTime(task.created_at),
    cost.seconds && t('took', { time: duration(cost.seconds) }),
    ...costParts(cost),
  ].filter(Boolean);
  return html`<p class="task-facts" id="task-facts">${facts.map((fact) => html`<span key=${fact}>${fact}</span>`)}</p>`;
}

function TaskBody({ task, form, attempt }) {
  if (isActive(task.status)) return html`<${Progress} task=${task} />`;
  if (task.status === 'SUCCESS') return html`<${Success} task=${task} form=${form} attempt=${attempt} />`;
  if (task.status === 'SUBMIT_UNKNOWN') return html`<${Unknown} task=${task} attempt=${attempt} />`;
  return html`<${Ended} task=${task} attempt=${attempt} />`;
}

function BatchHead({ members, total, current, attempt }) {
  const progress = batchProgress(members, total);
  return html`
    <div class="batch-head">
      <div class="batch-summary">
        <p id="batch-progress">
          ${t('batchProgress', { n: progress.ended, of: progress.total })}
          ${progress.failed > 0 && html`<span class="bad-text"> · ${t('batchFailed', { n: progress.failed })}</span>`}
          ${progress.cancelled > 0 && html`<span class="soft"> · ${t('batchCancelled', { n: progress.cancelled })}</span>`}
          ${progress.unknown > 0 && html`<span> · ${t('batchUnknown', { n: progress.unknown })}</span>`}
        </p>
        <progress max=${progress.total} value=${progress.ended} aria-label=${t('batchProgressLabel')}></progress>
        ${
          members.some((member) => isActive(member.status)) &&
          html`<${Button} icon="stop" class="small" onClick=${() => attempt(() => cancelAll(members))}>${t('cancelAll')}<//>`
        }
      </div>
      <${BatchStrip} members=${members} current=${current} />
    </div>
  `;
}
