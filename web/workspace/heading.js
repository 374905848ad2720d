// Owns the row above the workspace: the app's cover and name, what it does, its code, the history.

import { AboutDialog } from '../dialogs/about.js';
import { Cover } from '../gallery/app_card.js';
import { html, useState } from '../ui/html.js';
import { pick, t } from '../ui/i18n.js';
import { Lazy } from '../ui/lazy.js';
import { Button, IconButton } from '../ui/parts.js';
import { isHistoryOpen, toggleHistory } from './layout.js';

const loadCode = () => import('../dialogs/code.js').then((module) => module.CodeDialog);

export function Heading({ form, name }) {
  const [dialog, setDialog] = useState(null);
  const close = () => setDialog(null);
  const app = form?.app;
  return html`
    <div class="heading">
      <${Cover} cover=${app?.covers[0]} class="heading-cover" key=${app?.webappId} />
      <div class="heading-text">
        <h1 id="app-title" tabindex="-1">${name ?? (app ? app.webappId : t('loading'))}</h1>
        <p class="heading-about">${app && pick(app.description, app.descriptionEn)}</p>
      </div>
      <div class="heading-actions">
        ${
          app &&
          html`
          <${IconButton} icon="info" label=${t('about')} onClick=${() => setDialog('about')} />
          <${Button} icon="code" kind="quiet" class="code-button" aria-label=${t('code')} onClick=${() => setDialog('code')}>${t('code')}<//>
        `
        }
        <button
          type="button"
          class="button quiet history-toggle"
          aria-expanded=${String(isHistoryOpen.value)}
          onClick=${toggleHistory}
        >
          <span>${t('history')}</span>
        </button>
      </div>
      ${dialog === 'about' && html`<${AboutDialog} app=${app} onClose=${close} />`}
      ${dialog === 'code' && html`<${Lazy} load=${loadCode} form=${form} onClose=${close} />`}
    </div>
  `;
}
