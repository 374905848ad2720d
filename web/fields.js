// Owns one input of a form: the control for each `input.type`, its check and its problem.
// Values are strings from end to end, so that a seed beyond 2^53 is never rounded.

import { el, icon, newId } from './dom.js';
import { connect, describe, labelOf, showProblem } from './field_parts.js';
import { pick, t } from './i18n.js';
import { MediaField } from './media.js';
import { numberFault, randomWhole } from './numbers.js';

const MEDIA = ['image', 'audio', 'video', 'file'];
const MOST_SLIDER_STEPS = 1000;
const MOST_SHORT_WIDTH = 20;

/** `{element, value(), set(text), fault(), showProblem(text), focus()}` for an entry of `nodeInfoList`. */
export function createField(node, onChange) {
  const { type } = node.input;
  if (MEDIA.includes(type)) return new MediaField(node, onChange);
  const makeControl = { textarea, select, boolean: toggle, integer: number, number }[type] ?? text;
  const id = newId('field');
  const control = makeControl(node, id);
  const parts = describe(node, id);
  const { label, hint, problem } = parts;
  const element = el('div', { class: 'field' }, label, hint, control.element, problem);
  element.classList.toggle('short', Boolean(control.isShort));
  const field = { element, value: control.value, set: control.set, focus: () => control.input.focus() };
  field.fault = () => (control.value() === node.fieldValue ? null : (control.fault?.() ?? null));
  field.showProblem = (fault) => showProblem(control.input, problem, fault);
  control.set(node.fieldValue);
  connect(control.input, parts);
  element.addEventListener('input', () => {
    field.showProblem(null);
    onChange();
  });
  return field;
}

function simple(input, extra = {}) {
  return { element: input, input, value: () => input.value, set: (value) => (input.value = value), ...extra };
}

function text(_, id) {
  return simple(el('input', { id, type: 'text', autocomplete: 'off' }));
}

function textarea(node, id) {
  const rows = Math.min(8, Math.max(3, Math.ceil(node.fieldValue.length / 48)));
  return simple(el('textarea', { id, rows }));
}

function select(node, id) {
  const { options } = node.input;
  const input = el('select', { id });
  for (const { value, label, labelEn } of options) {
    input.append(el('option', { value }, () => pick(label, labelEn)));
  }
  const set = (value) => {
    // What the app has saved always passes, even when it is no choice any more.
    const isOffered = [...input.options].some((option) => option.value === value);
    if (!isOffered) input.prepend(el('option', { value }, value || '—'));
    input.value = value;
  };
  const labels = options.flatMap(({ label, labelEn }) => [label, labelEn ?? '']);
  return simple(input, { set, isShort: labels.every((label) => widthOf(label) <= MOST_SHORT_WIDTH) });
}

// Chinese characters take twice the room.
const widthOf = (label) => label.length + (label.match(/[^\x00-\xff]/g)?.length ?? 0);

function toggle(_, id) {
  const input = el('input', { id, type: 'checkbox', role: 'switch' });
  const set = (value) => (input.checked = value.toLowerCase() === 'true');
  const element = el('span', { class: 'switch' }, input);
  return { element, input, value: () => String(input.checked), set, isShort: true };
}

// A browser's number input rounds past 2^53, follows the wheel and takes the system's decimal comma.
function number(node, id) {
  const { type, min } = node.input;
  const inputmode = type === 'integer' && min !== null && min >= 0 ? 'numeric' : 'decimal';
  const input = el('input', { id, type: 'text', inputmode, autocomplete: 'off' });
  const button = isSeed(node) && dice(node, input);
  const range = !button && slider(node, input);
  const set = (value) => {
    input.value = value;
    if (range) range.value = value;
  };
  const value = () => input.value.trim();
  const fault = () => numberFault(value(), node.input);
  const element = el('div', { class: 'number' }, range, input, button);
  return { element, input, value, set, fault, isShort: !range && !button };
}

const isSeed = (node) => node.input.type === 'integer' && /seed/i.test(node.fieldName);

function dice(node, input) {
  const roll = () => {
    input.value = randomWhole(node.input);
    input.dispatchEvent(new Event('input', { bubbles: true }));
  };
  const label = () => t('roll', { name: labelOf(node) });
  return el(
    'button',
    { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick: roll },
    icon('dice'),
  );
}

/** A slider beside a bounded number, or null where it would have too many steps to be of use. */
function slider(node, input) {
  const { type, min, max } = node.input;
  const step = node.input.step ?? (type === 'integer' ? 1 : null);
  if (min === null || max === null || !step || (max - min) / step > MOST_SLIDER_STEPS) return null;
  const label = () => t('slider', { name: labelOf(node) });
  const range = el('input', { type: 'range', min, max, step, 'aria-label': label });
  range.addEventListener('input', () => (input.value = range.value));
  input.addEventListener('input', () => (range.value = input.value));
  return range;
}
