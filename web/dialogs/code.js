// Owns the code of the current values: for a shell, a page, the client package and Python; one click copies it.

import { LANGUAGES, snippetOf } from '../logic/snippets.js';
import { hasToken } from '../service/api.js';
import { submissionFor } from '../state/form.js';
import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { CopyButton, Dialog, DialogHead } from '../ui/parts.js';

const NAMES = { curl: 'curl', fetch: 'JavaScript', client: 'TypeScript client', python: 'Python' };

export function CodeDialog({ form, onClose }) {
  const [language, setLanguage] = useState('curl');
  const code = snippetOf(language, {
    origin: location.origin,
    submission: submissionFor(form),
    hasToken: hasToken(),
  });
  return html`
    <${Dialog} id="code" class="panel-dialog wide" labelledBy="code-title" onClose=${onClose}>
      <${DialogHead} id="code-title" title=${t('codeTitle')} onClose=${onClose} />
      <p class="soft">${t(hasToken() ? 'codeTextToken' : 'codeText')}</p>
      <div class="row spread">
        <div class="segments" role="group" aria-label=${t('codeLanguage')}>
          ${LANGUAGES.map(
            (name) => html`<button
              type="button"
              key=${name}
              aria-pressed=${String(language === name)}
              onClick=${() => setLanguage(name)}
            >
              ${NAMES[name]}
            </button>`,
          )}
        </div>
        <${CopyButton} kind="primary" text=${() => code} label=${t('copyCode')} />
      </div>
      <pre class="snippet" tabindex="0" aria-label=${NAMES[language]}><code>${code}</code></pre>
    <//>
  `;
}
