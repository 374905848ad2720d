// Owns a field for a file: choose, drop or paste it, give its URL, or use a result; see it, and its upload.

import { isNoFile, isSampleFile } from '../logic/fields.js';
import { webAddress } from '../logic/outputs.js';
import { cancelUpload, previewOfFile, setValue, upload } from '../state/form.js';
import { draggedOutput, fillWithOutput } from '../state/inputs.js';
import { fileSize } from '../ui/format.js';
import { html, useRef, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button, IconButton, Picture } from '../ui/parts.js';
import { describedBy, Problem, shownFault } from './fault.js';
import { labelOf } from './labels.js';

const MEDIA_ICONS = { image: 'image', audio: 'sound', video: 'play' };

/** What the field holds, for its text and style. */
function stateOf({ upload: current, value, node }) {
  if (current.value?.problem) return 'failed';
  if (current.value) return 'uploading';
  if (isNoFile(value.value)) return 'empty';
  if (webAddress(value.value)) return 'url';
  return isSampleFile(node, value.value) ? 'sample' : 'uploaded';
}

export function MediaField({ field, form }) {
  const [isOver, setOver] = useState(false);
  const [isUrlOpen, setUrlOpen] = useState(false);
  const input = useRef(null);
  const state = stateOf(field);
  const fault = shownFault(field, form);
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    const output = draggedOutput(event.dataTransfer);
    if (output) fillWithOutput(field, output);
    else if (event.dataTransfer.files[0]) upload(field, event.dataTransfer.files[0]);
  };
  const choose = (event) => {
    if (event.target.files[0]) upload(field, event.target.files[0]);
    // So that the same file can be chosen again.
    event.target.value = '';
  };
  const remove = () => {
    setValue(field, field.node.fieldValue ?? '');
    input.current.focus();
  };
  return html`
    <fieldset class=${`field media ${isOver ? 'over' : ''}`} data-field=${field.key}>
      <legend class="label">${labelOf(field.node)}</legend>
      ${field.node.input.tooltip && html`<p class="hint" id=${`${field.id}-hint`}>${field.node.input.tooltip}</p>`}
      <div
        class="drop"
        data-state=${state}
        onDragOver=${(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave=${() => setOver(false)}
        onDrop=${drop}
      >
        <${Preview} field=${field} />
        <div class="drop-text">
          <${Status} field=${field} state=${state} />
          <div class="row">
            <label class="button secondary small">
              <${Icon} name="upload" /><span>${t(state === 'empty' ? 'chooseFile' : 'replaceFile')}</span>
              <input
                id=${field.id}
                ref=${input}
                class="visually-hidden"
                type="file"
                accept=${field.node.input.accept}
                aria-label=${t('chooseFileFor', { name: labelOf(field.node) })}
                aria-invalid=${fault ? 'true' : null}
                ...${describedBy(field)}
                onChange=${choose}
              />
            </label>
            <${IconButton}
              icon="link"
              class="small"
              label=${t('useUrl')}
              aria-expanded=${String(isUrlOpen)}
              onClick=${() => setUrlOpen(!isUrlOpen)}
            />
            ${state === 'uploading' && html`<${Button} kind="quiet" class="small" onClick=${() => cancelUpload(field)}>${t('cancel')}<//>`}
            ${
              ['uploaded', 'url', 'failed'].includes(state) &&
              html`<${IconButton} icon="close" class="small" label=${t('remove')} onClick=${remove} />`
            }
          </div>
        </div>
      </div>
      ${isUrlOpen && html`<${UrlInput} field=${field} onDone=${() => setUrlOpen(false)} />`}
      <${Problem} field=${field} fault=${fault} />
    </fieldset>
  `;
}

function Status({ field, state }) {
  const current = field.upload.value;
  const name = current?.name ?? previewOfFile(field.value.value)?.name;
  if (state === 'uploading') {
    const share = current.share.value;
    return html`
      <p class="media-status">
        <span class="ellipsis">${t('uploading', { name })}</span>
        <span class="soft">${Math.round(share * 100)} %${current.size ? ` · ${fileSize(current.size)}` : ''}</span>
      </p>
      <progress max="1" value=${share} aria-label=${t('uploadProgress', { name: labelOf(field.node) })}></progress>
    `;
  }
  const text = {
    failed: () => name,
    empty: () => t('noFile'),
    url: () => field.value.value,
    sample: () => t('sample'),
    uploaded: () => (name ? t('uploaded', { name }) : t('uploadedBefore')),
  }[state]();
  return html`
    <p class="media-status">
      ${state === 'sample' && html`<span class="badge">${t('sampleBadge')}</span>`}
      <span class="ellipsis">${text}</span>
    </p>
    ${state === 'empty' && html`<p class="hint drop-hint">${t('dropHere')}</p>`}
  `;
}

function Preview({ field }) {
  const current = field.upload.value;
  const known = current?.preview
    ? { url: current.preview, name: current.name }
    : previewOfFile(field.value.value);
  const shown =
    known ?? (webAddress(field.value.value) ? { url: field.value.value, name: field.value.value } : null);
  const { type } = field.node.input;
  const icon = html`<span class="preview none"><${Icon} name=${MEDIA_ICONS[type] ?? 'file'} /></span>`;
  if (!shown || current?.problem) return icon;
  const label = t('previewOf', { name: shown.name });
  if (type === 'image')
    return html`<span class="preview"><${Picture} key=${shown.url} src=${shown.url} alt=${label}>${icon}<//></span>`;
  if (type === 'video')
    return html`<video class="preview film" src=${shown.url} controls aria-label=${label}></video>`;
  if (type === 'audio')
    return html`<audio class="preview sound" src=${shown.url} controls aria-label=${label}></audio>`;
  return icon;
}

function UrlInput({ field, onDone }) {
  const [text, setText] = useState(webAddress(field.value.value) ?? '');
  const [isRefused, setRefused] = useState(false);
  const id = `${field.id}-url`;
  const take = () => {
    const address = webAddress(text.trim());
    setRefused(!address);
    if (!address) return;
    setValue(field, address);
    onDone();
  };
  const onKeyDown = (event) => {
    if (event.key !== 'Enter' || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    take();
  };
  return html`
    <div class="url-input">
      <label class="visually-hidden" for=${id}>${t('urlLabel', { name: labelOf(field.node) })}</label>
      <div class="row">
        <input
          id=${id}
          type="url"
          placeholder="https://…"
          autocomplete="off"
          aria-invalid=${isRefused ? 'true' : null}
          aria-describedby=${`${id}-note`}
          value=${text}
          onInput=${(event) => setText(event.target.value)}
          onKeyDown=${onKeyDown}
        />
        <${Button} class="small" onClick=${take}>${t('use')}<//>
      </div>
      <p class=${isRefused ? 'problem' : 'hint'} id=${`${id}-note`}>${t(isRefused ? 'noUrl' : 'urlHint')}</p>
    </div>
  `;
}
