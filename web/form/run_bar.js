// Owns the bar below the form: Run, what stands in its way, what it usually costs and takes, and what it led to.

import { accountState, balanceText, stateText } from '../header/account_menu.js';
import { runCount } from '../logic/batch.js';
import { isActive } from '../logic/statuses.js';
import { isSubmitting, plan, refusal, usual, warnings } from '../state/runs.js';
import { viewed } from '../state/tasks.js';
import { costParts, duration } from '../ui/format.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { ProblemNote, StatusPill } from '../ui/parts.js';
import { faultText, refusalText } from '../ui/problems.js';
import { tab } from '../workspace/layout.js';
import { BatchMenu } from './batch_menu.js';
import { Issues } from './issues.js';

const SHORTCUT = /Mac|iP(hone|ad)/.test(navigator.platform) ? '⌘ ⏎' : 'Ctrl ⏎';

export function RunBar({ form }) {
  const count = runCount(plan.value);
  const label = isSubmitting.value ? t('submitting') : count > 1 ? t('runMany', { n: count }) : t('run');
  return html`
    <div class="run-bar">
      <${Refusal} />
      <${Warnings} form=${form} />
      <${PhoneStatus} />
      <div class="run-row">
        <${Issues} form=${form} />
        <${BatchMenu} form=${form} />
        <button class="button primary run" id="run" aria-disabled=${isSubmitting.value ? 'true' : null} data-busy=${isSubmitting.value ? '' : null}>
          ${isSubmitting.value && html`<span class="spinner"></span>`}
          <span>${label}</span>
          ${!isSubmitting.value && html`<kbd class="shortcut" aria-hidden="true">${SHORTCUT}</kbd>`}
        </button>
      </div>
      <${Facts} count=${count} />
    </div>
  `;
}

/** What the next press will come to, as far as it is known. */
function Facts({ count }) {
  const known = usual.value;
  const cost = known
    ? costParts({ coins: (known.coins ?? 0) * count, money: (known.money ?? 0) * count })
    : [];
  const parts = [
    known?.seconds && t('usuallyTakes', { time: duration(known.seconds) }),
    cost.length > 0 && t('usuallyCosts', { cost: cost.join(' + ') }),
    balanceText() && t('balance', { balance: balanceText() }),
    accountState() && accountState() !== 'ok' && stateText(accountState()),
  ].filter(Boolean);
  return html`<p class="run-facts">${parts.length ? parts.map((part) => html`<span key=${part}>${part}</span>`) : html`<span>${t('noHistoryYet')}</span>`}</p>`;
}

function Refusal() {
  const current = refusal.value;
  return html`
    <div id="form-alert">
      <${ProblemNote}>
        ${
          current &&
          html`
          ${current.refusedCount && html`<p>${t('someRefused', { n: current.refusedCount, of: current.count })}</p>`}
          <p>${refusalText(current)}</p>
          ${current.others.map((error) => html`<p>${[error.nodeId, error.fieldName].filter(Boolean).join('.')}: ${faultText({ message: error.msg })}</p>`)}
        `
        }
      <//>
    </div>
  `;
}

/** The service's warnings that the form has not shown beforehand. */
function Warnings({ form }) {
  const isShownAlready = (warning) =>
    form.fields.some((field) => field.key === `${warning.nodeId}.${warning.fieldName}`);
  const others = warnings.value.filter((warning) => warning.nodeId && !isShownAlready(warning));
  if (!others.length) return null;
  return html`<div class="alert caution"><${Icon} name="alert" /><div>${others.map((warning) => html`<p>${warning.message}</p>`)}</div></div>`;
}

/** On a phone the result is on another tab: how it stands is shown here. */
function PhoneStatus() {
  const task = viewed.value;
  if (!task) return null;
  return html`
    <button type="button" class="phone-status" onClick=${() => (tab.value = 'result')}>
      <${StatusPill} status=${task.status} />
      <span>${t(isActive(task.status) ? 'watchResult' : 'showResult')}</span>
      <${Icon} name="forward" />
    </button>
  `;
}
