// Owns the page as a whole: header, banners, the part of the screen that the address names, dialogs, announcements.

import { ConfirmDialog } from './dialogs/confirm.js';
import { TokenDialog } from './dialogs/token.js';
import { Gallery } from './gallery/gallery.js';
import { Header } from './header/header.js';
import { sources } from './state/apps.js';
import {
  dismissToken,
  isConfigured,
  isLocked,
  isReachable,
  reloadOnceBack,
  tokenRequest,
} from './state/connection.js';
import { announcement, toast } from './state/notices.js';
import { route } from './state/router.js';
import { html, useEffect } from './ui/html.js';
import { t } from './ui/i18n.js';
import { Icon } from './ui/icons.js';
import { Lazy } from './ui/lazy.js';
import { Button } from './ui/parts.js';
import { loadStyles } from './ui/styles.js';

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

const WORKSPACE_STYLES = ['workspace/workspace', 'form/form', 'result/result', 'history/history'];
const styles = (names) => loadStyles(...names.map((name) => `/web/${name}.css`));

async function loadWorkspace() {
  const [{ Workspace }] = await Promise.all([
    import('./workspace/workspace.js'),
    styles(WORKSPACE_STYLES),
  ]);
  return Workspace;
}

async function loadUsage() {
  const [{ UsagePage }] = await Promise.all([
    import('./operator/usage_page.js'),
    styles(['operator/operator', 'form/form']),
  ]);
  return UsagePage;
}

function Screen() {
  const { name } = route.value;
  const isGalleryRead = sources.runninghub.isLoaded.value;
  // While a person looks at the gallery there is time for what comes next.
  useEffect(() => {
    if (!isGalleryRead) return undefined;
    const timer = setTimeout(() => loadWorkspace().catch(() => {}), READ_AHEAD_MS);
    return () => clearTimeout(timer);
  }, [isGalleryRead]);
  if (name === 'gallery') return html`<${Gallery} />`;
  if (name === 'usage') return html`<${Lazy} key="usage" load=${loadUsage} onMissing=${reloadOnceBack}><${Loading} /><//>`;
  return html`<${Lazy} key="workspace" load=${loadWorkspace} onMissing=${reloadOnceBack}><${Loading} /><//>`;
}

const Loading = () => html`<div role="status"><h1 class="page-loading">${t('loading')}</h1></div>`;

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
