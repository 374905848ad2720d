// Owns the question before something that may cost or cannot be undone.

import { html, signal } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Button, Dialog } from '../ui/parts.js';

const request = signal(null);

/** Resolves to whether the person agreed. */
export function confirmed(question, action) {
  return new Promise((resolve) => {
    request.value = { question, action, resolve };
  });
}

function answer(isYes) {
  request.value.resolve(isYes);
  request.value = null;
}

export function ConfirmDialog() {
  if (!request.value) return null;
  const { question, action } = request.value;
  return html`
    <${Dialog} id="confirm" class="question" labelledBy="confirm-text" onClose=${() => answer(false)}>
      <p id="confirm-text">${question}</p>
      <div class="row end">
        <${Button} onClick=${() => answer(false)}>${t('no')}<//>
        <${Button} kind="primary" id="confirm-yes" onClick=${() => answer(true)}>${action}<//>
      </div>
    <//>
  `;
}
