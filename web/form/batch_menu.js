// Owns the menu beside Run that makes several runs of one press: repeats, seeds, a list of prompts, a CSV.

import { COUNTS, LARGEST_BATCH, promptFieldOf, promptsIn, rowsOfCsv, runCount } from '../logic/batch.js';
import { isSeed } from '../logic/fields.js';
import { NO_BATCH, plan } from '../state/runs.js';
import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button, Menu } from '../ui/parts.js';
import { labelOf } from './labels.js';

const change = (changes) => (plan.value = { ...plan.value, ...changes });

export function BatchMenu({ form }) {
  const count = runCount(plan.value);
  const button = html`<${Icon} name="layers" /><span>×${count}</span><${Icon} name="chevron" />`;
  return html`
    <${Menu} class="batch" label=${t('batchLabel', { n: count })} panelClass="above batch-panel" button=${button}>
      ${(close) => html`<${BatchPanel} form=${form} count=${count} close=${close} />`}
    <//>
  `;
}

function BatchPanel({ form, count, close }) {
  const reset = () => {
    plan.value = NO_BATCH;
    close();
  };
  return html`
    <p class="menu-title">${t('batchTitle')}</p>
    <div class="segments" role="group" aria-label=${t('repeats')}>
      ${COUNTS.map(
        (number) => html`<button
        type="button"
        key=${number}
        aria-pressed=${String(plan.value.count === number)}
        onClick=${() => change({ count: number })}
      >×${number}</button>`,
      )}
    </div>
    ${form.app.nodeInfoList.some(isSeed) && html`<${SeedChoice} />`}
    <${Prompts} form=${form} />
    <${Csv} form=${form} />
    <div class="row spread batch-foot">
      <span class=${count > LARGEST_BATCH ? 'bad-text' : 'soft'}>
        ${count > LARGEST_BATCH ? t('batchTooLarge', { most: LARGEST_BATCH }) : t('runCount', { n: count })}
      </span>
      <span class="row">
        <${Button} kind="quiet" class="small" onClick=${reset}>${t('batchReset')}<//>
        <${Button} class="small" onClick=${close}>${t('done')}<//>
      </span>
    </div>
  `;
}

const SeedChoice = () => html`
  <fieldset class="choice">
    <legend class="label">${t('seed')}</legend>
    ${[true, false].map(
      (isNew) => html`<label key=${isNew}>
      <input type="radio" name="seeds" checked=${plan.value.hasNewSeeds === isNew} onChange=${() => change({ hasNewSeeds: isNew })} />
      <span>${t(isNew ? 'seedNew' : 'seedLocked')}</span>
    </label>`,
    )}
  </fieldset>
`;

function Prompts({ form }) {
  const [text, setText] = useState(plan.value.prompts.join('\n'));
  const field = promptFieldOf(form.app);
  if (!field) return null;
  const type = (event) => {
    setText(event.target.value);
    change({
      prompts: promptsIn(event.target.value),
      promptKey: `${field.nodeId}.${field.fieldName}`,
      rows: [],
    });
  };
  return html`
    <label class="batch-prompts">
      <span class="label">${t('promptList', { name: labelOf(field) })}</span>
      <textarea rows="4" value=${text} onInput=${type} placeholder=${t('promptListHint')}></textarea>
    </label>
  `;
}

function Csv({ form }) {
  const [note, setNote] = useState(null);
  const read = async (event) => {
    const [file] = event.target.files;
    event.target.value = '';
    if (!file) return;
    setNote(takeCsv(form, file.name, await file.text()));
  };
  return html`
    <div class="batch-csv">
      <label class="button secondary small">
        <${Icon} name="file" /><span>${t('chooseCsv')}</span>
        <input class="visually-hidden" type="file" accept=".csv,text/csv" onChange=${read} />
      </label>
      <p class=${note?.isBad ? 'bad-text' : 'hint'} role="status">${note?.text ?? t('csvHint')}</p>
    </div>
  `;
}

/** Takes the rows into the plan; returns what to say of them. */
function takeCsv(form, name, text) {
  try {
    const { rows, unknown } = rowsOfCsv(form.app, text);
    if (unknown.length) return { isBad: true, text: t('csvUnknown', { names: unknown.join(', ') }) };
    if (!rows.length) return { isBad: true, text: t('csvEmpty') };
    change({ rows, prompts: [] });
    return { isBad: false, text: t('csvRead', { name, n: rows.length }) };
  } catch {
    return { isBad: true, text: t('csvBroken') };
  }
}
