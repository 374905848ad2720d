// Owns the bar at the top: home, the open app, the account, language, API docs, the token.

import { GALLERY, USAGE } from '../logic/routes.js';
import { form } from '../state/apps.js';
import { forgetToken, isOperator, isTokenKept } from '../state/connection.js';
import { route } from '../state/router.js';
import { html } from '../ui/html.js';
import { switchLanguage, t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Menu } from '../ui/parts.js';
import { AccountMenu } from './account_menu.js';
import { AppActions, AppDialog, AppMenuItems, HistoryToggle } from './app_actions.js';
import { AppSwitcher } from './app_switcher.js';

const isAppOpen = () => ['app', 'task'].includes(route.value.name);

export const Header = () => html`
  <header class="top">
    <a class="brand" href=${GALLERY} aria-label=${t('home')}>
      <img src="/web/icon.svg" alt="" width="28" height="28" />
      <span class="brand-name">${t('title')}</span>
    </a>
    ${isAppOpen() && html`<${AppSwitcher} />`}
    ${isAppOpen() && form.value && html`<${AppActions} />`}
    <span class="spacer"></span>
    <nav class="top-actions" aria-label=${t('pageNavigation')}>
      <${AccountMenu} />
      <a class="button quiet wide-only" href=${USAGE} aria-current=${isUsage() ? 'page' : null}><span>${usageLabel()}</span></a>
      <a class="button quiet wide-only" href="/docs"><span>${t('apiDocs')}</span></a>
      ${
        isTokenKept.value &&
        html`<button type="button" class="button quiet wide-only" id="forget" onClick=${forgetToken}>
        <span>${t('forget')}</span>
      </button>`
      }
      <button
        type="button"
        class="button quiet language wide-only"
        id="language"
        aria-label=${t('switchLanguageLabel')}
        onClick=${switchLanguage}
      >
        <span>${t('switchLanguage')}</span>
      </button>
      ${isAppOpen() && html`<${HistoryToggle} />`}
      <${NarrowMenu} />
    </nav>
    ${isAppOpen() && html`<${AppDialog} />`}
  </header>
`;

const isUsage = () => route.value.name === 'usage';
const usageLabel = () => t(isOperator.value ? 'usageAndUsers' : 'usage');

/** On a phone, what the header has no room for. */
const NarrowMenu = () => html`
  <${Menu} class="narrow-only" label=${t('moreActions')} panelClass="at-end" button=${html`<${Icon} name="more" />`}>
    ${(close) => html`
      ${isAppOpen() && form.value && html`<${AppMenuItems} close=${close} />`}
      <button type="button" class="menu-item" onClick=${switchLanguage}><${Icon} name="language" />${t('switchLanguage')}</button>
      <a class="menu-item" href=${USAGE} aria-current=${isUsage() ? 'page' : null} onClick=${close}><${Icon} name="chart" />${usageLabel()}</a>
      <a class="menu-item" href="/docs"><${Icon} name="list" />${t('apiDocs')}</a>
      ${
        isTokenKept.value &&
        html`<button type="button" class="menu-item" onClick=${forgetToken}><${Icon} name="lock" />${t('forget')}</button>`
      }
    `}
  <//>
`;
