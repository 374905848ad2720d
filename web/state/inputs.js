// Owns the use of a result as input: into which fields it fits, dragging it there, and how it gets into one.

import { fileNameOf } from '../logic/outputs.js';
import { promptOf } from '../logic/prompts.js';
import { outputFile } from '../service/api.js';
import { setValue, upload } from './form.js';

const DRAG_TYPE = 'application/x-gateway-output';

/** The open form's fields that an output fits. */
export const fieldsFor = (form, output) =>
  (form?.fields ?? []).filter(({ node }) => node.input.type === output.kind && output.url && !output.isGone);

/** A kept output is uploaded like a chosen file; RunningHub's own link is given as a URL. */
export async function fillWithOutput(field, output) {
  if (!output.isOurs) return setValue(field, output.url);
  field.upload.value = { problem: null, name: output.name, share: { value: 0 } };
  try {
    await upload(field, await outputFile(output.url, output.name));
  } catch (problem) {
    field.upload.value = { name: output.name, problem };
  }
  return undefined;
}

/** What a drag carries; `name` is the file's when it is uploaded. */
export const asInput = (task, output) => ({
  url: output.url,
  kind: output.kind,
  isOurs: output.isOurs,
  name: fileNameOf({ prompt: promptOf(task), output, count: 1 }),
});

export function startDrag(event, task, output) {
  event.dataTransfer.setData(DRAG_TYPE, JSON.stringify(asInput(task, output)));
  event.dataTransfer.effectAllowed = 'copy';
}

/** The output that was dragged, or null; another page cannot name an address of this service. */
export function draggedOutput(transfer) {
  const text = transfer.getData(DRAG_TYPE);
  return text ? JSON.parse(text) : null;
}
