// Owns a field's fault: when it is shown, and how it is tied to the control for screen readers.

import { html } from '../ui/html.js';
import { Icon } from '../ui/icons.js';
import { faultText } from '../ui/problems.js';

/** A fault is shown once the field was left, after a press of Run, and at once when the service found it. */
export function shownFault(field, form) {
  const isShown =
    form.areFaultsShown.value ||
    field.isTouched.value ||
    field.serverFault.value ||
    field.upload.value?.problem;
  return isShown ? field.fault.value : null;
}

export const describedBy = ({ id, node }) => ({
  'aria-describedby': [node.input.tooltip && `${id}-hint`, `${id}-problem`].filter(Boolean).join(' '),
});

export const Problem = ({ field, fault }) => html`
  <p class="problem" id=${`${field.id}-problem`} hidden=${!fault}>
    ${fault && html`<${Icon} name="alert" /><span>${faultText(fault)}</span>`}
  </p>
`;
