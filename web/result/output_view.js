// Owns one result as large as the screen has room for: a picture, a film, a sound, a text or a file.

import { startDrag } from '../state/inputs.js';
import { fileSize } from '../ui/format.js';
import { html, useEffect, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Picture } from '../ui/parts.js';

const LONGEST_TEXT = 200_000;

const Gone = ({ text }) => html`<p class="gone"><${Icon} name="image" /><span>${text}</span></p>`;

export function OutputView({ task, output, onOpen }) {
  if (output.isGone) return html`<${Gone} text=${t('gone')} />`;
  if (output.kind === 'text' || (output.text && !output.url)) return html`<${TextResult} output=${output} />`;
  if (!output.url) return html`<${Gone} text=${t('gone')} />`;
  const label = t('outputLabel', { kind: t(`kind_${output.kind}`), n: output.n + 1 });
  if (output.kind === 'video')
    return html`<video class="result-film" src=${output.url} controls playsinline preload="metadata" aria-label=${label}></video>`;
  if (output.kind === 'audio')
    return html`<div class="result-sound"><${Icon} name="sound" /><audio src=${output.url} controls preload="metadata" aria-label=${label}></audio></div>`;
  if (output.kind === 'image')
    return html`<${PictureResult} task=${task} output=${output} label=${label} onOpen=${onOpen} />`;
  return html`
    <p class="result-file"><${Icon} name="file" /><span>${(output.ending || t('kind_file')).toUpperCase()}</span>${output.bytes && html`<span class="soft">${fileSize(output.bytes)}</span>`}</p>
  `;
}

const PictureResult = ({ task, output, label, onOpen }) => html`
  <button
    type="button"
    class="picture"
    aria-label=${t('openPicture', { n: output.n + 1 })}
    draggable="true"
    onDragStart=${(event) => startDrag(event, task, output)}
    onClick=${onOpen}
  >
    <${Picture} src=${output.url} alt=${label} draggable="false"><${Gone} text=${t('gone')} /><//>
  </button>
`;

/** A text that is not part of the task is read from our own output; RunningHub's links cannot be read from here. */
function TextResult({ output }) {
  const [text, setText] = useState(output.text);
  const isReadable = text === null && output.isOurs;
  useEffect(() => {
    if (!isReadable) return;
    fetch(output.url)
      .then((response) => (response.ok ? response.text() : null))
      .then((body) => body !== null && setText(body.slice(0, LONGEST_TEXT)))
      .catch(() => {});
  }, [output.url]);
  if (text !== null) return html`<pre class="text-result" tabindex="0">${text}</pre>`;
  return html`<p class="result-file"><${Icon} name="file" /><span>${output.ending.toUpperCase()}</span></p>`;
}
