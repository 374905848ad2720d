// Owns the filters of the list: status, app, and days.

import { STATUS_FILTERS } from '../logic/task_list.js';
import { knownApps } from '../state/apps.js';
import { isOperator } from '../state/connection.js';
import { owners, readOwners } from '../state/owners.js';
import { filters, NO_FILTERS, setFilters } from '../state/tasks.js';
import { html, useEffect, useId } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button, Menu } from '../ui/parts.js';

const activeCount = () =>
  Object.keys(NO_FILTERS).filter((name) => filters.value[name] !== NO_FILTERS[name]).length;

export function HistoryFilters() {
  const count = activeCount();
  const button = html`<${Icon} name="filter" />${count > 0 && html`<span class="issue-count">${count}</span>`}`;
  return html`
    <${Menu} class="small filters" label=${count ? t('filterActive', { n: count }) : t('filter')} panelClass="at-end filter-panel" button=${button}>
      ${() => html`
        <${Choice} name="status" label=${t('filterStatus')} options=${Object.keys(STATUS_FILTERS).map((name) => [name, t(`filter_${name}`)])} />
        <${Choice} name="webappId" label=${t('filterApp')} options=${[['', t('filter_all')], ...knownApps.value.map((app) => [app.webappId, app.webappName || app.webappId])]} />
        ${isOperator.value && html`<${OwnerChoice} />`}
        <div class="row days"><${Day} name="from" label=${t('filterFrom')} /><${Day} name="to" label=${t('filterTo')} /></div>
        <div class="row end"><${Button} kind="quiet" class="small" onClick=${() => setFilters(NO_FILTERS)}>${t('clearFilters')}<//></div>
      `}
    <//>
  `;
}

/** Only where tasks belong to users at all. */
function OwnerChoice() {
  useEffect(() => {
    readOwners();
  }, []);
  if (!owners.value.length) return null;
  const options = [['', t('filter_all')], ...owners.value.map((name) => [name, name])];
  return html`<${Choice} name="owner" label=${t('filterOwner')} options=${options} />`;
}

function Choice({ name, label, options }) {
  const id = useId();
  return html`
    <div class="field">
      <label class="label" for=${id}>${label}</label>
      <select id=${id} data-filter=${name} value=${filters.value[name]} onChange=${(event) => setFilters({ [name]: event.target.value })}>
        ${options.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
      </select>
    </div>
  `;
}

function Day({ name, label }) {
  const id = useId();
  return html`
    <div class="field">
      <label class="label" for=${id}>${label}</label>
      <input id=${id} data-filter=${name} type="date" value=${filters.value[name]} onChange=${(event) => setFilters({ [name]: event.target.value })} />
    </div>
  `;
}
