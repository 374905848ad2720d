// Owns the screen of an open app: its form, result and earlier tasks; on a phone one of them at a time.

import { Form } from '../form/form.js';
import { History } from '../history/history.js';
import { GALLERY } from '../logic/routes.js';
import { isActive } from '../logic/statuses.js';
import { Result } from '../result/result.js';
import { appName, openingId, openProblem, readApps, sources } from '../state/apps.js';
import { formOf, openApp } from '../state/open_app.js';
import { startTelling } from '../state/outcomes.js';
import { readUsual } from '../state/runs.js';
import { route } from '../state/router.js';
import {
  closeTask,
  knownTask,
  reload,
  startFollowing,
  startRefreshing,
  viewed,
  viewProblem,
  viewTask,
} from '../state/tasks.js';
import { html, useEffect, useRef } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { ProblemNote } from '../ui/parts.js';
import { isHistoryOpen, tab } from './layout.js';
import { useTitle } from './title.js';

const TABS = ['form', 'result', 'history'];
const TAB_ICONS = { form: 'list', result: 'image', history: 'history' };

let hasStarted = false;

/** Tasks are read and followed from when the workspace is first shown: the gallery needs none. */
function startOnce() {
  if (hasStarted) return;
  hasStarted = true;
  startRefreshing();
  startFollowing();
  startTelling();
  reload();
  // For the names of apps in the history.
  if (!sources.used.isLoaded.value) readApps(sources.used);
}

export function Workspace() {
  const { name, id } = route.value;
  const webappId = useWebappId(name, id);
  useEffect(startOnce, []);
  useEffect(() => {
    if (name === 'task') viewTask(id);
    else closeTask();
  }, [name, id]);
  useEffect(() => {
    if (!webappId) return;
    openApp(webappId);
    readUsual(webappId);
  }, [webappId]);
  useTitle(webappId);
  const opened = webappId ? formOf(webappId) : null;
  const isUnknownTask = Boolean(viewProblem.value && !webappId);
  const title = isUnknownTask ? t('task') : (opened?.app.webappName ?? appName(webappId));
  return html`
    <div class="workspace" data-tab=${tab} data-history=${isHistoryOpen.value ? 'open' : 'closed'}>
      <h1 class="visually-hidden" id="app-title" tabindex="-1">${title ?? t('loading')}</h1>
      <div class="panels">
        <section class="panel form-panel" aria-label=${t('values')}><${FormArea} opened=${opened} webappId=${webappId} isUnknownTask=${isUnknownTask} /></section>
        <section class="panel result-panel" aria-label=${t('result')}><${Result} form=${opened} /></section>
        <section class="panel history-panel" aria-label=${t('history')}><${History} /></section>
      </div>
      <${Tabs} />
    </div>
  `;
}

/** The app of the address; while a task is not known yet, the form that is there stays. */
function useWebappId(name, id) {
  const last = useRef(null);
  const task = name === 'task' ? (knownTask(id) ?? viewed.value) : null;
  if (name === 'app') last.current = id;
  else if (task) last.current = task.webapp_id;
  return last.current;
}

function FormArea({ opened, webappId, isUnknownTask }) {
  if (opened) return html`<${Form} form=${opened} key=${webappId} />`;
  const failed = openProblem.value;
  if (failed?.webappId === webappId)
    return html`
      <div class="form-missing">
        <${ProblemNote} problem=${failed.problem} />
        <${AllApps} />
      </div>
    `;
  if (isUnknownTask) return html`<div class="form-missing"><${AllApps} /></div>`;
  if (openingId.value || !viewed.value) return html`<${FormSkeleton} />`;
  return html`<p class="form-missing soft">${t('noForm')}</p>`;
}

const AllApps = () => html`
  <a class="button secondary" href=${GALLERY}><${Icon} name="grid" /><span>${t('allApps')}</span></a>
`;

const FormSkeleton = () => html`
  <div class="form-skeleton" role="status" aria-label=${t('loading')}>
    ${[1, 2, 3, 4].map((number) => html`<span class="skeleton-field" key=${number}></span>`)}
  </div>
`;

const Tabs = () => html`
  <nav class="tabs" aria-label=${t('views')}>
    ${TABS.map(
      (name) => html`<button
        type="button"
        key=${name}
        aria-current=${tab.value === name ? 'true' : null}
        onClick=${() => (tab.value = name)}
      >
        <${Icon} name=${TAB_ICONS[name]} />
        <span>${t(`tab_${name}`)}</span>
        ${name === 'result' && viewed.value && isActive(viewed.value.status) && html`<span class="tab-dot"></span>`}
      </button>`,
    )}
  </nav>
`;
