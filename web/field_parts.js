// Owns what every field of a form has besides its control: label, hint and problem, tied together for screen readers.

import { el, icon } from './dom.js';
import { pick } from './i18n.js';

export const labelOf = (node) => pick(node.input.label, node.input.labelEn) || node.fieldName;

/** A field's label, hint and place for its problem. */
export function describe(node, id, labelName = 'label') {
  const hint = node.input.tooltip;
  return {
    label: el(
      labelName,
      { class: 'label', for: labelName === 'label' ? id : null },
      () => labelOf(node),
      ...bounds(node.input),
    ),
    hint: hint && el('p', { class: 'hint', id: `${id}-hint` }, hint),
    problem: el('p', { class: 'problem', id: `${id}-problem`, hidden: true }),
  };
}

// What is out of bounds is refused before anything is paid, so the bounds are said beforehand.
function bounds({ type, min, max }) {
  if (!['integer', 'number'].includes(type) || (min === null && max === null)) return [];
  if (max === null && min === 0) return [];
  const text = max === null ? `≥ ${min}` : min === null ? `≤ ${max}` : `${min} – ${max}`;
  return [' ', el('span', { class: 'bounds' }, text)];
}

export function connect(input, { hint, problem }) {
  const ids = [hint, problem].filter(Boolean).map((part) => part.id);
  input.setAttribute('aria-describedby', ids.join(' '));
}

export function showProblem(input, place, problem) {
  place.replaceChildren(...(problem ? [icon('alert'), el('span', {}, problem)] : []));
  place.hidden = !problem;
  input.toggleAttribute('aria-invalid', Boolean(problem));
  if (problem) input.setAttribute('aria-invalid', 'true');
}
