// Owns the full view of a task's pictures: arrow keys change the picture, Escape closes it.

import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Dialog, IconButton } from '../ui/parts.js';

export function FullView({ pictures, start, onClose }) {
  const [index, setIndex] = useState(start);
  const step = (by) => setIndex((index + by + pictures.length) % pictures.length);
  const onKeyDown = ({ key }) => {
    if (key === 'ArrowLeft') step(-1);
    if (key === 'ArrowRight') step(1);
  };
  const place = t('pictureOf', { n: index + 1, of: pictures.length });
  return html`
    <${Dialog} id="viewer" class="viewer" label=${t('viewer')} onClose=${onClose} onKeyDown=${onKeyDown}>
      <button type="button" class="viewer-picture" aria-label=${t('close')} onClick=${onClose} tabindex="-1">
        <img src=${pictures[index].url} alt=${place} />
      </button>
      <div class="viewer-bar">
        ${pictures.length > 1 && html`<${IconButton} icon="back" label=${t('previous')} onClick=${() => step(-1)} />`}
        <p id="viewer-place" role="status">${place}</p>
        ${pictures.length > 1 && html`<${IconButton} icon="forward" label=${t('next')} onClick=${() => step(1)} />`}
        <${IconButton} icon="close" class="viewer-close" label=${t('close')} onClick=${onClose} />
      </div>
    <//>
  `;
}
