// Owns the switching of apps: by name from those known, or by an id or link.

import { Cover } from '../gallery/app_card.js';
import { appRoute } from '../logic/routes.js';
import { form, knownApps, openingId, readApps, sources } from '../state/apps.js';
import { navigate } from '../state/router.js';
import { html, useEffect, useRef, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Menu } from '../ui/parts.js';
import { AppSearch } from './app_search.js';

const MOST_SHOWN = 12;

export function AppSwitcher() {
  const current = form.value?.app;
  const name = openingId.value ? t('loading') : (current?.webappName ?? t('chooseApp'));
  return html`
    <${Menu}
      class="switcher"
      label=${t('switchApp', { name })}
      panelClass="switcher-panel"
      button=${html`${current && html`<${Cover} cover=${current.covers[0]} class="switcher-cover" key=${current.webappId} />`}<span class="switcher-name">${name}</span><${Icon} name="chevron" />`}
    >
      ${(close) => html`<${SwitcherPanel} close=${close} currentId=${current?.webappId} />`}
    <//>
  `;
}

function SwitcherPanel({ close, currentId }) {
  const [search, setSearch] = useState('');
  const input = useRef(null);
  useEffect(() => {
    input.current.focus();
    if (!sources.used.isLoaded.value) readApps(sources.used);
  }, []);
  const open = (webappId) => {
    close();
    navigate(appRoute(webappId));
  };
  const isMeant = (app) => (app.webappName ?? '').toLowerCase().includes(search.toLowerCase());
  const shown = knownApps.value.filter(isMeant).slice(0, MOST_SHOWN);
  return html`
    <${AppSearch} id="switcher-search" inputRef=${input} value=${search} onInput=${setSearch} onOpen=${open} isSmall />
    <ul class="menu-list" aria-label=${t('apps')}>
      ${shown.map(
        (app) => html`<li key=${app.webappId}>
          <a
            class="menu-item"
            href=${appRoute(app.webappId)}
            aria-current=${app.webappId === currentId ? 'true' : null}
            onClick=${close}
            ><span class="ellipsis">${app.webappName || app.webappId}</span></a
          >
        </li>`,
      )}
    </ul>
    <a class="menu-item" href="#/" onClick=${close}><${Icon} name="grid" />${t('allApps')}</a>
  `;
}
