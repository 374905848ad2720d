// Owns the page of usage: what was spent, by day, app, user and account; below it, for the operator, the users.

import { measureOf, PERIODS, successPercent } from '../logic/usage.js';
import { readApps, sources } from '../state/apps.js';
import { isOperator } from '../state/connection.js';
import { days, readUsage, showPeriod, usage, usageProblem } from '../state/usage.js';
import { amount, longDuration } from '../ui/format.js';
import { html, useEffect } from '../ui/html.js';
import { addTexts, t } from '../ui/i18n.js';
import { ProblemNote } from '../ui/parts.js';
import { operatorTexts } from './texts.js';
import { UsageChart } from './usage_chart.js';
import { UsageTable } from './usage_table.js';
import { Users } from './users.js';

addTexts(operatorTexts);

export function UsagePage() {
  const title = t(isOperator.value ? 'usageAndUsers' : 'usage');
  useEffect(() => {
    readUsage();
    // For the names of apps.
    if (!sources.used.isLoaded.value) readApps(sources.used);
  }, []);
  useEffect(() => {
    document.title = `${title} · ${t('title')}`;
  }, [title]);
  return html`
    <div class="operator-page">
      <div class="operator-head">
        <div>
          <h1>${title}</h1>
          <p class="soft">${t(isOperator.value ? 'usageText' : 'usageTextOwn')}</p>
        </div>
        <${PeriodChoice} />
      </div>
      <${ProblemNote} problem=${usageProblem.value} />
      <section class="usage-area" aria-label=${t('usage')} aria-busy=${String(!usage.value)}>
        ${usage.value && html`<${Totals} total=${usage.value.total} /><${UsageChart} usage=${usage.value} /><${UsageTable} usage=${usage.value} />`}
      </section>
      ${isOperator.value && html`<${Users} />`}
    </div>
  `;
}

const PeriodChoice = () => html`
  <div class="segments" role="group" aria-label=${t('period')}>
    ${PERIODS.map(
      (count) => html`<button
        type="button"
        key=${count}
        aria-pressed=${String(days.value === count)}
        onClick=${() => showPeriod(count)}
      >
        ${t('lastDays', { n: count })}
      </button>`,
    )}
  </div>
`;

function Totals({ total }) {
  const percent = successPercent(total);
  const measure = measureOf(total);
  const facts = [
    ['tasksEnded', amount(total.tasks), percent === null ? null : t('succeededShare', { n: percent })],
    measure !== 'money' && ['coinsSpent', amount(total.coins), null],
    Number(total.money) > 0 && ['moneySpent', t('money', { n: amount(total.money) }), null],
    Number(total.third_party_money) > 0 && [
      'thirdPartySpent',
      t('money', { n: amount(total.third_party_money) }),
      null,
    ],
    ['runTime', longDuration(Number(total.run_seconds)), null],
  ].filter(Boolean);
  return html`
    <dl class="totals" id="usage-total">
      ${facts.map(
        ([name, value, note]) => html`<div key=${name} data-total=${name}>
          <dt>${t(name)}</dt>
          <dd><strong>${value}</strong>${note && html`<span class="soft">${note}</span>`}</dd>
        </div>`,
      )}
    </dl>
  `;
}
