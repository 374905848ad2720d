// Owns the card of an app: cover, name, what it does, how much it was used here.

import { webAddress } from '../logic/outputs.js';
import { appRoute } from '../logic/routes.js';
import { dateTime } from '../ui/format.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Picture } from '../ui/parts.js';

const SKELETONS = 4;
const isFilm = (address) => /\.(mp4|webm|mov)(\?|$)/i.test(address);

/** A cover is a picture or a film; `fallback` in its place where there is none. */
export function Cover({ cover, class: name = '' }) {
  const address = webAddress(typeof cover === 'string' ? cover : (cover?.thumbnailUri ?? cover?.url));
  const fallback = html`<span class="no-cover"><${Icon} name="image" /></span>`;
  return html`
    <span class=${`cover ${name}`}>
      ${!address && fallback}
      ${address && isFilm(address) && html`<video src=${address} muted playsinline preload="metadata" aria-hidden="true"></video>`}
      ${address && !isFilm(address) && html`<${Picture} src=${address} alt="" loading="lazy">${fallback}<//>`}
    </span>
  `;
}

export const AppCard = ({ app }) => html`
  <li class="card">
    <a href=${appRoute(app.webappId)} data-app=${app.webappId}>
      <${Cover} cover=${app.cover} />
      <span class="card-text">
        <span class="card-name">${app.webappName || app.webappId}</span>
        ${app.description && html`<span class="card-about">${app.description}</span>`}
        ${app.tasks > 0 && html`<span class="card-facts">${facts(app)}</span>`}
      </span>
    </a>
  </li>
`;

const facts = (app) =>
  [t('taskCount', { n: app.tasks }), app.last_used_at && dateTime(app.last_used_at)]
    .filter(Boolean)
    .join(' · ');

export const CardSkeletons = () => html`
  <ul class="cards" aria-hidden="true">
    ${Array.from({ length: SKELETONS }, (_, index) => html`<li class="card skeleton" key=${index}><span class="cover"></span><span class="card-text"></span></li>`)}
  </ul>
`;
