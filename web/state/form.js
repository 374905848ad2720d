// Owns an app's form as signals: what each field holds, what is wrong with it, its upload; drafts and presets.
// Values are strings from end to end, so that a seed beyond 2^53 is never rounded.

import { uploadFile } from '../service/api.js';
import { remember, remembered, rememberInTab, rememberedInTab } from '../service/storage.js';
import { acceptsFile, firstValue, isMedia, keyOf, valueCaution, valueFault } from '../logic/fields.js';
import { submissionOf } from '../logic/submission.js';
import { batch, computed, effect, signal } from '../ui/html.js';

const BROKEN_OFF = ['network', 'timeout'];

// Pictures and films uploaded since the page was opened, by RunningHub's file name: `{url, name, type}`.
const uploaded = new Map();
export const previewOfFile = (fileName) => uploaded.get(fileName) ?? null;

/** `{app, fields, password, instance, issues, …}`; a field's `value` is a signal with a string. */
export function createForm(app) {
  const draft = rememberedInTab(`draft:${app.webappId}`, {});
  const fields = app.nodeInfoList.map((node) => createField(node, draft[keyOf(node)], app.webappId));
  const password = signal('');
  const instance = signal('default');
  const presets = signal(remembered(`presets:${app.webappId}`, []));
  const areFaultsShown = signal(false);
  const issues = computed(() => [
    ...(app.accessEncrypted && !password.value
      ? [{ id: 'access-password', isFault: true, key: 'noPassword' }]
      : []),
    ...fields.flatMap((field) => (field.issue.value ? [{ ...field.issue.value, id: field.id, field }] : [])),
  ]);
  const form = { app, fields, password, instance, presets, areFaultsShown, issues };
  // Typing is kept, so that a reload loses nothing.
  effect(() => rememberInTab(`draft:${app.webappId}`, currentValues(form)));
  return form;
}

function createField(node, draft, webappId) {
  const value = signal(draft ?? firstValue(node));
  const serverFault = signal(null);
  const upload = signal(null);
  const fault = computed(
    () => serverFault.value ?? uploadFault(upload.value) ?? valueFault(node, value.value),
  );
  const issue = computed(() => {
    if (fault.value) return { isFault: true, ...fault.value };
    const caution = valueCaution(node, value.value);
    return caution && { isFault: false, ...caution };
  });
  const key = keyOf(node);
  const id = `field-${key.replace(/[^\w-]/g, '_')}`;
  return { node, key, id, webappId, value, serverFault, upload, fault, issue, isTouched: signal(false) };
}

const uploadFault = (upload) => {
  if (!upload) return null;
  return upload.problem ? { key: 'uploadFailed', problem: upload.problem } : { key: 'stillUploading' };
};

export function setValue(field, value) {
  batch(() => {
    cancelUpload(field);
    field.value.value = value;
    field.serverFault.value = null;
  });
}

/** Takes the values of a task or preset; what it does not name goes back to the app's saved value. */
export function fill(form, values) {
  batch(() => {
    for (const field of form.fields) setValue(field, values[field.key] ?? firstValue(field.node));
    hideFaults(form);
  });
}

export const reset = (form) => fill(form, {});

export function hideFaults(form) {
  form.areFaultsShown.value = false;
  for (const field of form.fields) field.isTouched.value = false;
}

export const currentValues = (form) =>
  Object.fromEntries(form.fields.map(({ key, value }) => [key, value.value]));

/** The values to send: an untouched field goes back exactly as the app has it. */
export function valuesToSend(form) {
  const exact = ({ node, value }) =>
    value.value === firstValue(node) ? (node.fieldValue ?? '') : value.value;
  const trimmed = (field) => (isMedia(field.node) ? exact(field).trim() : exact(field));
  return Object.fromEntries(form.fields.map((field) => [field.key, trimmed(field)]));
}

/** What POST /submit_task gets for these values. */
export function submissionFor(form, values = valuesToSend(form), metadata = null) {
  const extras = { instanceType: form.instance.value, accessPassword: form.password.value, metadata };
  return submissionOf(form.app, values, extras);
}

/** Marks the fields that the service found wrong; returns the errors that have no field here. */
export function showServerFaults(form, errors) {
  const others = [];
  for (const error of errors) {
    const field = form.fields.find(({ key }) => key === keyOf(error));
    if (field) field.serverFault.value = { message: error.msg };
    else others.push(error);
  }
  form.areFaultsShown.value = true;
  return others;
}

// Files

/** Uploads a file into a media field; a file of another type is not sent. */
export async function upload(field, file) {
  cancelUpload(field);
  if (!acceptsFile(field.node.input.accept, file)) {
    field.upload.value = { name: file.name, problem: { code: 'wrong_file_type' } };
    return;
  }
  const abort = new AbortController();
  const share = signal(0);
  const preview = URL.createObjectURL(file);
  field.serverFault.value = null;
  field.upload.value = { name: file.name, type: file.type, size: file.size, share, preview, abort };
  try {
    const onProgress = (done) => (share.value = done);
    const options = { onProgress, signal: abort.signal, webappId: field.webappId };
    const { fileName } = await uploadFile(file, options);
    uploaded.set(fileName, { url: preview, name: file.name, type: file.type });
    if (field.upload.value?.abort === abort) setUploaded(field, fileName);
  } catch (problem) {
    if (field.upload.value?.abort !== abort) return;
    field.upload.value = { name: file.name, problem, file };
  }
}

/** Once the service can be reached again: an upload that broke off is made again without being asked for. */
export function repeatUploads(form) {
  for (const field of form.fields) {
    const { problem, file } = field.upload.value ?? {};
    if (file && BROKEN_OFF.includes(problem.code)) upload(field, file);
  }
}

function setUploaded(field, fileName) {
  batch(() => {
    field.upload.value = null;
    field.value.value = fileName;
  });
}

export function cancelUpload(field) {
  field.upload.value?.abort?.abort();
  field.upload.value = null;
}

// Presets

export function savePreset(form, name) {
  const others = form.presets.value.filter((preset) => preset.name !== name);
  storePresets(form, [...others, { name, values: currentValues(form) }]);
}

export function deletePreset(form, name) {
  storePresets(
    form,
    form.presets.value.filter((preset) => preset.name !== name),
  );
}

function storePresets(form, presets) {
  form.presets.value = presets;
  remember(`presets:${form.app.webappId}`, presets.length ? presets : null);
}
