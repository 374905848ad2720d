// Owns the inputs of an earlier task, to be seen without overwriting what the form holds.

import { webAddress } from '../logic/outputs.js';
import { keyOf } from '../logic/fields.js';
import { previewOfFile } from '../state/form.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Button, Dialog, DialogHead, Picture } from '../ui/parts.js';
import { labelOf } from '../form/labels.js';

export function InputsDialog({ task, form, onUse, onClose }) {
  const labels = new Map((form?.fields ?? []).map((field) => [field.key, labelOf(field.node)]));
  return html`
    <${Dialog} id="inputs" class="panel-dialog" labelledBy="inputs-title" onClose=${onClose}>
      <${DialogHead} id="inputs-title" title=${t('inputsTitle')} onClose=${onClose} />
      <dl class="inputs" tabindex="0" aria-label=${t('inputsTitle')}>
        ${(task.node_info ?? []).map(
          (item) => html`
          <dt key=${keyOf(item)}>${labels.get(keyOf(item)) ?? keyOf(item)}</dt>
          <dd><${Value} item=${item} /></dd>
        `,
        )}
      </dl>
      ${
        form &&
        html`<div class="row end"><${Button} onClick=${onClose}>${t('close')}<//><${Button} kind="primary" onClick=${onUse}>${t('again')}<//></div>`
      }
    <//>
  `;
}

function Value({ item }) {
  const text = String(item.fieldValue ?? '');
  const url = item.fieldType === 'IMAGE' ? (previewOfFile(text)?.url ?? webAddress(text)) : null;
  if (url) return html`<span class="input-picture"><${Picture} src=${url} alt=${text}>${text}<//></span>`;
  return html`<span>${text || '—'}</span>`;
}
