// Owns the first screen: cards of the apps that were run here, and of RunningHub's own list, with a search.

import { appRoute } from '../logic/routes.js';
import { readApps, sort, sortBy, sources } from '../state/apps.js';
import { onBack } from '../state/connection.js';
import { navigate } from '../state/router.js';
import { AppSearch } from '../header/app_search.js';
import { html, useEffect, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Button, ProblemNote } from '../ui/parts.js';
import { AppCard, CardSkeletons } from './app_card.js';

const SORTS = ['RECOMMEND', 'HOTTEST', 'NEWEST'];

const readUnread = () => {
  for (const source of Object.values(sources)) if (!source.apps.value.length) readApps(source);
};
onBack(readUnread);

export function Gallery() {
  const [search, setSearch] = useState('');
  useEffect(() => {
    document.title = t('title');
    readApps(sources.used);
    if (!sources.runninghub.isLoaded.value) readApps(sources.runninghub);
  }, []);
  const { used } = sources;
  const isNothingUsed = used.isLoaded.value && !used.apps.value.length;
  // Until it is known whether there are used apps, one section stands for whichever comes first: nothing shifts.
  const isFirstUnknown = !used.isLoaded.value && !used.apps.value.length && !used.problem.value;
  return html`
    <div class="gallery-page">
      <div class="gallery-head">
        <h1 id="gallery-title">${t('galleryTitle')}</h1>
        <p class="soft">${t('galleryText')}</p>
        <${AppSearch}
          id="app-id"
          value=${search}
          onInput=${setSearch}
          onOpen=${(id) => navigate(appRoute(id))}
        />
      </div>
      ${
        isFirstUnknown
          ? html`<${Section} source=${used} search=${search} />`
          : html`
              ${!isNothingUsed && html`<${Section} title=${t('usedApps')} source=${used} search=${search} />`}
              <${Section} title=${t('runninghubApps')} source=${sources.runninghub} search=${search}>
                <${SortChoice} />
              <//>
            `
      }
    </div>
  `;
}

function SortChoice() {
  return html`
    <div class="segments" role="group" aria-label=${t('sort')}>
      ${SORTS.map(
        (order) => html`<button
          type="button"
          key=${order}
          aria-pressed=${String(sort.value === order)}
          onClick=${() => sortBy(order)}
        >
          ${t(`sort_${order}`)}
        </button>`,
      )}
    </div>
  `;
}

function Section({ title, source, search, children }) {
  const apps = source.apps.value;
  const isMeant = (app) =>
    `${app.webappName} ${app.description} ${app.webappId}`
      .toLowerCase()
      .includes(search.trim().toLowerCase());
  const shown = apps.filter(isMeant);
  const isWaiting = !source.isLoaded.value && !apps.length;
  return html`
    <section class="gallery-section" aria-label=${title} data-source=${source.name}>
      <div class="section-head"><h2>${title}</h2>${children}</div>
      ${isWaiting ? html`<${CardSkeletons} />` : html`<ul class="cards">${shown.map((app) => html`<${AppCard} key=${app.webappId} app=${app} />`)}</ul>`}
      ${!isWaiting && !shown.length && !source.problem.value && html`<p class="soft">${t(search ? 'noAppsFound' : 'noApps')}</p>`}
      <${ProblemNote} problem=${source.problem.value} />
      ${
        source.cursor.value &&
        html`<${Button} class="load-more" disabled=${source.isLoading.value} onClick=${() => readApps(source, { isNextPage: true })}>${t('loadMore')}<//>`
      }
    </section>
  `;
}
