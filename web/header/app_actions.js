// Owns what the bar offers for the open app: what it is, its code, the history; on a phone in the menu.

import { form } from '../state/apps.js';
import { html, signal } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Lazy } from '../ui/lazy.js';
import { Button, IconButton } from '../ui/parts.js';
import { isHistoryOpen, toggleHistory } from '../workspace/layout.js';

const DIALOGS = {
  about: () => import('../dialogs/about.js').then((module) => module.AboutDialog),
  code: () => import('../dialogs/code.js').then((module) => module.CodeDialog),
};
const openDialog = signal(null);
const open = (name) => (openDialog.value = name);

export const AppActions = () => html`
  <div class="app-actions wide-only">
    <${IconButton} icon="info" label=${t('about')} onClick=${() => open('about')} />
    <${Button} icon="code" kind="quiet" class="code-button" onClick=${() => open('code')}>${t('code')}<//>
  </div>
`;

export const AppMenuItems = ({ close }) =>
  ['about', 'code'].map((name) => {
    // Closed first: the focus comes back to the menu's button, which is still there.
    const choose = () => {
      close();
      open(name);
    };
    return html`<button type="button" class="menu-item" key=${name} onClick=${choose}><${Icon} name=${name === 'about' ? 'info' : 'code'} />${t(name)}</button>`;
  });

export const HistoryToggle = () => html`
  <button type="button" class="button quiet history-toggle wide-only" aria-expanded=${String(isHistoryOpen.value)} onClick=${toggleHistory}>
    <${Icon} name="history" /><span>${t('history')}</span>
  </button>
`;

export function AppDialog() {
  const name = openDialog.value;
  if (!name || !form.value) return null;
  return html`<${Lazy} key=${name} load=${DIALOGS[name]} form=${form.value} onClose=${() => open(null)} />`;
}
