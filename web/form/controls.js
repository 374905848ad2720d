// Owns the control for each `input.type` but files. Values are strings, so that a seed beyond 2^53 is never rounded.

import { isSeed } from '../logic/fields.js';
import { randomWhole } from '../logic/numbers.js';
import { html } from '../ui/html.js';
import { pick, t } from '../ui/i18n.js';
import { IconButton } from '../ui/parts.js';
import { labelOf } from './labels.js';

const MOST_SLIDER_STEPS = 1000;
const MOST_SHORT_WIDTH = 20;
const SHORTEST_AREA = 3;
const TALLEST_AREA = 8;
const LINE_LENGTH = 44;

export const TextInput = ({ value, onValue, attributes }) => html`
  <input type="text" autocomplete="off" value=${value} onInput=${(event) => onValue(event.target.value)} ...${attributes} />
`;

export function TextArea({ field, value, onValue, attributes }) {
  const lines = Math.ceil((field.node.fieldValue ?? '').length / LINE_LENGTH);
  const rows = Math.min(TALLEST_AREA, Math.max(SHORTEST_AREA, lines));
  return html`
    <textarea rows=${rows} value=${value} onInput=${(event) => onValue(event.target.value)} ...${attributes}></textarea>
  `;
}

export function Select({ field, value, onValue, attributes }) {
  const { options } = field.node.input;
  // What the app has saved always passes, even when it is no choice any more.
  const isOffered = options.some((option) => option.value === value);
  return html`
    <select value=${value} onChange=${(event) => onValue(event.target.value)} ...${attributes}>
      ${!isOffered && html`<option value=${value}>${value || '—'}</option>`}
      ${options.map((option) => html`<option key=${option.value} value=${option.value}>${pick(option.label, option.labelEn)}</option>`)}
    </select>
  `;
}

// Chinese characters take twice the room.
const widthOf = (label) => label.length + (label.match(/[^\x00-\xff]/g)?.length ?? 0);

export const isShortSelect = (node) =>
  node.input.options
    .flatMap(({ label, labelEn }) => [label, labelEn ?? ''])
    .every((label) => widthOf(label) <= MOST_SHORT_WIDTH);

export const Checkbox = ({ value, onValue, attributes }) => html`
  <span class="switch">
    <input
      type="checkbox"
      role="switch"
      checked=${value.toLowerCase() === 'true'}
      onChange=${(event) => onValue(String(event.target.checked))}
      ...${attributes}
    />
  </span>
`;

// A browser's number input rounds past 2^53, follows the wheel and takes the system's decimal comma.
export function NumberInput({ field, value, onValue, attributes }) {
  const { node } = field;
  const { type, min } = node.input;
  const inputmode = type === 'integer' && min !== null && min >= 0 ? 'numeric' : 'decimal';
  const range = isSeed(node) ? null : sliderOf(node);
  return html`
    <div class="number-row">
      ${range && html`<${Slider} node=${node} range=${range} value=${value} onValue=${onValue} />`}
      <input type="text" inputmode=${inputmode} autocomplete="off" value=${value} onInput=${(event) => onValue(event.target.value)} ...${attributes} />
      ${
        isSeed(node) &&
        html`<${IconButton} icon="dice" label=${t('roll', { name: labelOf(node) })} onClick=${() => onValue(randomWhole(node.input))} />`
      }
    </div>
  `;
}

const Slider = ({ node, range, value, onValue }) => html`
  <input
    type="range"
    min=${range.min}
    max=${range.max}
    step=${range.step}
    aria-label=${t('slider', { name: labelOf(node) })}
    value=${value}
    onInput=${(event) => onValue(event.target.value)}
  />
`;

/** The slider of a bounded number, or null where it would have too many steps to be of use. */
export function sliderOf({ input: { type, min, max, step } }) {
  const width = step ?? (type === 'integer' ? 1 : null);
  if (min === null || max === null || !width || (max - min) / width > MOST_SLIDER_STEPS) return null;
  return { min, max, step: width };
}
