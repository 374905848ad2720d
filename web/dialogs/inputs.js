// Owns the inputs of an earlier task, to be seen without overwriting what the form holds.

import { webAddress } from '../logic/outputs.js';
import { isMedia, isNoFile, isSampleFile, keyOf } from '../logic/fields.js';
import { tidyNumber } from '../logic/numbers.js';
import { previewOfFile } from '../state/form.js';
import { html } from '../ui/html.js';
import { pick, t } from '../ui/i18n.js';
import { Button, Dialog, DialogHead, Picture } from '../ui/parts.js';
import { labelOf } from '../form/labels.js';

export function InputsDialog({ task, form, onUse, onClose }) {
  const nodes = new Map((form?.fields ?? []).map((field) => [field.key, field.node]));
  return html`
    <${Dialog} id="inputs" class="panel-dialog" labelledBy="inputs-title" onClose=${onClose}>
      <${DialogHead} id="inputs-title" title=${t('inputsTitle')} onClose=${onClose} />
      <dl class="inputs" tabindex="0" aria-label=${t('inputsTitle')}>
        ${(task.node_info ?? []).map((item) => {
          const node = nodes.get(keyOf(item));
          return html`
            <dt key=${keyOf(item)}>${node ? labelOf(node) : keyOf(item)}</dt>
            <dd><${Value} item=${item} node=${node} /></dd>
          `;
        })}
      </dl>
      ${
        form &&
        html`<div class="row end"><${Button} onClick=${onClose}>${t('close')}<//><${Button} kind="primary" onClick=${onUse}>${t('again')}<//></div>`
      }
    <//>
  `;
}

function Value({ item, node }) {
  const value = String(item.fieldValue ?? '');
  const text = node ? shownText(node, value) : value;
  const url = item.fieldType === 'IMAGE' ? (previewOfFile(value)?.url ?? webAddress(value)) : null;
  if (url) return html`<span class="input-picture"><${Picture} src=${url} alt=${text}>${text}<//></span>`;
  return html`<span>${text || '—'}</span>`;
}

/** A value as its field shows it: the choice's label, the file's name. */
function shownText(node, value) {
  if (isMedia(node)) return fileText(node, value);
  const { type, options } = node.input;
  if (type === 'boolean') return t(value.toLowerCase() === 'true' ? 'yes' : 'off');
  const choice = options?.find((option) => option.value === value);
  return choice ? pick(choice.label, choice.labelEn) : tidyNumber(value, type);
}

function fileText(node, value) {
  if (isNoFile(value)) return '';
  if (isSampleFile(node, value)) return t('sample');
  return previewOfFile(value)?.name ?? webAddress(value) ?? t('uploadedBefore');
}
