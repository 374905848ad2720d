// Owns an app's form: its fields in groups, the filter of a long one, presets, and the bar with Run.

import { groupsOf, matchingKeys } from '../logic/fields.js';
import { LARGEST_BATCH, runCount } from '../logic/batch.js';
import { NO_BATCH, plan, run } from '../state/runs.js';
import { hideFaults, reset } from '../state/form.js';
import { announce } from '../state/notices.js';
import { html, useEffect, useRef, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Field } from './field.js';
import { goTo } from './issues.js';
import { installPaste } from './paste.js';
import { Presets } from './presets.js';
import { RunBar } from './run_bar.js';
import { ExtraFields } from './extra_fields.js';

const LONG_FORM = 12;

export function Form({ form }) {
  const [filter, setFilter] = useState('');
  const body = useRef(null);
  useEffect(() => {
    plan.value = NO_BATCH;
    return installPaste(form);
  }, [form]);
  const isLong = form.fields.length > LONG_FORM;
  const submit = (event) => {
    event?.preventDefault();
    pressRun(form);
  };
  const onKeyDown = (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) submit(event);
  };
  return html`
    <form id="app-form" class="form" data-app=${form.app.webappId} noValidate onSubmit=${submit} onKeyDown=${onKeyDown}>
      <div class="form-scroll" ref=${body}>
        <div class="form-head">
          <h2>${t('values')}</h2>
          <${Presets} form=${form} />
          <button type="button" class="button quiet small" id="reset" onClick=${() => reset(form)}><span>${t('reset')}</span></button>
        </div>
        ${isLong && html`<${FieldFilter} filter=${filter} onFilter=${setFilter} />`}
        <${Fields} form=${form} filter=${filter} isLong=${isLong} />
        <${ExtraFields} form=${form} />
      </div>
      <${RunBar} form=${form} />
    </form>
  `;
}

/** Runs unless something would be refused; then the first such field gets the focus. */
function pressRun(form) {
  if (runCount(plan.value) > LARGEST_BATCH) return announce(t('batchTooLarge', { most: LARGEST_BATCH }));
  hideFaults(form);
  const fault = form.issues.value.find((issue) => issue.isFault);
  if (!fault) return run(form);
  form.areFaultsShown.value = true;
  announce(t('faultCount', { n: form.issues.value.filter((issue) => issue.isFault).length }));
  return goTo(fault);
}

const FieldFilter = ({ filter, onFilter }) => html`
  <label class="field-filter">
    <${Icon} name="filter" />
    <span class="visually-hidden">${t('fieldFilter')}</span>
    <input
      type="text"
      autocomplete="off"
      placeholder=${t('fieldFilter')}
      value=${filter}
      onInput=${(event) => onFilter(event.target.value)}
    />
  </label>
`;

function Fields({ form, filter, isLong }) {
  if (!form.fields.length) return html`<p class="soft" id="no-fields">${t('noFields')}</p>`;
  const shown = matchingKeys(form.app.nodeInfoList, filter);
  const visible = form.fields.filter((field) => shown.has(field.key));
  if (!visible.length) return html`<p class="soft">${t('noFieldFound')}</p>`;
  if (!isLong) return html`<div class="fields">${fieldsOf(visible, form)}</div>`;
  return groupsOf(visible.map((field) => field.node)).map((group) => {
    const fields = visible.filter((field) => field.node.nodeId === group.id);
    return html`<${Group} key=${group.id} group=${group} fields=${fields} form=${form} />`;
  });
}

const fieldsOf = (fields, form) =>
  fields.map((field) => html`<${Field} key=${field.key} field=${field} form=${form} />`);

const Group = ({ group, fields, form }) => html`
  <details class="field-group" open>
    <summary><span class="group-name">${group.name}</span><span class="soft">#${group.id}</span></summary>
    <div class="fields">${fieldsOf(fields, form)}</div>
  </details>
`;
