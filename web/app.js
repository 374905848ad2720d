// Owns the page as a whole: header, banners, the part of the screen that the address names, dialogs, announcements.

import { ConfirmDialog } from './dialogs/confirm.js';
import { TokenDialog } from './dialogs/token.js';
import { Gallery } from './gallery/gallery.js';
import { Header } from './header/header.js';
import { dismissToken, isConfigured, isLocked, isReachable, tokenRequest } from './state/connection.js';
import { announcement, toast } from './state/notices.js';
import { route } from './state/router.js';
import { html, useEffect, useState } from './ui/html.js';
import { t } from './ui/i18n.js';
import { Icon } from './ui/icons.js';
import { Button } from './ui/parts.js';

const READ_AHEAD_MS = 1_500;

export const App = () => html`
  <a class="skip" href="#main" onClick=${skip}>${t('skip')}</a>
  <${Header} />
  <${Banners} />
  <main id="main" tabindex="-1"><${Screen} /></main>
  ${tokenRequest.value && html`<${TokenDialog} onDismiss=${dismissToken} />`}
  <${ConfirmDialog} />
  <p class="visually-hidden" id="announcer" role="status">${announcement}</p>
  ${toast.value && html`<p class="toast" aria-hidden="true">${toast}</p>`}
`;

// The hash is the route, so the link moves the focus itself.
function skip(event) {
  event.preventDefault();
  document.getElementById('main').focus();
}

const loadWorkspace = () => import('./workspace/workspace.js').then((module) => module.Workspace);
const loadUsage = () => import('./operator/usage_page.js').then((module) => module.UsagePage);

function Screen() {
  const { name } = route.value;
  // While a person looks at the gallery there is time for what comes next.
  useEffect(() => {
    const timer = setTimeout(() => loadWorkspace().catch(() => {}), READ_AHEAD_MS);
    return () => clearTimeout(timer);
  }, []);
  if (name === 'gallery') return html`<${Gallery} />`;
  if (name === 'usage') return html`<${Lazy} key="usage" load=${loadUsage} />`;
  return html`<${Lazy} key="workspace" load=${loadWorkspace} />`;
}

/** A part of the page whose modules are fetched when it is first needed: the gallery is there sooner. */
function Lazy({ load }) {
  const [Part, setPart] = useState(null);
  useEffect(() => {
    load().then((loaded) => setPart(() => loaded));
  }, []);
  return Part ? html`<${Part} />` : html`<p class="page-loading" role="status">${t('loading')}</p>`;
}

const Banners = () => html`
  <div class="banners">
    ${!isReachable.value && html`<${Banner} id="connection" icon="alert">${t('connection')}<//>`}
    ${!isConfigured.value && html`<${Banner} id="not-configured" icon="alert">${t('notConfigured')}<//>`}
    ${
      isLocked.value &&
      html`<${Banner} id="locked" icon="lock">
      ${t('locked')} <${Button} kind="quiet" onClick=${() => location.reload()}>${t('enterToken')}<//>
    <//>`
    }
  </div>
`;

const Banner = ({ id, icon, children }) => html`
  <div class="banner" id=${id} role="status"><${Icon} name=${icon} /><span>${children}</span></div>
`;
