// Owns the comparison of two pictures: one over the other, with a slider between them.

import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { IconButton, Picture } from '../ui/parts.js';

export function Compare({ output, other, onClose }) {
  const [share, setShare] = useState(50);
  return html`
    <div class="compare" id="compare">
      <${Picture} src=${output.url} alt=${t('compareThis')} class="compare-below" />
      <div class="compare-above" style=${{ clipPath: `inset(0 ${100 - share}% 0 0)` }}>
        <${Picture} src=${other.url} alt=${other.label} />
      </div>
      <span class="compare-line" style=${{ left: `${share}%` }} aria-hidden="true"></span>
      <span class="compare-label start ellipsis">${other.label}</span>
      <span class="compare-label end">${t('compareThis')}</span>
      <input
        type="range"
        min="0"
        max="100"
        value=${share}
        aria-label=${t('compareSlider')}
        onInput=${(event) => setShare(Number(event.target.value))}
      />
      <${IconButton} icon="close" class="compare-close" label=${t('compareEnd')} onClick=${onClose} />
    </div>
  `;
}
