// Owns the results of a task: one in the viewer, all in a strip, and what can be done with them.

import { outputsOf } from '../logic/outputs.js';
import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Picture } from '../ui/parts.js';
import { Compare } from './compare.js';
import { FullView } from './full_view.js';
import { OutputView } from './output_view.js';
import { Toolbar } from './toolbar.js';

export function Success({ task, form, attempt }) {
  const [index, setIndex] = useState(0);
  const [isFull, setFull] = useState(false);
  const [compared, setCompared] = useState(null);
  const outputs = outputsOf(task);
  if (!outputs.length) return html`<div class="stage"><p class="soft">${t('noOutputs')}</p></div>`;
  const output = outputs[Math.min(index, outputs.length - 1)];
  const pictures = outputs.filter((item) => item.kind === 'image' && item.url && !item.isGone);
  return html`
    <div class="stage" data-kind=${output.kind}>
      ${
        compared
          ? html`<${Compare} output=${output} other=${compared} onClose=${() => setCompared(null)} />`
          : html`<${OutputView} task=${task} output=${output} key=${output.n} onOpen=${() => setFull(true)} />`
      }
    </div>
    ${outputs.length > 1 && html`<${OutputStrip} outputs=${outputs} current=${output} onChoose=${setIndex} />`}
    <${Toolbar}
      task=${task}
      form=${form}
      outputs=${outputs}
      output=${output}
      attempt=${attempt}
      onFull=${() => setFull(true)}
      onCompare=${setCompared}
    />
    ${
      isFull &&
      html`<${FullView} pictures=${pictures} start=${Math.max(0, pictures.indexOf(output))} onClose=${() => setFull(false)} />`
    }
  `;
}

const KIND_ICONS = { image: 'image', video: 'play', audio: 'sound', text: 'list', file: 'file' };

const OutputStrip = ({ outputs, current, onChoose }) => html`
  <ul class="strip" id="outputs" aria-label=${t('outputs')}>
    ${outputs.map(
      (output, index) => html`<li key=${output.n}>
        <button
          type="button"
          class="strip-item"
          aria-pressed=${String(output.n === current.n)}
          aria-label=${t('outputOf', { n: index + 1, of: outputs.length, kind: t(`kind_${output.kind}`) })}
          onClick=${() => onChoose(index)}
        >
          <span class="thumb ${output.kind === 'image' ? '' : 'none'}">
            ${output.kind === 'image' && output.url ? html`<${Picture} src=${output.thumbnailUrl} alt="" loading="lazy"><${Icon} name="image" /><//>` : html`<${Icon} name=${KIND_ICONS[output.kind]} />`}
          </span>
        </button>
      </li>`,
    )}
  </ul>
`;
