// Owns the input that finds apps by name and opens one by its id or link.

import { webappIdIn } from '../logic/app_ids.js';
import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button } from '../ui/parts.js';

/** `onInput(text)` filters as one types; `onOpen(webappId)` when the text names an app. */
export function AppSearch({ id, value, onInput, onOpen, inputRef, isSmall = false }) {
  const [isRefused, setRefused] = useState(false);
  const webappId = webappIdIn(value);
  const submit = (event) => {
    event.preventDefault();
    setRefused(!webappId);
    if (webappId) onOpen(webappId);
  };
  const type = (event) => {
    setRefused(false);
    onInput(event.target.value);
  };
  return html`
    <form class=${`app-search ${isSmall ? 'small' : ''}`} role="search" onSubmit=${submit}>
      <${Icon} name="search" />
      <input
        id=${id}
        ref=${inputRef}
        type="text"
        autocomplete="off"
        spellcheck="false"
        aria-label=${t('appSearchLabel')}
        aria-describedby=${`${id}-problem`}
        aria-invalid=${isRefused ? 'true' : null}
        placeholder=${t('appSearchHint')}
        value=${value}
        onInput=${type}
      />
      ${webappId && html`<${Button} kind="primary" type="submit">${t('open')}<//>`}
      <p class="search-problem" id=${`${id}-problem`} role="alert">${isRefused && t('noId')}</p>
    </form>
  `;
}
