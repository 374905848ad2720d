// Owns the table of usage: one row for each app, user, account or day.

import { measureOf, sortedRows } from '../logic/usage.js';
import { appRoute } from '../logic/routes.js';
import { appName } from '../state/apps.js';
import { isOperator } from '../state/connection.js';
import { dimension, groupBy } from '../state/usage.js';
import { amount, longDuration, shortDay } from '../ui/format.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';

const DIMENSIONS = ['webapp', 'owner', 'account', 'day'];
const OWN_DIMENSIONS = ['webapp', 'day'];

// On a phone a row is a block, which a browser no longer takes for a row: hence the roles.
export function UsageTable({ usage }) {
  const measure = measureOf(usage.total);
  const columns = columnsOf(usage.total);
  const rows = sortedRows(usage.rows, measure);
  return html`
    <div class="usage-rows">
      <div class="segments" role="group" aria-label=${t('groupBy')}>
        ${(isOperator.value ? DIMENSIONS : OWN_DIMENSIONS).map(
          (name) => html`<button
            type="button"
            key=${name}
            aria-pressed=${String(dimension.value === name)}
            onClick=${() => groupBy(name)}
          >
            ${t(`by_${name}`)}
          </button>`,
        )}
      </div>
      <div class="table-scroll" tabindex="0" role="region" aria-label=${t(`by_${usage.dimension}`)}>
        <table id="usage-table" role="table">
          <thead role="rowgroup">
            <tr role="row"><th scope="col" role="columnheader">${t(`by_${usage.dimension}`)}</th>${columns.map(([name]) => html`<th scope="col" role="columnheader" key=${name}>${t(name)}</th>`)}</tr>
          </thead>
          <tbody role="rowgroup">
            ${rows.map((row) => html`<${Row} key=${keyOf(usage.dimension, row)} row=${row} columns=${columns} dimension=${usage.dimension} />`)}
          </tbody>
        </table>
        ${!rows.length && html`<p class="soft table-empty">${t('usageEmpty')}</p>`}
      </div>
    </div>
  `;
}

const Row = ({ row, columns, dimension: name }) => html`
  <tr role="row">
    <th scope="row" role="rowheader">${nameOf(name, row)}</th>
    ${columns.map(([column, text]) => html`<td role="cell" data-label=${t(column)} key=${column}>${text(row)}</td>`)}
  </tr>
`;

/** `[text key, text of a row]`; money only where there is any. */
function columnsOf(total) {
  return [
    ['tasksEnded', (row) => amount(row.tasks)],
    ['failed', (row) => (row.failed ? amount(row.failed) : '—')],
    ['coinsSpent', (row) => amount(row.coins)],
    Number(total.money) > 0 && ['moneySpent', (row) => t('money', { n: amount(row.money) })],
    Number(total.third_party_money) > 0 && [
      'thirdPartySpent',
      (row) => t('money', { n: amount(row.third_party_money) }),
    ],
    ['runTime', (row) => longDuration(Number(row.run_seconds))],
  ].filter(Boolean);
}

const keyOf = (name, row) => row[name === 'webapp' ? 'webapp_id' : name] ?? '';

function nameOf(name, row) {
  if (name === 'day') return shortDay(row.day);
  if (name === 'owner') return row.owner ?? html`<span class="soft">${t('noOwner')}</span>`;
  if (name === 'account') return row.account ?? '—';
  if (!row.webapp_id) return t('workflow');
  return html`<a href=${appRoute(row.webapp_id)}>${appName(row.webapp_id) ?? t('someApp', { id: row.webapp_id })}</a>`;
}
