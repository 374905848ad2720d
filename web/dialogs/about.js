// Owns what is known of an app beyond its name: description, tags, how much it is used, its id.

import { compact } from '../ui/format.js';
import { html } from '../ui/html.js';
import { pick, t } from '../ui/i18n.js';
import { CopyButton, Dialog, DialogHead } from '../ui/parts.js';

const COUNTS = ['useCount', 'likeCount', 'collectCount', 'downloadCount'];

export function AboutDialog({ form: { app }, onClose }) {
  const counts = COUNTS.filter((name) => app.statisticsInfo[name] > 0);
  return html`
    <${Dialog} id="about" class="panel-dialog" labelledBy="about-title" onClose=${onClose}>
      <${DialogHead} id="about-title" title=${app.webappName} onClose=${onClose} />
      <p class="about-text">${pick(app.description, app.descriptionEn)}</p>
      <ul class="tags" aria-label=${t('tags')}>
        ${app.tags.map((tag) => html`<li class="tag" key=${tag.id}>${pick(tag.name, tag.nameEn)}</li>`)}
      </ul>
      ${
        counts.length > 0 &&
        html`<ul class="facts" aria-label=${t('appUsage')}>
        ${counts.map((name) => html`<li key=${name}>${t(name, { n: compact(app.statisticsInfo[name]) })}</li>`)}
      </ul>`
      }
      <div class="row"><code class="app-id">ID ${app.webappId}</code><${CopyButton} text=${() => app.webappId} label=${t('copyId')} /></div>
    <//>
  `;
}
