// Owns the tasks of a batch side by side, each a link to itself.

import { previewOf } from '../logic/outputs.js';
import { taskRoute } from '../logic/routes.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Picture, StatusIcon } from '../ui/parts.js';

export const BatchStrip = ({ members, current }) => html`
  <ul class="strip" id="batch" aria-label=${t('batch')}>
    ${members.map(
      (task, index) => html`<li key=${task.id}>
        <a
          class="strip-item"
          href=${taskRoute(task.id)}
          aria-current=${task.id === current ? 'true' : null}
          aria-label=${t('batchRun', { n: index + 1, status: t(task.status) })}
        >
          <${Thumbnail} task=${task} />
        </a>
      </li>`,
    )}
  </ul>
`;

/** A task's first picture, else its state. */
export function Thumbnail({ task }) {
  const preview = previewOf(task);
  const state = html`<span class="thumb none"><${StatusIcon} status=${task.status} /></span>`;
  if (!preview) return state;
  if (preview.kind === 'video')
    return html`<video class="thumb" src=${preview.url} muted playsinline preload="metadata" aria-hidden="true"></video>`;
  return html`<span class="thumb"><${Picture} key=${preview.thumbnailUrl} src=${preview.thumbnailUrl} alt="" loading="lazy">${state}<//></span>`;
}
