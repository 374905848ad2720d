// Owns what every app's form has beside its fields: the access password and the machine.

import { html, useId } from '../ui/html.js';
import { t } from '../ui/i18n.js';

// The machines that RunningHub offers by name, with their graphics memory.
const INSTANCES = { default: '24 GB', plus: '48 GB' };

export const ExtraFields = ({ form }) => html`
  ${form.app.accessEncrypted && html`<${Password} form=${form} />`}
  <${Instance} form=${form} />
`;

function Password({ form }) {
  const isFaulty = form.areFaultsShown.value && !form.password.value;
  return html`
    <div class="field">
      <label class="label" for="access-password">${t('accessPassword')}</label>
      <input
        id="access-password"
        type="password"
        autocomplete="off"
        aria-invalid=${isFaulty ? 'true' : null}
        aria-describedby="access-password-problem"
        value=${form.password.value}
        onInput=${(event) => (form.password.value = event.target.value)}
      />
      <p class="problem" id="access-password-problem" hidden=${!isFaulty}>${t('noPassword')}</p>
    </div>
  `;
}

function Instance({ form }) {
  const id = useId();
  return html`
    <div class="field instance">
      <label class="label" for=${id}>${t('instance')}</label>
      <select id=${id} value=${form.instance.value} onChange=${(event) => (form.instance.value = event.target.value)}>
        ${Object.entries(INSTANCES).map(
          ([value, memory]) =>
            html`<option key=${value} value=${value}>${t(`instance_${value}`, { memory })}</option>`,
        )}
      </select>
    </div>
  `;
}
