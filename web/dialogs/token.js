// Owns the dialog that asks for the access token.

import { isPossibleToken } from '../service/api.js';
import { giveToken, tokenRequest } from '../state/connection.js';
import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Button, Dialog, ProblemNote } from '../ui/parts.js';

export function TokenDialog({ onDismiss }) {
  const [token, setToken] = useState('');
  const submit = (event) => {
    event.preventDefault();
    if (isPossibleToken(token.trim())) giveToken(token.trim());
  };
  return html`
    <${Dialog} id="token" class="question" labelledBy="token-title" onClose=${onDismiss}>
      <form onSubmit=${submit}>
        <h2 id="token-title">${t('tokenTitle')}</h2>
        <p class="soft">${t('tokenText')}</p>
        <label class="label" for="token-input">${t('tokenLabel')}</label>
        <input
          id="token-input"
          type="password"
          autocomplete="off"
          required
          pattern="[!-~]+"
          value=${token}
          onInput=${(event) => setToken(event.target.value)}
        />
        <${ProblemNote}>${tokenRequest.value?.wasRefused && html`<p id="token-problem">${t('tokenRefused')}</p>`}<//>
        <div class="row end">
          <${Button} onClick=${onDismiss}>${t('notNow')}<//>
          <button class="button primary"><span>${t('tokenSave')}</span></button>
        </div>
      </form>
    <//>
  `;
}
