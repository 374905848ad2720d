// Owns one field of a form: label, hint and problem, tied together for screen readers, around the control of its type.

import { isMedia, isSeed } from '../logic/fields.js';
import { html } from '../ui/html.js';
import { Checkbox, isShortSelect, NumberInput, Select, sliderOf, TextArea, TextInput } from './controls.js';
import { describedBy, Problem, shownFault } from './fault.js';
import { labelOf } from './labels.js';
import { MediaField } from './media_field.js';

const CONTROLS = {
  textarea: TextArea,
  select: Select,
  boolean: Checkbox,
  integer: NumberInput,
  number: NumberInput,
};

export function Field({ field, form }) {
  if (isMedia(field.node)) return html`<${MediaField} field=${field} form=${form} />`;
  const { node, id } = field;
  const fault = shownFault(field, form);
  const Control = CONTROLS[node.input.type] ?? TextInput;
  const set = (value) => {
    field.serverFault.value = null;
    field.value.value = value;
  };
  return html`
    <div class=${`field ${isShort(node) ? 'short' : ''} ${node.input.type}`} onFocusOut=${() => leave(field)}>
      <label class="label" for=${id}>${labelOf(node)}<${Bounds} input=${node.input} /></label>
      <${Control}
        field=${field}
        value=${field.value.value}
        onValue=${set}
        attributes=${{ id, ...describedBy(field), 'aria-invalid': fault ? 'true' : null }}
      />
      ${node.input.tooltip && html`<p class="hint" id=${`${id}-hint`}>${node.input.tooltip}</p>`}
      <${Problem} field=${field} fault=${fault} />
    </div>
  `;
}

// An unchanged field is not found fault with for being tabbed through.
function leave(field) {
  if (field.fault.value) field.isTouched.value = true;
}

function isShort(node) {
  const { type } = node.input;
  if (type === 'boolean') return true;
  if (type === 'select') return isShortSelect(node);
  return (type === 'integer' || type === 'number') && !sliderOf(node) && !isSeed(node);
}

// What is out of bounds is refused before anything is paid, so the bounds are shown beforehand.
function Bounds({ input: { type, min, max } }) {
  if (!['integer', 'number'].includes(type) || (min === null && max === null)) return null;
  if (max === null && min === 0) return null;
  const text = max === null ? `≥ ${min}` : min === null ? `≤ ${max}` : `${min} – ${max}`;
  return html` <span class="bounds">${text}</span>`;
}
