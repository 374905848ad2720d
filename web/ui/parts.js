// Owns the small parts that several areas of the screen share: buttons with icons, menus, dialogs, status, problems.

import { toneOf } from '../logic/statuses.js';
import { html, useEffect, useId, useRef, useState } from './html.js';
import { t } from './i18n.js';
import { Icon } from './icons.js';
import { problemText } from './problems.js';

const SAVED_AFTER_MS = 60_000;
const TONE_ICONS = {
  waiting: 'clock',
  running: 'play',
  good: 'check',
  bad: 'alert',
  over: 'cross',
  unknown: 'question',
};

export const StatusPill = ({ status }) => html`
  <span class=${`pill ${toneOf(status)}`}><${Icon} name=${TONE_ICONS[toneOf(status)]} />${t(status)}</span>
`;

export const StatusIcon = ({ status }) => html`
  <span class=${`status-icon ${toneOf(status)}`} role="img" aria-label=${t(status)}>
    <${Icon} name=${TONE_ICONS[toneOf(status)]} />
  </span>
`;

/** A button that shows only an icon; its label is a tooltip and for screen readers. */
export const IconButton = ({ icon, label, class: name = '', ...rest }) => html`
  <button type="button" class=${`icon-button ${name}`} aria-label=${label} title=${label} ...${rest}>
    <${Icon} name=${icon} />
  </button>
`;

export const Button = ({ icon, kind = 'secondary', children, class: name = '', ...rest }) => html`
  <button type="button" class=${`button ${kind} ${name}`} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}<span>${children}</span>
  </button>
`;

/** What went wrong, read out by screen readers when it appears. */
export const ProblemNote = ({ problem, children }) => html`
  <div class="problem-area" role="alert">
    ${
      (problem || children) &&
      html`<div class="alert bad"><${Icon} name="alert" /><div>${children ?? problemText(problem)}</div></div>`
    }
  </div>
`;

/** A button that opens a panel below it; Escape and a click elsewhere close it. `children` is a function of `close`. */
export function Menu({ label, button, class: name = '', panelClass = '', children, isPlain = false }) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef(null);
  const toggle = useRef(null);
  const id = useId();
  const close = () => {
    setOpen(false);
    if (root.current?.contains(document.activeElement)) toggle.current.focus();
  };
  useEffect(() => {
    if (!isOpen) return undefined;
    const onPointer = (event) => !root.current.contains(event.target) && setOpen(false);
    document.addEventListener('pointerdown', onPointer);
    return () => document.removeEventListener('pointerdown', onPointer);
  }, [isOpen]);
  const onKeyDown = (event) => {
    if (event.key !== 'Escape' || !isOpen) return;
    event.stopPropagation();
    event.preventDefault();
    setOpen(false);
    toggle.current.focus();
  };
  const onFocusOut = (event) => {
    if (event.relatedTarget && !root.current.contains(event.relatedTarget)) setOpen(false);
  };
  return html`
    <div class=${`menu ${name}`} ref=${root} onKeyDown=${onKeyDown} onFocusOut=${onFocusOut}>
      <button
        type="button"
        ref=${toggle}
        class=${isPlain ? 'menu-button' : 'button quiet menu-button'}
        aria-expanded=${String(isOpen)}
        aria-controls=${id}
        aria-label=${label}
        title=${label}
        onClick=${() => setOpen(!isOpen)}
      >
        ${button}
      </button>
      <div id=${id} class=${`menu-panel ${panelClass}`} hidden=${!isOpen}>${isOpen && children(close)}</div>
    </div>
  `;
}

/** A modal dialog for as long as it is drawn; Escape and a click beside it call `onClose`. */
export function Dialog({ id, label, labelledBy, class: name = '', onClose, children, ...rest }) {
  const dialog = useRef(null);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current.showModal();
    return () => opener?.isConnected && opener.focus();
  }, []);
  const onCancel = (event) => {
    event.preventDefault();
    onClose();
  };
  const onPointerDown = (event) => event.target === dialog.current && onClose();
  return html`
    <dialog
      id=${id}
      ref=${dialog}
      class=${`dialog ${name}`}
      aria-label=${label}
      aria-labelledby=${labelledBy}
      onCancel=${onCancel}
      onPointerDown=${onPointerDown}
      ...${rest}
    >
      ${children}
    </dialog>
  `;
}

export const DialogHead = ({ id, title, onClose }) => html`
  <div class="dialog-head">
    <h2 id=${id}>${title}</h2>
    <${IconButton} icon="close" label=${t('close')} onClick=${onClose} />
  </div>
`;

/** Copies a text and says so on the button for a moment. */
export function CopyButton({ text, label, kind = 'secondary' }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(text());
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return html`
    <${Button} kind=${kind} icon=${isCopied ? 'check' : 'copy'} class="copy" onClick=${copy}>
      <span aria-live="polite">${isCopied ? t('copied') : label}</span>
    <//>
  `;
}

/** Gives a file to the person, as a download with its name. */
export function saveFile(file) {
  const url = URL.createObjectURL(file);
  Object.assign(document.createElement('a'), { href: url, download: file.name }).click();
  // The download has begun by then.
  setTimeout(() => URL.revokeObjectURL(url), SAVED_AFTER_MS);
}

// The clipboard interface is missing where the page is not served over https.
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  (document.querySelector('dialog[open]') ?? document.body).append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
  return undefined;
}

/** A picture that fades in over the area reserved for it; `children` in its place when it cannot be loaded. */
export function Picture({ src, alt, class: name = '', children, ...rest }) {
  const [state, setState] = useState('loading');
  const image = useRef(null);
  useEffect(
    () => setState(image.current?.complete && image.current.naturalWidth ? 'loaded' : 'loading'),
    [src],
  );
  if (state === 'gone') return children ?? null;
  return html`
    <img
      ref=${image}
      class=${`picture-image ${state} ${name}`}
      src=${src}
      alt=${alt}
      decoding="async"
      onLoad=${() => setState('loaded')}
      onError=${() => setState('gone')}
      ...${rest}
    />
  `;
}
