// Owns a field for a file: choose, drop or paste it, watch it go up, see it; and the mark on the author's sample.

import { uploadFile } from './api.js';
import { announce, el, icon, newId } from './dom.js';
import { connect, describe, labelOf, showProblem } from './field_parts.js';
import { say, t } from './i18n.js';
import { problemText } from './problems.js';

/** A field as createField of fields.js gives; its value is what RunningHub calls the file. */
export class MediaField {
  #node;
  #onChange;
  #value;
  #upload = null;
  #hasFailed = false;
  #previewAddress = null;
  #input;
  #parts;
  #view;

  constructor(node, onChange) {
    const id = newId('field');
    this.#node = node;
    this.#onChange = onChange;
    this.#input = el('input', { id, type: 'file', accept: node.input.accept, class: 'visually-hidden' });
    this.#parts = describe(node, id, 'legend');
    this.#view = createView(node, this.#input, () => this.#remove());
    const { label, hint, problem } = this.#parts;
    this.element = el('fieldset', { class: 'field media' }, label, hint, this.#view.element, problem);
    connect(this.#input, this.#parts);
    this.#input.addEventListener('change', () => this.#input.files[0] && this.#send(this.#input.files[0]));
    takeFiles(this.element, node.input.accept, (file) => this.#send(file));
    this.set(node.fieldValue);
  }

  value() {
    return this.#value;
  }

  set(value) {
    this.close();
    this.#value = value;
    this.#hasFailed = false;
    const [state, text] = this.#describeValue();
    this.#view.show(state, say(text));
  }

  fault() {
    if (this.#upload) return { key: 'stillUploading' };
    return this.#hasFailed ? { key: 'uploadFailed' } : null;
  }

  showProblem(problem) {
    showProblem(this.#input, this.#parts.problem, problem);
  }

  showWarning(message) {
    this.#view.warn(message);
  }

  focus() {
    this.#input.focus();
  }

  /** Stops an upload under way and lets go of the preview. */
  close() {
    this.#upload?.abort();
    this.#upload = null;
    this.#preview(null);
  }

  #describeValue() {
    if (this.#value !== this.#node.fieldValue) return ['uploaded', 'uploadedBefore'];
    const isNoFile = ['', 'none'].includes(this.#value.trim().toLowerCase());
    return isNoFile ? ['empty', 'noFile'] : ['sample', 'sample'];
  }

  #preview(file) {
    if (this.#previewAddress) URL.revokeObjectURL(this.#previewAddress);
    this.#previewAddress = file && URL.createObjectURL(file);
    this.#view.preview(file && previewOf(this.#node.input.type, this.#previewAddress, file.name));
  }

  #remove() {
    this.set(this.#node.fieldValue);
    this.showProblem(null);
    this.#onChange();
    this.focus();
  }

  async #send(file) {
    this.close();
    const upload = new AbortController();
    this.#upload = upload;
    this.showProblem(null);
    this.#preview(file);
    this.#view.show('uploading', say('uploading', { name: file.name }));
    try {
      const { fileName } = await uploadFile(file, this.#view.progress, upload.signal);
      if (this.#upload === upload) this.#take(fileName, file.name);
    } catch (problem) {
      if (this.#upload === upload) this.#fail(problem, file.name);
    }
  }

  #take(value, name) {
    this.#value = value;
    this.#end(false);
    this.#view.show('uploaded', say('uploaded', { name }));
    announce(t('uploaded', { name }));
  }

  #fail(problem, name) {
    this.#end(true);
    this.#view.show('failed', () => name);
    this.showProblem(() => problemText(problem));
  }

  #end(hasFailed) {
    this.#upload = null;
    this.#hasFailed = hasFailed;
    // So that the same file can be chosen again.
    this.#input.value = '';
    this.#onChange();
  }
}

function createView(node, input, onRemove) {
  const picture = el('div', { class: 'preview', hidden: true });
  const status = el('p', { class: 'media-status' });
  const progressLabel = () => t('uploadProgress', { name: labelOf(node) });
  const bar = el('progress', { max: 1, value: 0, hidden: true, 'aria-label': progressLabel });
  const warning = el('p', { class: 'warning', hidden: true });
  const remove = el(
    'button',
    { type: 'button', class: 'quiet', hidden: true, onclick: onRemove },
    icon('close'),
    say('remove'),
  );
  const choose = el('label', { class: 'button secondary' }, icon('upload'), say('chooseFile'), input);
  const buttons = el('div', { class: 'row' }, choose, remove);
  const hint = el('p', { class: 'hint' }, say('dropHere'));
  const element = el(
    'div',
    { class: 'drop' },
    picture,
    el('div', { class: 'drop-text' }, status, bar, warning, buttons, hint),
  );

  function show(state, text) {
    const badge = state === 'sample' && el('span', { class: 'badge' }, say('sampleBadge'));
    element.dataset.state = state;
    fill(status, badge, el('span', {}, text));
    bar.hidden = state !== 'uploading';
    bar.value = 0;
    remove.hidden = ['empty', 'sample'].includes(state);
    warn(null);
  }

  function warn(message) {
    warning.hidden = !message;
    fill(warning, message && icon('alert'), message && el('span', {}, message));
  }

  function preview(child) {
    picture.hidden = !child;
    fill(picture, child);
  }

  return { element, show, warn, preview, progress: (share) => (bar.value = share) };
}

const fill = (element, ...children) => element.replaceChildren(...children.filter(Boolean));

function previewOf(type, address, name) {
  const label = say('previewOf', { name });
  if (type === 'image') return el('img', { src: address, alt: label });
  if (type === 'audio' || type === 'video')
    return el(type, { src: address, controls: true, 'aria-label': label });
  return el('span', { class: 'file-name' }, icon('file'), name);
}

function takeFiles(element, accept, send) {
  const mark = (isOver) => element.classList.toggle('over', isOver);
  element.addEventListener('dragover', () => mark(true));
  element.addEventListener('dragleave', () => mark(false));
  element.addEventListener('drop', (event) => {
    mark(false);
    const [file] = event.dataTransfer.files;
    if (file) send(file);
  });
  element.addEventListener('pastefile', (event) => {
    if (!isAccepted(accept, event.detail)) return;
    event.preventDefault();
    send(event.detail);
  });
}

function isAccepted(accept, file) {
  if (!accept) return true;
  if (accept.startsWith('.')) return file.name.toLowerCase().endsWith(accept);
  return file.type.startsWith(accept.replace('*', ''));
}

/** Gives a pasted file to the media field in use, else to the first that takes its kind. */
export function installPasteAndDrop() {
  document.addEventListener('paste', (event) => {
    const [file] = event.clipboardData.files;
    if (!file) return;
    const fields = [document.activeElement.closest('.media'), ...document.querySelectorAll('.media')].filter(
      Boolean,
    );
    const isTakenBy = (field) =>
      !field.dispatchEvent(new CustomEvent('pastefile', { detail: file, cancelable: true }));
    if (fields.some(isTakenBy)) event.preventDefault();
  });
  // Otherwise a file dropped anywhere would replace the page.
  for (const name of ['dragover', 'drop']) document.addEventListener(name, (event) => event.preventDefault());
}
